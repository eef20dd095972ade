"""A container's moves: start, end, removal. Everything here runs in the container's own task (`actor`).

Owns the order of each: write the intent, act, write the outcome, tell. What blocks runs in one hop to a
thread for each step. A move that fails leaves the container in the state it had, and nothing of the
attempt behind.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import msgspec

from sampan import errors
from sampan.engine import joining, preparation, restarts, volumes
from sampan.engine.container import NEXT_EXIT, NOT_RUNNING, REMOVED, Container, Paths
from sampan.engine.health import HealthChecks
from sampan.engine.joining import Peer
from sampan.engine.networkmodes import kind_of
from sampan.engine.networkrecord import DRIVERS
from sampan.engine.preparation import Prepared
from sampan.engine.record import Endpoints, Record, Status
from sampan.engine.restarts import Backoff
from sampan.engine.services import Services
from sampan.engine.shims import Shim
from sampan.engine.states import Intent, State
from sampan.runtime.cgroups import open_cgroups
from sampan.shim import packets, protocol
from sampan.shim.client import ShimConnection
from sampan.wire import gotime

_log = logging.getLogger("sampan.engine")

_KILLED = 128 + signal.SIGKILL

# A file server that does not answer must not hold up a start for ever.
_SECONDS_TO_PREPARE = 60.0

# Between the end of a container and the end of what belonged to it, its cgroup in the first place.
_SECONDS_TO_RELEASE = 15.0

# What a failed start leaves in State.ExitCode when the program was not to blame (moby, setExitCodeFromError).
_START_FAILED = 128


class Lifecycle:
    """The moves of all containers of an engine."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.is_recovering = True
        self.health = HealthChecks(services, self.publish)

    # --- start ---

    async def start(self, container: Container) -> None:
        """Start a container that does not run. Raises NotModified, Conflict, StartFailed and others."""
        _check_startable(container)
        container.backoff, container.ends_for_good = Backoff(), False
        container.status = msgspec.structs.replace(container.status, restart_count=0, manually_stopped=False)
        await self._start(container)

    async def _start(self, container: Container) -> None:
        services = self._services
        try:
            peers = self._peers(container)
            # The shim is forked while the rest is prepared.
            bundle = Paths.of(services.settings, container.id).bundle
            connection = await services.zygote.spawn(container.id, bundle)
            try:
                prepared = await services.threads.run_within(
                    _SECONDS_TO_PREPARE,
                    lambda: preparation.prepare(services, container.record, container.status, peers),
                    lambda late: preparation.undo(services, container.record, container.status, late),
                )
            except BaseException:
                connection.close()
                raise
            try:
                result = await self._launch(container, connection, prepared)
            except BaseException:
                await self._undo(container, prepared)
                raise
            prepared.close()
        except (errors.SampanError, OSError) as error:
            await self._start_failed(container, error)
            raise self._explained(error) from error
        await self._started(container, prepared, result)

    def _peers(self, container: Container) -> dict[str, Peer]:
        modes = {
            "network": container.record.host_config.network_mode,
            "ipc": container.record.host_config.ipc_mode,
            "pid": container.record.host_config.pid_mode,
        }
        peers = {}
        for kind, mode in modes.items():
            if mode.startswith("container:"):
                peer = self._services.registry.resolve(mode.partition(":")[2])
                is_running = peer.is_running and peer is not container
                joining.check(kind, peer.record, is_running=is_running)
                peers[kind] = Peer(peer.record, peer.status)
        return peers

    async def _launch(
        self, container: Container, connection: ShimConnection, prepared: Prepared
    ) -> protocol.StartResult:
        container.exited = container.process = None
        container.released.clear()
        container.shim = shim = self.connected(container, connection)
        with ExitStack() as stack:
            attaches: list[protocol.Attach] = []
            fds: list[int] = []
            while (client := container.take_client()) is not None:
                attaches.append(client.request)
                fds.append(stack.enter_context(client.socket).fileno())
            # One packet is done in one go, which is faster. But not everything fits into one.
            if len(attaches) + len(prepared.fds) > packets.MAX_DESCRIPTORS or any(a.early for a in attaches):
                for attach, fd in zip(attaches, fds, strict=True):
                    await shim.request(attach, fds=[fd])
                attaches, fds = [], []
            result = await shim.request(*attaches, prepared.request, fds=[*fds, *prepared.fds])
        return protocol.StartResult.from_document(result)

    def connected(self, container: Container, connection: ShimConnection) -> Shim:
        """Follow a shim: what it tells becomes commands of the container's task."""

        def on_event(event: protocol.Event) -> None:
            if isinstance(event, protocol.Exited):
                container.exited = event
                self._post(container, lambda: self.ended(container, event))
            elif isinstance(event, protocol.Released):
                container.released.set()
            elif isinstance(event, protocol.ExecExited):
                execution = container.executions.get(event.exec)
                if execution is not None:
                    execution.exited(event.exit_code)

        def on_lost() -> None:
            container.released.set()
            if container.exited is None:
                self._post(container, lambda: self.lost(container))

        return Shim(connection, on_event, on_lost)

    def _post(self, container: Container, command: Callable[[], Awaitable[None]]) -> None:
        """Send a command of which nobody awaits the result."""

        def done(future: asyncio.Future[None]) -> None:
            error = None if future.cancelled() else future.exception()
            if error is not None:
                _log.error("container %s: %s", container.id, error, exc_info=error)

        container.actor.post(command).add_done_callback(done)

    async def _undo(self, container: Container, prepared: Prepared) -> None:
        """After a failed start: wait for the shim to go, then free what was prepared."""
        shim, container.shim = container.shim, None
        if shim is not None:
            await self._await_release(container, shim)

        def free() -> None:
            if shim is not None:
                # A shim that was killed at a bad moment leaves what it has just started.
                kill_cgroup(preparation.cgroup_path(self._services.settings.cgroup_parent, container.record))
            preparation.undo(self._services, container.record, container.status, prepared)

        await self._services.threads.run(free)

    async def _start_failed(self, container: Container, error: Exception) -> None:
        code = error.exit_code if isinstance(error, errors.StartFailed) else _START_FAILED
        if code == 125:
            code = _START_FAILED
        text = str(self._explained(error))
        if container.state is State.RESTARTING:
            container.move(State.EXITED)
        container.status = msgspec.structs.replace(container.status, exit_code=code, error=text)
        database = self._services.database
        await self._services.threads.run(database.save_status, container.id, container.status)
        container.settle_waiting(NOT_RUNNING, NEXT_EXIT)
        if container.record.host_config.auto_remove:
            await self.remove(container)

    def _explained(self, error: Exception) -> Exception:
        """A runtime's error as dockerd, containerd and runc hand it on to each other."""
        if not isinstance(error, errors.StartFailed) or error.message.startswith("unable to find "):
            return error
        chain = "failed to create shim task: OCI runtime create failed: runc create failed"
        return errors.StartFailed(f"{chain}: {error.message}: unknown", error.exit_code)

    async def _started(self, container: Container, prepared: Prepared, result: protocol.StartResult) -> None:
        status = container.move(
            State.RUNNING,
            pid=result.pid,
            started_at=gotime.parse_rfc3339(result.started_at),
            finished_at=container.status.finished_at,
            exit_code=0,
            error="",
            oom_killed=False,
            **prepared.outcome,
        )
        for warning in result.warnings:
            _log.warning("container %s: %s", container.id, warning)
        self._publish_networks("connect", container, container.status.endpoints)
        volumes.publish_mounts(self._services, container.record, mounted=True)
        self.publish(container, "start")
        self.health.started(container)
        status = container.status
        await self._services.threads.run(self._services.database.save_status, container.id, status)

    # --- the end ---

    async def ended(self, container: Container, exited: protocol.Exited) -> None:
        """The container has ended by itself or by a signal."""
        if not container.state.has_processes:
            return
        # A client that attaches from now on waits for the next start.
        shim, container.shim = container.shim, None
        endpoints = container.status.endpoints
        outcome = msgspec.structs.replace(
            container.status, exit_code=exited.exit_code, finished_at=gotime.parse_rfc3339(exited.finished_at)
        )
        starts_again = not container.ends_for_good and restarts.after_an_end(container.record, outcome)
        status = container.move(
            State.RESTARTING if starts_again else State.EXITED,
            pid=0,
            exit_code=outcome.exit_code,
            oom_killed=exited.oom_killed,
            finished_at=outcome.finished_at,
            restart_count=outcome.restart_count + starts_again,
            endpoints={},
        )
        self.health.stop(container)
        status = container.status
        for execution in container.executions.values():
            execution.exited(_KILLED)
        if exited.oom_killed:
            self.publish(container, "oom")
        self.publish(container, "die", {"exitCode": str(exited.exit_code)})
        await self._services.threads.run(self._save_end, container.record, status, endpoints)
        self._publish_networks("disconnect", container, endpoints)
        volumes.publish_mounts(self._services, container.record, mounted=False)
        # Whoever waits may use its ports and its exit code from now on, whatever happens to the engine.
        container.settle_waiting(NOT_RUNNING, NEXT_EXIT)
        await self._await_release(container, shim)
        if not container.record.host_config.auto_remove or container.restarts:
            bundle = Paths.of(self._services.settings, container.id).bundle
            await self._services.threads.run(preparation.remove_bundle, bundle)
            if starts_again:
                ran_for = (status.finished_at - status.started_at) / gotime.NANOSECONDS
                self.start_again_after(container, container.backoff.next(ran_for))
            return
        try:
            await self.remove(container)
        except (errors.SampanError, OSError) as error:
            _log.error("container %s: cannot be removed: %s", container.id, error)

    def _save_end(self, record: Record, status: Status, endpoints: Endpoints) -> None:
        """In a thread."""
        self._services.network.leave(record.id, endpoints)
        volumes.release(self._services, record)
        self._services.database.save_status(record.id, status)

    async def _await_release(self, container: Container, shim: Shim | None) -> None:
        """Wait until the shim has let go of bundle and cgroup, and leave it."""
        try:
            async with asyncio.timeout(_SECONDS_TO_RELEASE):
                await container.released.wait()
        except TimeoutError:
            _log.error("container %s: its shim does not release it", container.id)
        if shim is not None:
            shim.close()

    async def lost(self, container: Container) -> None:
        """The connection to the shim has ended without news of the container."""
        if container.exited is not None or not container.state.has_processes:
            return
        exited = await self._services.threads.run(self._find_out, container)
        container.exited = exited
        await self.ended(container, exited)

    def _find_out(self, container: Container) -> protocol.Exited:
        """In a thread: the shim's last words, or the end of a container that has lost its shim."""
        exited = read_exit(Paths.of(self._services.settings, container.id).bundle)
        if exited is None:
            _log.error("container %s: its shim was killed, so it has to end", container.id)
            kill_cgroup(preparation.cgroup_path(self._services.settings.cgroup_parent, container.record))
            now = gotime.format_rfc3339(time.time_ns())
            exited = protocol.Exited(_KILLED, False, now)
        return exited

    # --- restarts by the policy ---

    def start_again_after(self, container: Container, seconds: float) -> None:
        """Start a container that is restarting, after a pause; in a recovery, that is for its end to do."""
        if self.is_recovering:
            return

        def start() -> None:
            container.next_start = None
            self._post(container, lambda: self._start_again(container))

        container.next_start = asyncio.get_running_loop().call_later(seconds, start)

    async def _start_again(self, container: Container) -> None:
        if container.state is not State.RESTARTING:
            return
        try:
            await self._start(container)
        except (errors.SampanError, OSError) as error:
            _log.error("container %s: cannot be started again: %s", container.id, error)

    async def end_for_good(self, container: Container) -> None:
        """It is told to end: do not start it again."""
        container.ends_for_good = True
        if container.next_start is not None:
            container.next_start.cancel()
            container.next_start = None
        was_restarting = container.state is State.RESTARTING
        if was_restarting:
            container.move(State.EXITED)
        container.status = msgspec.structs.replace(container.status, manually_stopped=True)
        database = self._services.database
        await self._services.threads.run(database.save_status, container.id, container.status)
        if was_restarting:
            container.settle_waiting(NOT_RUNNING, NEXT_EXIT)

    # --- removal ---

    async def remove(self, container: Container, *, with_volumes: bool = False) -> None:
        """Remove a container that does not run, with all that it wrote.

        `with_volumes`: also its volumes that nobody has named.
        """
        container.move(State.REMOVING)
        try:
            await self._services.threads.run(remove_parts, self._services, container.id)
        except (errors.SampanError, OSError) as error:
            status = container.move(State.DEAD, error=str(error))
            await self._services.threads.run(
                self._services.database.save_status, container.id, status, Intent.REMOVE
            )
            raise
        self._services.registry.discard(container)
        container.drop_clients()
        self.publish(container, "destroy")
        if with_volumes or container.record.host_config.auto_remove:
            await volumes.remove_anonymous(self._services, container.record.points)
        container.settle_waiting(*(NOT_RUNNING, NEXT_EXIT, REMOVED))

    # --- events ---

    def publish(self, container: Container, action: str, attributes: dict[str, str] | None = None) -> None:
        """An event of a container: its labels are among the attributes, as with dockerd."""
        config = container.record.config
        own = {"image": config.image, "name": container.name}
        self._services.events.publish(
            "container", action, container.id, (config.labels or {}) | own | (attributes or {})
        )

    def _publish_networks(self, action: str, container: Container, endpoints: Endpoints) -> None:
        mode = kind_of(container.record)
        for name in endpoints or ([mode] if mode in DRIVERS else []):
            self.publish_network(action, container.id, name)

    def publish_network(self, action: str, container_id: str, name: str) -> None:
        """A container has come to a network, or left it."""
        attributes = {"container": container_id, "name": name, "type": DRIVERS.get(name, "bridge")}
        identifier = self._services.network.store.identifier(name)
        self._services.events.publish("network", action, identifier, attributes)


def _check_startable(container: Container) -> None:
    if container.state in (State.RUNNING, State.RESTARTING):
        raise errors.NotModified("container is already running")
    if container.state is State.PAUSED:
        raise errors.Conflict("cannot start a paused container, try unpause instead")
    if container.state in (State.REMOVING, State.DEAD):
        raise errors.Conflict("container is marked for removal and cannot be started")


def read_exit(bundle: str) -> protocol.Exited | None:
    """The record of the end that a shim has left."""
    try:
        with open(f"{bundle}/{protocol.EXIT_NAME}", "rb") as file:
            return protocol.Exited.from_document(json.load(file))
    except (FileNotFoundError, ValueError, errors.InvalidArgument):
        return None


def kill_cgroup(path: str) -> bool:
    """End all processes of a cgroup and remove it. Whether there were any."""
    cgroup = open_cgroups().cgroup(path)
    if not cgroup.exists():
        return False
    found = bool(cgroup.pids())
    cgroup.kill()
    cgroup.delete()
    return found


def remove_parts(services: Services, identifier: str) -> None:
    """In a thread: remove everything of a container that does not run. Can run twice: the row goes last."""
    paths = Paths.of(services.settings, identifier)
    services.database.set_intent(identifier, Intent.REMOVE)
    services.images.remove_writable(identifier)
    preparation.remove_bundle(paths.bundle)
    if os.path.isdir(paths.folder):
        shutil.rmtree(paths.folder)
    services.database.delete(identifier)
