"""Containers, as the API asks for them.

Owns the verbs: each resolves the reference, checks what can be checked at once, and sends the rest to the
container's own task. What the moves are is `lifecycle`'s business; what documents look like,
`inspection`'s.
"""

from __future__ import annotations

import asyncio
import logging
import signal as signal_numbers
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from sampan import errors
from sampan.engine import (
    attaching,
    creation,
    inspection,
    listing,
    logreading,
    preparation,
    processes,
    restarts,
    signals,
    statistics,
    updating,
)
from sampan.engine.container import CONDITIONS, NOT_RUNNING, Container
from sampan.engine.lifecycle import Lifecycle
from sampan.engine.schema import ContainerCreate, HostConfig
from sampan.engine.services import Services
from sampan.engine.states import State
from sampan.engine.streams import AttachOptions, HijackedClient, LogOptions
from sampan.runtime.cgroups import Cgroup, open_cgroups
from sampan.shim import protocol

Document = dict[str, Any]
Documents = list[Document]
Filters = Mapping[str, Sequence[str]]

_log = logging.getLogger("sampan.engine")

_SIGKILL = int(signal_numbers.SIGKILL)
_STATS_SECONDS = 1.0
_STOP_SECONDS = 10
# After SIGKILL a process ends at once, unless it waits for a disk or a device.
_SECONDS_TO_DIE = 10.0


class Containers:
    """The API's tag Container."""

    def __init__(self, services: Services, lifecycle: Lifecycle) -> None:
        self._services = services
        self._lifecycle = lifecycle

    # --- life ---

    async def create(self, name: str, body: ContainerCreate, platform: str = "") -> Document:
        container, warnings = await creation.create(self._services, name, body, platform)
        self._lifecycle.publish(container, "create")
        return {"Id": container.id, "Warnings": warnings}

    async def start(self, reference: str, detach_keys: str = "") -> None:
        container = self._resolve(reference)
        await container.actor.run(lambda: self._lifecycle.start(container))

    async def stop(self, reference: str, *, signal: str = "", timeout: int | None = None) -> None:  # noqa: ASYNC109 - the container's, not ours
        """Ask it to end, wait, and make it end. Raises NotModified if it does not run."""
        container = self._resolve(reference)
        if not container.is_running:
            raise errors.NotModified("container is already stopped")
        await self._stop(container, signal, timeout)

    async def restart(self, reference: str, *, signal: str = "", timeout: int | None = None) -> None:  # noqa: ASYNC109 - as above
        container = self._resolve(reference)
        container.restarts += 1
        try:
            if container.is_running:
                await self._stop(container, signal, timeout)
            await container.actor.run(lambda: self._lifecycle.start(container))
        finally:
            container.restarts -= 1
        self._lifecycle.publish(container, "restart")

    async def kill(self, reference: str, signal: str = "") -> None:
        container = self._resolve(reference)
        number = signals.parse(signal) if signal else _SIGKILL
        if not container.is_running:
            raise errors.Conflict(
                f"Cannot kill container: {reference}: Container {container.id} is not running"
            )
        ended = container.wait(NOT_RUNNING)
        await self._signal(container, number)
        if number == _SIGKILL:
            await self._await_death(container, ended, _SECONDS_TO_DIE)

    async def pause(self, reference: str) -> None:
        container = self._resolve(reference)
        await container.actor.run(lambda: self._pause(container))

    async def unpause(self, reference: str) -> None:
        container = self._resolve(reference)
        await container.actor.run(lambda: self._unpause(container))

    async def update(self, reference: str, changes: HostConfig) -> Document:
        """Change limits and the restart policy, also of a container that runs."""
        container = self._resolve(reference)
        warnings = await container.actor.run(lambda: self._update(container, changes))
        return {"Warnings": warnings or None}

    async def rename(self, reference: str, name: str) -> None:
        container = self._resolve(reference)
        if not name or not reference:
            raise errors.InvalidArgument("Neither old nor new names may be empty")
        if name.removeprefix("/") == container.name:
            raise errors.InvalidArgument("Renaming a container with the same name as its current name")
        await container.actor.run(lambda: self._rename(container, name))

    async def remove(self, reference: str, *, force: bool, volumes: bool, link: bool) -> None:
        """Remove a container. `volumes`: those without a name too."""
        if link:
            raise errors.Unsupported("links are not supported yet (rm --link)")
        container = self._resolve(reference)
        if container.is_running and not force:
            what, advice = container.state.value, "Stop the container"
            if container.state is State.PAUSED:
                advice = "Unpause and then stop the container"
            raise errors.Conflict(
                f"You cannot remove a {what} container {container.id}. {advice} before attempting removal "
                "or force remove"
            )
        if container.state is State.REMOVING:
            raise errors.Conflict(f"removal of container {reference} is already in progress")
        while True:
            if container.is_running:
                await self._kill(container)
            # It may have been started meanwhile.
            if await container.actor.run(lambda: self._remove(container, reference, volumes)):
                return

    async def prune(self, filters: Filters) -> Document:
        listing.check_keys(filters, listing.PRUNE_KEYS)
        deleted: list[str] = []
        reclaimed = 0
        for container in listing.prunable(self._services.registry, filters, time.time_ns()):
            try:
                size = await self._services.threads.run(self._services.images.writable_size, container.id)
                await container.actor.run(lambda one=container: self._lifecycle.remove(one))  # type: ignore[misc]
            except (errors.SampanError, OSError) as error:
                _log.warning("failed to prune container %s: %s", container.id, error)
            else:
                deleted.append(container.id)
                reclaimed += size
        self._services.events.publish("container", "prune", "", {"reclaimed": str(reclaimed)})
        return {"ContainersDeleted": deleted or None, "SpaceReclaimed": reclaimed}

    async def wait(self, reference: str, condition: str = "") -> asyncio.Future[Document]:
        """A future of the exit status; the request is checked when this returns."""
        container = self._resolve(reference)
        if condition and condition not in CONDITIONS:
            raise errors.InvalidArgument(f'invalid condition: "{condition}"')
        return container.wait(condition or NOT_RUNNING)

    # --- looking ---

    async def list(
        self,
        *,
        all: bool = False,  # noqa: A002 - Docker's name
        limit: int = 0,
        size: bool = False,
        filters: Filters | None = None,
    ) -> Documents:
        filters = filters or {}
        ancestors = None
        if filters.get("ancestor"):
            ancestors = await self._services.threads.run(self._ancestors, filters["ancestor"])
        selection = listing.Selection(all, limit, filters, ancestors)
        found = listing.select(self._services.registry, selection)
        return await self.summaries(found, size=size)

    async def summaries(self, containers: Sequence[Container], *, size: bool) -> Documents:
        """The entries of the list for these containers."""

        def look() -> tuple[dict[str, str], Documents]:
            images = self._meanings({container.record.config.image for container in containers})
            return images, [self._sizes(container) if size else {} for container in containers]

        images, sizes = await self._services.threads.run(look)
        network = self._services.network
        return [
            inspection.summary(container, network, images) | own
            for container, own in zip(containers, sizes, strict=True)
        ]

    async def inspect(self, reference: str, *, size: bool = False) -> Document:
        container = self._resolve(reference)
        services = self._services

        if container.graph_driver is None:
            metadata = await services.threads.run(services.images.metadata, container.id)
            container.graph_driver = metadata["Data"]
        sizes = await services.threads.run(self._sizes, container) if size else {}
        document = inspection.document(container, services.settings, services.network, container.graph_driver)
        return document | sizes

    async def top(self, reference: str, ps_args: str = "") -> Document:
        container = self._resolve(reference)
        container.running_shim()
        cgroup = self._cgroup(container)
        return await self._services.threads.run(lambda: processes.top(ps_args, set(cgroup.pids())))

    def stats(self, reference: str, *, stream: bool, one_shot: bool) -> AsyncIterator[Document]:
        """Samples, one each second; one alone, and with `one_shot` at once, unless `stream`."""
        return self._stats(self._resolve(reference), stream=stream, one_shot=one_shot)

    async def _stats(self, container: Container, *, stream: bool, one_shot: bool) -> AsyncIterator[Document]:
        before: Document | None = None
        while self._services.registry.find(container.id) is container:
            status = container.status
            # A container on the host's network, or on another's, has no counters of its own.
            pid = status.pid if status.endpoints else 0
            if status.state.has_processes:
                cgroup = self._cgroup(container)
                found = await self._services.threads.run(
                    statistics.sample, container.name, container.id, cgroup, pid
                )
            else:
                found = statistics.nothing(container.name, container.id)
            # The first sample alone says nothing of the processors.
            if stream or one_shot or before is not None or not status.state.has_processes:
                yield statistics.following(found, before)
                if not stream:
                    return
            before = found
            await asyncio.sleep(_STATS_SECONDS)

    async def logs(
        self, reference: str, options: LogOptions
    ) -> tuple[bool, AsyncIterator[tuple[int, bytes]]]:
        """Whether there is a terminal, and the lines."""
        container = self._resolve(reference)
        logreading.check(container)
        return container.record.config.tty, logreading.read(self._services, container, options)

    async def attach(self, reference: str, options: AttachOptions, client: HijackedClient) -> None:
        container = self._resolve(reference)
        await attaching.attach(self._services, container, options, client)
        self._lifecycle.publish(container, "attach")

    async def resize(self, reference: str, height: int, width: int) -> None:
        container = self._resolve(reference)
        await container.running_shim().request(protocol.Resize(0, height, width))
        attributes = {"height": str(height), "width": str(width)}
        self._lifecycle.publish(container, "resize", attributes)

    # --- within ---

    def _resolve(self, reference: str) -> Container:
        return self._services.registry.resolve(reference)

    def _cgroup(self, container: Container) -> Cgroup:
        path = preparation.cgroup_path(self._services.settings.cgroup_parent, container.record)
        return open_cgroups().cgroup(path)

    def _ancestors(self, references: Sequence[str]) -> frozenset[str]:
        """In a thread: the images whose containers are wanted, with those that were built on them."""
        images = self._services.images
        wanted = set()
        for reference in references:
            try:
                wanted.add(images.resolve(reference).id)
            except errors.NotFound:
                _log.warning("no such image: %s", reference)
        for used in {container.record.image for container in self._services.registry}:
            ancestor: str | None = used
            while ancestor is not None and ancestor not in wanted:
                try:
                    ancestor = images.resolve(ancestor).parent
                except errors.NotFound:
                    break
            if ancestor in wanted:
                wanted.add(used)
        return frozenset(wanted)

    def _meanings(self, names: set[str]) -> dict[str, str]:
        """In a thread: names of images → ids, without those that mean nothing any more."""
        found = {}
        for name in names:
            try:
                found[name] = self._services.images.resolve(name).id
            except errors.SampanError:
                continue
        return found

    def _sizes(self, container: Container) -> Document:
        """In a thread: what it wrote, and that with its image."""
        own = self._services.images.writable_size(container.id)
        try:
            image = self._services.images.size(container.record.image)
        except errors.NotFound:
            image = 0  # removed by force
        return {"SizeRw": own, "SizeRootFs": own + image}

    # --- signals and ends ---

    async def _signal(self, container: Container, number: int) -> None:
        if restarts.is_set(container.record.host_config.restart_policy):
            stop_signal = container.record.config.stop_signal
            # As moby: any signal means that it shall end, unless there is one that says so.
            if not stop_signal or number in (_SIGKILL, signals.stop_signal(stop_signal)):
                await container.actor.run(lambda: self._lifecycle.end_for_good(container))
            if not container.state.has_processes:
                return  # it was between two runs
        shim = container.running_shim()
        try:
            await shim.request(protocol.Kill(0, number))
        except errors.SampanError as error:
            # It has just ended: the news is on its way, and what was wanted has come about.
            _log.debug("container %s: signal %d: %s", container.id, number, error)
            return
        self._lifecycle.publish(container, "kill", {"signal": str(number)})
        if container.state is State.PAUSED:
            # A frozen process takes its signal when it is thawed.
            await container.actor.run(lambda: self._thaw(container))

    async def _stop(self, container: Container, signal: str, seconds: int | None) -> None:
        config = container.record.config
        number = signals.parse(signal) if signal else signals.stop_signal(config.stop_signal)
        if seconds is None:
            seconds = _STOP_SECONDS if config.stop_timeout is None else config.stop_timeout
        ended = container.wait(NOT_RUNNING)
        await self._signal(container, number)
        # A negative time means for ever.
        if not await _is_done(ended, seconds if seconds >= 0 else None):
            await self._signal(container, _SIGKILL)
        await self._await_death(container, ended, _SECONDS_TO_DIE)
        self._lifecycle.publish(container, "stop")

    async def _kill(self, container: Container) -> None:
        ended = container.wait(NOT_RUNNING)
        await self._signal(container, _SIGKILL)
        await self._await_death(container, ended, _SECONDS_TO_DIE)

    async def _await_death(
        self, container: Container, ended: asyncio.Future[Document], seconds: float
    ) -> None:
        if not await _is_done(ended, seconds):
            raise errors.SampanError(
                f"tried to kill container {container.id}, but did not receive an exit event"
            )
        # Not before all that it held is free: its ports above all, and with --rm the container itself.
        await container.actor.idle()

    async def _pause(self, container: Container) -> None:
        if container.state is State.PAUSED:
            raise errors.Conflict(f"Container {container.id} is already paused")
        container.running_shim()
        await self._services.threads.run(self._cgroup(container).freeze)
        await self._moved(container, State.PAUSED, "pause")

    async def _unpause(self, container: Container) -> None:
        if container.state is not State.PAUSED:
            raise errors.Conflict(f"Container {container.id} is not paused")
        await self._thaw(container)

    async def _thaw(self, container: Container) -> None:
        if container.state is State.PAUSED:
            await self._services.threads.run(self._cgroup(container).thaw)
            await self._moved(container, State.RUNNING, "unpause")

    async def _moved(self, container: Container, state: State, action: str) -> None:
        status = container.move(state)
        self._lifecycle.publish(container, action)
        await self._services.threads.run(self._services.database.save_status, container.id, status)

    async def _update(self, container: Container, changes: HostConfig) -> Sequence[str]:
        services, record = self._services, container.record
        failed = f"Cannot update container {container.id}"
        if container.state in (State.REMOVING, State.DEAD):
            raise errors.Conflict(f"{failed}: container is marked for removal and cannot be updated")
        try:
            host_config, warnings = updating.merged(record.host_config, changes, services.host)
        except errors.Conflict as error:
            raise errors.Conflict(f"{failed}: {error.message}") from None
        updated = msgspec.structs.replace(record, host_config=host_config)

        def apply() -> None:
            if container.state.has_processes:
                updating.apply(self._cgroup(container), record.host_config, host_config)
            services.database.save_record(updated)

        try:
            await services.threads.run(apply)
        except OSError as error:
            raise errors.SampanError(f"{failed}: {error}") from error
        container.record = updated
        self._lifecycle.publish(container, "update")
        return warnings

    async def _rename(self, container: Container, name: str) -> None:
        registry, old = self._services.registry, container.name
        if container.state in (State.REMOVING, State.DEAD):
            raise errors.Conflict(f"container {container.id} is marked for removal and cannot be renamed")
        try:
            new = registry.reserve(name, container.id)
        except errors.Conflict as error:
            raise errors.Conflict(f"Error when allocating new name: {error}") from None
        except errors.InvalidArgument as error:
            raise errors.InvalidArgument(f"Error when allocating new name: {error}") from None
        record = msgspec.structs.replace(container.record, name=new)
        try:
            await self._services.threads.run(self._services.database.save_record, record)
        except BaseException:
            registry.release(new, container.id)
            raise
        container.record = record
        endpoints = self._services.network.rename(record, container.status.endpoints)
        container.status = status = msgspec.structs.replace(container.status, endpoints=endpoints)
        await self._services.threads.run(self._services.database.save_status, container.id, status)
        registry.release(old, container.id)
        self._lifecycle.publish(container, "rename", {"oldName": f"/{old}"})

    async def _remove(self, container: Container, reference: str, with_volumes: bool) -> bool:
        """Whether it is removed; it is not while it runs."""
        if self._services.registry.find(container.id) is None:
            raise errors.NotFound(f"No such container: {reference}")  # by another command, or by itself
        if container.is_running:
            return False
        await self._lifecycle.remove(container, with_volumes=with_volumes)
        return True


async def _is_done(future: asyncio.Future[Document], seconds: float | None) -> bool:
    done, _ = await asyncio.wait([future], timeout=seconds)
    return bool(done)
