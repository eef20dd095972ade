"""What the bridge networks of an engine share: ports of the host, the relay for IPv6, the watch over rules.

Owns these for as long as a network uses them; each network joins and leaves. Knows no rule and no endpoint.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from sampan.networks import rules
from sampan.networks.guard import RuleGuard
from sampan.networks.hostports import HostPorts
from sampan.networks.relay import Relay

if TYPE_CHECKING:
    from sampan.networks.bridge import BridgeNetwork

_log = logging.getLogger(__name__)


class Outlets:
    """`lock` is over `ports` and over what each network has in memory; held for moments."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.ports = HostPorts()
        self.relay = Relay()
        self._networks: dict[str, BridgeNetwork] = {}
        self._guard: RuleGuard | None = None
        self._guarding = threading.Lock()

    def join(self, network: BridgeNetwork) -> None:
        """From now on its rules are put back when something takes them away."""
        with self._guarding:
            self._networks[rules.table_name(network.config.name)] = network
            if self._guard is None:
                self._guard = RuleGuard(rules.FAMILY, self._networks.__contains__, self._reassert)

    def leave(self, network: BridgeNetwork) -> None:
        """After the last one, nothing is held any more. Can run twice."""
        with self._guarding:
            self._networks.pop(rules.table_name(network.config.name), None)
            if self._networks:
                return
            guard, self._guard = self._guard, None
        if guard is not None:
            guard.close()
        self.relay.close()
        with self.lock:
            self.ports.close()

    def _reassert(self) -> None:
        for network in list(self._networks.values()):
            try:
                network.reassert()
            except OSError as error:
                _log.warning("cannot restore the rules of %s: %s", network.config.name, error)
