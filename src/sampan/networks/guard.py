"""Noticing that someone took our rules away: `nft flush ruleset`, a firewall that reloads, a Docker that
starts.

Owns a thread that listens to the kernel's announcements of changed rules, and says once the change is over
that it is time to look. Knows no rule of its own. Changes by the older iptables-legacy are not announced.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable, Iterable

from sampan.linux.nfnetlink import NFPROTO_IPV4, Change, NftablesMonitor
from sampan.networks import forwarding

_log = logging.getLogger(__name__)

# A firewall that reloads takes its rules down and puts them up again: give it time before looking. What
# comes later is looked at again.
_PATIENCE = 0.3


class RuleGuard:
    """Calls `look` from its thread after each change that may have touched a table of ours, or forwarding."""

    def __init__(self, family: int, is_ours: Callable[[str], bool], look: Callable[[], None]) -> None:
        """`is_ours` tells by a table's name."""
        self._family = family
        self._is_ours = is_ours
        self._look = look
        self._monitor = NftablesMonitor()
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="rule-guard", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Returns when the thread has ended; not to be called from `look`."""
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        self._monitor.close()
        os.close(self._stop)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._stop, select.POLLIN)
        poll.register(self._monitor.fileno(), select.POLLIN)
        due: float | None = None
        while True:
            wait = None if due is None else max(0.0, due - time.monotonic()) * 1000
            ready = {descriptor for descriptor, _events in poll.poll(wait)}
            if self._stop in ready:
                return
            if ready:
                changes = self._monitor.changes()
                if due is None and (changes is None or self._concerned(changes)):
                    due = time.monotonic() + _PATIENCE
            if due is not None and time.monotonic() >= due:
                due = None
                self._look_safely()

    def _concerned(self, changes: Iterable[Change]) -> bool:
        return any(
            change.removed
            if change.family == self._family and self._is_ours(change.table)
            else (change.family, change.table) == (NFPROTO_IPV4, "filter")
            and forwarding.concerns(change.chain)
            for change in changes
        )

    def _look_safely(self) -> None:
        try:
            self._look()
        except Exception:
            # The guard has to stand even when one repair failed; the next change is another chance.
            _log.exception("cannot restore the rules of networks")
