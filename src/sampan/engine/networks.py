"""Networks, as the API asks for them: made and removed, and containers brought to them and off them.

Owns the verbs of the tag Network. What a container on a network is, is `network`'s business.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from sampan import errors
from sampan.engine import networkrecord, refusals
from sampan.engine.container import Container, Paths
from sampan.engine.lifecycle import Lifecycle
from sampan.engine.listing import has_labels
from sampan.engine.networkmodes import kind_of, wanted
from sampan.engine.networkrecord import BRIDGE, HOST, NONE, NetworkRecord
from sampan.engine.record import Endpoints
from sampan.engine.schema import EndpointSettings, NetworkConnect, NetworkCreate, NetworkDisconnect
from sampan.engine.services import Services
from sampan.engine.states import State
from sampan.wire import gotime

Document = dict[str, Any]
Filters = Mapping[str, Sequence[str]]

_PRUNE_KEYS = frozenset(("label", "label!", "until"))


class Networks:
    """The API's tag Network."""

    def __init__(self, services: Services, lifecycle: Lifecycle) -> None:
        self._services = services
        self._lifecycle = lifecycle

    async def list(self, filters: Filters) -> list[Document]:
        return self._services.network.store.list(filters)

    async def inspect(self, reference: str) -> Document:
        names = {container.id: container.name for container in self._services.registry}
        return self._services.network.store.inspect(reference, names)

    async def create(self, body: NetworkCreate) -> Document:
        """`POST /networks/create`."""
        record = await self._services.threads.run(
            self._services.network.store.create, networkrecord.parse(body)
        )
        self._publish("create", record)
        return {"Id": record.id, "Warning": ""}

    async def remove(self, reference: str) -> None:
        """`DELETE /networks/{name}`."""
        store = self._services.network.store
        self._publish("destroy", await self._services.threads.run(store.remove, store.find(reference)))

    async def prune(self, filters: Filters) -> Document:
        """`POST /networks/prune`: the user's networks that no container uses."""
        for key in filters:
            if key not in _PRUNE_KEYS:
                raise errors.InvalidArgument(f"invalid filter '{key}'")
        until = _until(filters.get("until", ()))
        store = self._services.network.store
        used = {name for container in self._services.registry for name in wanted(container.record)}
        removed = []
        for record in store.unused():
            unwanted = any(has_labels(record.labels, [text]) for text in filters.get("label!", ()))
            if record.name in used or unwanted or not has_labels(record.labels, filters.get("label", ())):
                continue
            if until is not None and record.created > until:
                continue
            try:
                self._publish("destroy", await self._services.threads.run(store.remove, record.name))
            except errors.SampanError:
                continue  # somebody was quicker
            removed.append(record.name)
        self._services.events.publish("network", "prune", "", {"reclaimed": "0"})
        return {"NetworksDeleted": removed or None}

    # --- containers ---

    async def connect(self, reference: str, body: NetworkConnect) -> None:
        """`POST /networks/{name}/connect`: of a container that runs, at once."""
        name = self._services.network.store.find(reference)
        container = self._services.registry.resolve(body.container)
        settings = body.endpoint_config or EndpointSettings()
        await container.actor.run(lambda: self._connect(container, name, settings))

    async def disconnect(self, reference: str, body: NetworkDisconnect) -> None:
        """`POST /networks/{name}/disconnect`."""
        name = self._services.network.store.find(reference)
        container = self._services.registry.resolve(body.container)
        await container.actor.run(lambda: self._disconnect(container, name))

    async def _connect(self, container: Container, name: str, settings: EndpointSettings) -> None:
        self._check_change(container, name)
        services, record = self._services, container.record
        places = wanted(record)
        if name in places:
            raise errors.PermissionDenied(
                f"endpoint with name {container.name} already exists in network {name}"
            )
        refusals.check_endpoint(settings)
        services.network.check_settings(name, settings)
        changed = msgspec.structs.replace(record, endpoints=places | {name: settings})

        def work() -> Endpoints:
            endpoints = container.status.endpoints
            if container.state.has_processes:
                endpoints = services.network.connect(changed, container.status, name)
            services.database.save_record(changed)
            return endpoints

        endpoints = await services.threads.run(work)
        container.record = changed
        await self._set_endpoints(container, endpoints)
        if container.state.has_processes:
            self._lifecycle.publish_network("connect", container.id, name)

    async def _disconnect(self, container: Container, name: str) -> None:
        self._check_change(container, name)
        services, record = self._services, container.record
        places = dict(wanted(record))
        if places.pop(name, None) is None:
            raise errors.PermissionDenied(f"container {container.id} is not connected to network {name}")
        changed = msgspec.structs.replace(record, endpoints=places)

        def work() -> Endpoints:
            endpoints = container.status.endpoints
            if container.state.has_processes and name in endpoints:
                endpoints = services.network.disconnect(changed, container.status, name)
            services.database.save_record(changed)
            return endpoints

        ran = container.state.has_processes
        endpoints = await services.threads.run(work)
        container.record = changed
        await self._set_endpoints(container, endpoints)
        if ran:
            self._lifecycle.publish_network("disconnect", container.id, name)

    async def _set_endpoints(self, container: Container, endpoints: Endpoints) -> None:
        """Write down what a running container has now, and tell it by its files."""
        if endpoints == container.status.endpoints:
            return
        services = self._services
        container.status = status = msgspec.structs.replace(container.status, endpoints=endpoints)

        def work() -> None:
            services.database.save_status(container.id, status)
            folder = Paths.of(services.settings, container.id).folder
            services.network.write_files(container.record, folder, endpoints)

        await services.threads.run(work)

    def _check_change(self, container: Container, name: str) -> None:
        mode = kind_of(container.record)
        if container.state in (State.REMOVING, State.DEAD):
            raise errors.Conflict(f"container {container.id} is marked for removal and cannot be connected")
        if HOST in (mode, name):
            raise errors.InvalidArgument(
                "container cannot be disconnected from host network or connected to host network"
            )
        if NONE in (mode, name):
            raise errors.InvalidArgument(
                "container cannot be connected to multiple networks with one of the networks in private "
                "(none) mode"
            )
        if mode.startswith("container:"):
            raise errors.InvalidArgument(
                "container sharing network namespace with another container or host cannot be connected to "
                "any other network"
            )

    def _publish(self, action: str, record: NetworkRecord) -> None:
        attributes = {"name": record.name, "type": BRIDGE}
        self._services.events.publish("network", action, record.id, attributes)


def _until(texts: Sequence[str]) -> int | None:
    if not texts:
        return None
    if len(texts) > 1:
        raise errors.InvalidArgument("more than one until filter specified")
    try:
        return gotime.parse_since(texts[0], time.time_ns())
    except ValueError:
        raise errors.InvalidArgument(f"invalid until filter: {texts[0]}") from None
