"""The networks of an engine: the predefined three, and those that users make.

Owns which there are, their bridges, and how they are found by name or id. What changes the kernel or the disk
blocks, and is called in threads.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from sampan import errors
from sampan.engine import networkdocuments
from sampan.engine.database import Database
from sampan.engine.listing import has_labels
from sampan.engine.networkrecord import BRIDGE, DRIVERS, HOST, NONE, NetworkRecord
from sampan.engine.settings import Settings
from sampan.networks.bridge import BridgeConfig, BridgeNetwork
from sampan.networks.endpoint import Endpoint
from sampan.networks.outlets import Outlets

Document = dict[str, Any]
Filters = Mapping[str, Sequence[str]]

_FILTERS = frozenset(("dangling", "driver", "id", "label", "name", "scope", "type"))
_TRUE, _FALSE = ("1", "true", "True"), ("0", "false", "False")


class NetworkStore:
    """All networks. Methods may be called from any thread."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._outlets = Outlets()
        self._default = BridgeNetwork(
            BridgeConfig(settings.bridge, settings.bip, settings.mtu), self._outlets
        )
        self._records: dict[str, NetworkRecord] = {}
        self._bridges: dict[str, BridgeNetwork] = {self._default.id: self._default}
        self._created = int(database.fact("created", str(time.time_ns())))

    # --- at start and end ---

    def setup(self) -> list[str]:
        """Make the bridges, or take them over. Returns complaints for the log: a network that cannot be made
        again stays, and its containers do not start.
        """
        self._default.setup()
        complaints = []
        for record in self._database.networks():
            self._records[record.id] = record
            bridge = BridgeNetwork(record.bridge_config(self._settings.mtu), self._outlets)
            try:
                bridge.setup()
            except errors.SampanError as error:
                complaints.append(f"network {record.name}: {error.message}")
            else:
                self._bridges[record.id] = bridge
        return complaints

    def restore(self, endpoints: Iterable[Endpoint]) -> list[str]:
        """Take back what running containers have; the complaints are for the log."""
        complaints: list[str] = []
        by_network: dict[str, list[Endpoint]] = {identifier: [] for identifier in self._bridges}
        for endpoint in endpoints:
            by_network.setdefault(endpoint.network or self._default.id, []).append(endpoint)
        for identifier, own in by_network.items():
            bridge = self._bridges.get(identifier)
            if bridge is not None:
                complaints += bridge.restore(own)
        return complaints

    def close(self) -> None:
        for bridge in self._bridges.values():
            bridge.close()

    # --- finding ---

    def identifier(self, name: str) -> str:
        """The id of a network, "" if there is none of this name."""
        if name == BRIDGE:
            return self._default.id
        if name in DRIVERS:
            # Its own for each engine, and the same after a restart.
            return hashlib.sha256(f"{name} {self._created}".encode()).hexdigest()
        return next((record.id for record in self._records.values() if record.name == name), "")

    def find(self, reference: str) -> str:
        """The name of the network that a name, an id or a beginning of an id means. Raises NotFound."""
        names = {self.identifier(name): name for name in DRIVERS}
        names |= {record.id: record.name for record in self._records.values()}
        if reference in names:
            return names[reference]
        if reference in names.values():
            return reference
        found = [name for identifier, name in names.items() if reference and identifier.startswith(reference)]
        if len(found) > 1:
            raise errors.InvalidArgument(
                f"network {reference} is ambiguous ({len(found)} matches found on ID prefix)"
            )
        if not found:
            raise errors.NotFound(f"network {reference} not found")
        return found[0]

    def record(self, name: str) -> NetworkRecord | None:
        """None for a predefined one, and for one that does not exist."""
        return self._records.get(self.identifier(name))

    def bridge(self, name: str) -> BridgeNetwork:
        """Raises NotFound."""
        bridge = self._bridges.get(self.identifier(name))
        if bridge is None:
            raise errors.NotFound(f"network {name} not found")
        return bridge

    def bridge_of(self, endpoint: Endpoint) -> BridgeNetwork | None:
        return self._bridges.get(endpoint.network or self._default.id)

    # --- making and removing ---

    def create(self, record: NetworkRecord) -> NetworkRecord:
        """Make a network and its bridge; the record comes back with its address. Raises SampanError."""
        if self.identifier(record.name):
            raise errors.Conflict(f"network with name {record.name} already exists")
        bridge = BridgeNetwork(record.bridge_config(self._settings.mtu), self._outlets)
        for other in self._bridges.values():
            if other.config.name == bridge.config.name:
                raise errors.PermissionDenied(
                    f"networks {record.name} and {other.config.title} have same bridge name"
                )
        if os.path.exists(f"/sys/class/net/{bridge.config.name}"):
            raise errors.PermissionDenied(f"the network device {bridge.config.name} exists already")
        # The intent first: an engine that ends here makes the bridge when it starts again.
        self._database.insert_network(record)
        try:
            bridge.setup()
            record = msgspec.structs.replace(record, address=str(bridge.address))
            bridge.restore()
            self._database.save_network(record)
        except BaseException as error:
            bridge.teardown()
            self._database.delete_network(record.id)
            if isinstance(error, errors.InvalidArgument):
                # What the bridge says of its address is about the network's subnet here.
                raise errors.PermissionDenied(
                    "invalid pool request: Pool overlaps with other one on this address space "
                    f"({error.message})"
                ) from None
            raise
        self._records[record.id], self._bridges[record.id] = record, bridge
        return record

    def remove(self, name: str) -> NetworkRecord:
        """Raises NotFound, PermissionDenied."""
        if name in DRIVERS:
            raise errors.PermissionDenied(f"{name} is a pre-defined network and cannot be removed")
        record = self.record(name)
        if record is None:
            raise errors.NotFound(f"network {name} not found")
        bridge = self._bridges.get(record.id)
        if bridge is not None and bridge.endpoints:
            raise errors.PermissionDenied(
                f"error while removing network: network {record.name} id {record.id} has active endpoints"
            )
        self._database.delete_network(record.id)
        self._records.pop(record.id, None)
        self._bridges.pop(record.id, None)
        if bridge is not None:
            bridge.teardown()
        return record

    def unused(self) -> list[NetworkRecord]:
        """The user's networks on which no container is at the moment."""
        return [
            record
            for record in self._records.values()
            if record.id not in self._bridges or not self._bridges[record.id].endpoints
        ]

    # --- documents ---

    def inspect(self, reference: str, names: Mapping[str, str]) -> Document:
        """`GET /networks/{name}`; `names` are those of the containers, by id. Raises NotFound."""
        return self._document(self.find(reference), names)

    def list(self, filters: Filters) -> list[Document]:
        """`GET /networks`."""
        for key in filters:
            if key not in _FILTERS:
                raise errors.InvalidArgument(f"Invalid filter '{key}'")
        for kind in filters.get("type", ()):
            if kind not in ("builtin", "custom"):
                raise errors.InvalidArgument(f"invalid filter: 'type'='{kind}'")
        names = [*DRIVERS, *(record.name for record in self._records.values())]
        documents = [self._document(name, {}) for name in names]
        return [one | {"Containers": {}} for one in documents if _matches(one, filters)]

    def _document(self, name: str, names: Mapping[str, str]) -> Document:
        if name == BRIDGE:
            return networkdocuments.default(self._default, self._created, names)
        if name in (HOST, NONE):
            return networkdocuments.plain(name, self.identifier(name), self._created)
        record = self.record(name)
        if record is None:
            raise errors.NotFound(f"network {name} not found")
        return networkdocuments.of_user(record, self._bridges.get(record.id), names)


def _matches(document: Document, filters: Filters) -> bool:
    builtin = document["Name"] in DRIVERS

    def has(key: str, *values: str) -> bool:
        wanted = filters.get(key)
        return not wanted or any(value in wanted for value in values)

    # A predefined network is in use for ever.
    dangling = not builtin and not document["Containers"]
    names = filters.get("name") or ("",)
    identifiers = filters.get("id") or ("",)
    return (
        has("driver", document["Driver"])
        and has("scope", document["Scope"])
        and has("type", "builtin" if builtin else "custom")
        and has("dangling", *(_TRUE if dangling else _FALSE))
        and has_labels(document["Labels"], filters.get("label", ()))
        and any(name in document["Name"] for name in names)
        and any(document["Id"].startswith(identifier) for identifier in identifiers)
    )
