"""At the engine's start: the database compared with what is really there.

Owns what to do about each difference, so that an engine that was killed at any moment loses nothing and
leaks nothing:

    the database says       | found                              | so
    ------------------------|------------------------------------|--------------------------------------------
    intent `create`         |                                    | its parts are removed
    intent `remove`         |                                    | its parts are removed
    running, or to be       | its shim answers                   | it is adopted, its network taken back
    (intent `start`)        | exit.json                          | it has ended, as that says
                            | no shim, but processes             | they are ended: exit code 137
                            | nothing (the host was started)     | it has ended: exit code 255
    intent `start` only     | nothing                            | the start is forgotten
    ended, with auto-remove |                                    | it is removed
    ended or restarting     |                                    | its restart policy decides
    nothing                 | folder, cgroup, bundle, layer      | removed
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import re
import shutil
import time
from collections.abc import Collection, Iterable

import msgspec

from sampan import errors
from sampan.engine import preparation, restarts, volumes
from sampan.engine.actor import Actor
from sampan.engine.container import Container, Paths
from sampan.engine.database import Row
from sampan.engine.lifecycle import Lifecycle, kill_cgroup, read_exit, remove_parts
from sampan.engine.record import Record
from sampan.engine.services import Services
from sampan.engine.shims import ShimGone
from sampan.engine.states import Intent, State
from sampan.runtime.cgroups import open_cgroups
from sampan.shim import protocol
from sampan.shim.client import ShimConnection
from sampan.shim.protocol import Phase
from sampan.wire import gotime

_log = logging.getLogger("sampan.engine")

_IDENTIFIER = re.compile(r"[0-9a-f]{64}")
_LOST = 255
# A start that the killed engine had sent goes on; on a busy host it may take as long.
_SECONDS_TO_START = 10.0


async def recover(services: Services, lifecycle: Lifecycle) -> None:
    """Fill the registry, and put everything in order. Afterwards the engine may take requests."""
    rows = await services.threads.run(_load, services)
    containers = [_known(services, row) for row in rows]
    started = [
        container
        for container, row in zip(containers, rows, strict=True)
        if row.intent is Intent.START or container.state.has_processes
    ]
    adopted = await asyncio.gather(*(_adopt(services, lifecycle, container) for container in started))
    alive = [container for container, is_alive in zip(started, adopted, strict=True) if is_alive]
    await services.threads.run(services.volumes.restore, volumes.users(alive))
    for container in alive:
        lifecycle.health.started(container)
    for container in started:
        if container not in alive:
            await container.actor.run(functools.partial(_end, services, lifecycle, container))
    running = [(container.record, container.status) for container in alive]
    for complaint in await services.threads.run(services.network.restore, running):
        _log.warning("%s", complaint)
    await _remove_ended(containers, lifecycle)
    await services.threads.run(_clean, services, {container.id for container in alive})
    # Only now is nothing taken away any more of what does not run.
    _start_ended(containers, lifecycle)


def _load(services: Services) -> list[Row]:
    """In a thread: the rows that stay; those that were half made or half removed go."""
    kept = []
    rows = services.database.load()
    for row in rows:
        if row.intent in (Intent.CREATE, Intent.REMOVE):
            _log.info("container %s: finishing its removal", row.record.id)
            if row.intent is Intent.CREATE or row.record.host_config.auto_remove:
                volumes.remove_unnamed(services.volumes, (other.record for other in rows), row.record)
            remove_parts(services, row.record.id)
        else:
            kept.append(row)
    return kept


def _known(services: Services, row: Row) -> Container:
    record = row.record
    container = Container(record, row.status, Actor(services.tasks, record.short_id))
    services.registry.reserve(record.name, record.id)
    services.registry.add(container)
    return container


async def _adopt(services: Services, lifecycle: Lifecycle, container: Container) -> bool:
    """Connect to a container's shim. Whether the container runs, or has run and is just ending."""
    bundle = Paths.of(services.settings, container.id).bundle
    try:
        connection = await services.threads.run(ShimConnection.connect, bundle)
    except OSError:
        return False
    container.shim = shim = lifecycle.connected(container, connection)
    try:
        state = await _started_state(container)
    except (errors.SampanError, OSError) as error:
        if not isinstance(error, ShimGone):
            _log.error("container %s: its shim does not answer: %s", container.id, error)
        shim.close()
        container.shim = None
        return False
    frozen = await services.threads.run(_is_frozen, services, container.record)
    container.status = msgspec.structs.replace(
        container.status,
        state=State.PAUSED if frozen else State.RUNNING,
        pid=state.pid,
        started_at=gotime.parse_rfc3339(state.started_at or gotime.ZERO_TEXT),
        error="",
    )
    await services.threads.run(services.database.save_status, container.id, container.status)
    return True


async def _started_state(container: Container) -> protocol.StateResult:
    """The shim's state, once it has one: a start may be going on. Raises ShimGone if that fails."""
    deadline = time.monotonic() + _SECONDS_TO_START
    while True:
        if container.shim is None:
            raise ShimGone("its shim is gone")
        state = protocol.StateResult.from_document(await container.shim.request(protocol.State(0)))
        if state.phase is not Phase.NEW:
            return state
        if time.monotonic() > deadline:
            raise ShimGone("it was not started")
        await asyncio.sleep(0.02)


def _is_frozen(services: Services, record: Record) -> bool:
    path = preparation.cgroup_path(services.settings.cgroup_parent, record)
    cgroup = open_cgroups().cgroup(path)
    return cgroup.exists() and cgroup.is_frozen()


async def _end(services: Services, lifecycle: Lifecycle, container: Container) -> None:
    """A container that does not run any more, though the database says so: find out how it ended."""
    record, bundle = container.record, Paths.of(services.settings, container.id).bundle

    def find_out() -> protocol.Exited | None:
        exited = read_exit(bundle)
        killed = kill_cgroup(preparation.cgroup_path(services.settings.cgroup_parent, record))
        if exited is None and (killed or container.state.has_processes):
            code = 137 if killed else _LOST
            exited = protocol.Exited(code, False, gotime.format_rfc3339(time.time_ns()))
        return exited

    exited = await services.threads.run(find_out)
    container.released.set()
    if exited is None:
        # The start never came about.
        container.status = msgspec.structs.replace(container.status, endpoints={}, pid=0)
        await services.threads.run(services.database.save_status, container.id, container.status)
        await services.threads.run(preparation.remove_bundle, bundle)
        return
    if not container.state.has_processes:
        container.status = msgspec.structs.replace(
            container.status, state=State.RUNNING, started_at=container.record.created
        )
    container.exited = exited
    await lifecycle.ended(container, exited)


async def _remove_ended(containers: Iterable[Container], lifecycle: Lifecycle) -> None:
    """Containers with auto-remove that ended just before the engine did."""
    for container in containers:
        if container.record.host_config.auto_remove and container.state is State.EXITED:
            await container.actor.run(functools.partial(lifecycle.remove, container))


def _start_ended(containers: Iterable[Container], lifecycle: Lifecycle) -> None:
    """Start again what was restarting when the engine ended, and what is to run whenever the engine does."""
    lifecycle.is_recovering = False
    for container in containers:
        if container.state is State.EXITED and restarts.at_engine_start(container.record, container.status):
            container.move(State.RESTARTING)
        if container.state is State.RESTARTING:
            lifecycle.start_again_after(container, 0)


def _clean(services: Services, alive: Collection[str]) -> None:
    """In a thread: remove what belongs to no container, or to one that does not run."""
    settings = services.settings
    known = {container.id for container in services.registry}
    for entry in _entries(settings.containers_root):
        if entry not in known:
            shutil.rmtree(f"{settings.containers_root}/{entry}", ignore_errors=True)
    parent = f"/{settings.cgroup_parent.strip('/')}"
    for entry in _cgroups(parent):
        if entry not in alive:
            _log.info("removing the cgroup of %s, which does not run", entry)
            try:
                kill_cgroup(f"{parent}/{entry}")
            except (errors.SampanError, OSError) as error:
                _log.warning("cannot remove the cgroup of %s: %s", entry, error)
    for entry in _entries(settings.bundles_root):
        if entry not in alive:
            preparation.remove_bundle(f"{settings.bundles_root}/{entry}")
    for line in services.images.recover(known):
        _log.info("%s", line)


def _entries(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []


def _cgroups(parent: str) -> set[str]:
    """The containers that have a cgroup below `parent`, in any hierarchy."""
    hierarchy = open_cgroups()
    mounted = [*hierarchy.v1.values(), *([hierarchy.unified] if hierarchy.unified is not None else [])]
    names = {name for one in mounted for name in _entries(f"{one.mount_point}{parent}")}
    return {name for name in names if _IDENTIFIER.fullmatch(name)}
