"""Execs: further processes in running containers.

Owns the instances and their states:

    state   | means                                        | may become
    --------|----------------------------------------------|---------------
    created | it was asked for                             | running, ended
    running | the shim has its process                     | ended
    ended   | its exit code is known, or it could not run  |

An exec is started once. The instances of a container are forgotten with it, and the oldest that have
ended when they become many: health checks of clients create one every few seconds.
"""

from __future__ import annotations

import asyncio
import enum
import json
import os
import secrets
import signal
import socket
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import Any

import msgspec

from sampan import errors
from sampan.engine import detachkeys, ociconfig
from sampan.engine.attaching import client_name
from sampan.engine.container import Container, Paths
from sampan.engine.health import MAX_OUTPUT
from sampan.engine.lifecycle import Lifecycle
from sampan.engine.schema import ExecCreate, ExecStart
from sampan.engine.security import capabilities
from sampan.engine.services import Services
from sampan.engine.states import State
from sampan.engine.streams import HijackedClient
from sampan.shim import protocol
from sampan.wire import attach as frames

Document = dict[str, Any]

_MAX_ENDED = 100

# Docker's exit code of a process that could not be executed (moby, ContainerExecStart).
_NOT_EXECUTABLE = 126


class ExecState(enum.Enum):
    CREATED = "created"
    RUNNING = "running"
    ENDED = "ended"


class Execution:
    """One exec. `exited` may be called by the shim's event or by the container's end."""

    def __init__(self, container: Container, config: ExecCreate, lifecycle: Lifecycle) -> None:
        self.id = secrets.token_hex(32)
        self.container = container
        self.config = config
        self.state = ExecState.CREATED
        self.pid = 0
        self.exit_code: int | None = None
        self.over = asyncio.Event()
        self._lifecycle = lifecycle

    @property
    def is_running(self) -> bool:
        return self.state is ExecState.RUNNING

    @property
    def command(self) -> list[str]:
        return self.config.cmd or []

    def publish(self, action: str, **attributes: str) -> None:
        self._lifecycle.publish(self.container, action, {"execID": self.id} | attributes)

    def began(self) -> None:
        """Raises Conflict if it was started before."""
        if self.state is ExecState.RUNNING:
            raise errors.Conflict(f"Error: Exec command {self.id} is already running")
        if self.state is ExecState.ENDED:
            raise errors.Conflict(f"Error: Exec command {self.id} has already run")
        self.state = ExecState.RUNNING

    def exited(self, code: int) -> None:
        if self.is_running:
            self.state, self.exit_code = ExecState.ENDED, code
            self.publish("exec_die", exitCode=str(code))
            self.over.set()

    def document(self) -> Document:
        """`GET /exec/{id}/json`."""
        config = self.config
        process: Document = {
            "tty": config.tty,
            "entrypoint": self.command[0],
            "arguments": self.command[1:],
            "privileged": config.privileged,
        }
        if config.user:
            process["user"] = config.user
        return {
            "ID": self.id,
            "Running": self.is_running,
            "ExitCode": self.exit_code,
            "ProcessConfig": process,
            "OpenStdin": config.attach_stdin,
            "OpenStderr": config.attach_stderr,
            "OpenStdout": config.attach_stdout,
            "CanRemove": False,
            "ContainerID": self.container.id,
            "DetachKeys": config.detach_keys,
            "Pid": self.pid,
        }


class Execs:
    """The API's tag Exec."""

    def __init__(self, services: Services, lifecycle: Lifecycle) -> None:
        self._services = services
        self._lifecycle = lifecycle

    async def create(self, reference: str, body: ExecCreate) -> Document:
        """`POST /containers/{name}/exec`."""
        if not body.cmd:
            raise errors.InvalidArgument("No exec command specified")
        for entry in body.env or ():
            if not entry.partition("=")[0]:
                raise errors.InvalidArgument(f"invalid environment variable: {entry}")
        container = self._services.registry.resolve(reference)
        _check_running(container, reference)
        detachkeys.parse(body.detach_keys)
        execution = Execution(container, body, self._lifecycle)
        container.executions[execution.id] = execution
        _forget_oldest(container)
        execution.publish(f"exec_create: {' '.join(execution.command)}")
        return {"Id": execution.id}

    async def start(self, identifier: str, body: ExecStart, client: HijackedClient | None) -> None:
        """Start the process; with a client, its connection becomes the process' streams.

        Errors before the client is accepted are the request's answer, later ones are told in the stream.
        """
        execution = self._find(identifier)
        _check_running(execution.container, execution.container.name)
        execution.began()
        try:
            if client is None:
                await self._run(execution, body)
            else:
                await self._run_attached(execution, body, client)
        except BaseException:
            execution.exited(_NOT_EXECUTABLE)
            raise

    async def resize(self, identifier: str, height: int, width: int) -> None:
        execution = self._find(identifier)
        if not execution.is_running:
            raise errors.Conflict(f"Exec command {identifier} is not running")
        shim = execution.container.running_shim()
        await shim.request(protocol.Resize(0, height, width, execution.id))

    async def inspect(self, identifier: str) -> Document:
        return self._find(identifier).document()

    async def run(self, container: Container, command: list[str], seconds: float) -> tuple[int, str]:
        """Run a command and return its exit code and output, the first 4096 bytes of it.

        Raises TimeoutError when it takes longer than that; it is killed then. Other errors as `start`.
        """
        execution = Execution(
            container, ExecCreate(cmd=command, attach_stdout=True, attach_stderr=True), self._lifecycle
        )
        container.executions[execution.id] = execution
        try:
            execution.publish(f"exec_create: {' '.join(command)}")
            execution.began()
            async with asyncio.timeout(seconds):
                output = await self._output(execution)
                await execution.over.wait()
        except TimeoutError:
            if container.shim is not None:
                with suppress(errors.SampanError):
                    await container.shim.request(protocol.Kill(0, signal.SIGKILL, execution.id))
            raise
        finally:
            execution.exited(_NOT_EXECUTABLE)
            container.executions.pop(execution.id, None)
        return execution.exit_code or 0, output

    async def _output(self, execution: Execution) -> str:
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            with theirs:
                attach = protocol.Attach(seq=0, client=client_name(), exec=execution.id)
                await self._run(execution, ExecStart(), attach, fds=[theirs.fileno()])
            loop, found = asyncio.get_running_loop(), b""
            while part := await loop.sock_recv(ours, 1 << 16):
                found = (found + part)[: MAX_OUTPUT + 1]
        text = found[:MAX_OUTPUT].decode(errors="replace")
        return f"{text}..." if len(found) > MAX_OUTPUT else text

    # --- within ---

    def _find(self, identifier: str) -> Execution:
        for container in self._services.registry:
            found = container.executions.get(identifier)
            if isinstance(found, Execution):
                return found
        raise errors.NotFound(f"No such exec instance: {identifier}")

    async def _run_attached(self, execution: Execution, body: ExecStart, client: HijackedClient) -> None:
        config = execution.config
        keys = detachkeys.parse(config.detach_keys)
        await client.accept(tty=config.tty)
        request = protocol.Attach(
            seq=0,
            client=client_name(),
            exec=execution.id,
            stdin=config.attach_stdin,
            stdout=config.attach_stdout,
            stderr=config.attach_stderr,
            multiplex=not config.tty,
            detach_keys=keys,
            early=client.early,
        )
        # The shim has its own descriptor; ours is for the words that a failure needs.
        with closing(client.detach_socket()) as sock:
            try:
                await self._run(execution, body, request, fds=[sock.fileno()])
            except (errors.SampanError, OSError) as error:
                execution.exited(_NOT_EXECUTABLE)
                text = f"{error}\r\n".encode()
                try:
                    sock.send(text if config.tty else frames.encode(frames.STDOUT, text))
                except OSError:
                    pass  # the client has left, and will not hear of it

    async def _run(
        self, execution: Execution, body: ExecStart, *attach: protocol.Attach, fds: Sequence[int] = ()
    ) -> None:
        container, config = execution.container, execution.config
        shim = container.running_shim()
        execution.publish(f"exec_start: {' '.join(execution.command)}")
        if container.process is None:
            container.process = await self._services.threads.run(self._read_process, container)
        request = protocol.Exec(
            seq=0,
            exec=execution.id,
            terminal=config.tty,
            console_size=_console_size(body, config),
            stdin_open=config.attach_stdin,
            detach=body.detach,
            user=config.user or container.record.config.user,
            groups=tuple(container.record.host_config.group_add or ()),
        )
        process = os.memfd_create("process")
        try:
            os.write(process, msgspec.json.encode(_process(execution, container.process)))
            result = await shim.request(*attach, request, fds=[*fds, process])
        except errors.StartFailed as error:
            raise _explained(error) from error
        finally:
            os.close(process)
        execution.pid = protocol.ExecResult.from_document(result).pid

    def _read_process(self, container: Container) -> Document:
        """In a thread: the process that the container was started with."""
        bundle = Paths.of(self._services.settings, container.id).bundle
        with open(f"{bundle}/{protocol.CONFIG_NAME}", "rb") as file:
            process: Document = json.load(file)["process"]
        return process


def _process(execution: Execution, first: Document) -> Document:
    """The OCI process object of an exec: the container's own, `first`, with a few changes."""
    config, record = execution.config, execution.container.record
    variables = {entry.partition("=")[0]: entry for entry in first["env"]}
    if config.tty:
        variables.setdefault("TERM", "TERM=xterm")
    chosen = capabilities.available() if config.privileged else first["capabilities"]["bounding"]
    process = first | {
        "args": execution.command,
        "terminal": config.tty,
        "env": ociconfig.merge_environment(variables, config.env),
        "cwd": config.working_dir or record.config.working_dir or "/",
        "capabilities": ociconfig.process_capabilities(chosen, config.user or record.config.user),
    }
    process.pop("consoleSize", None)
    return process


def _check_running(container: Container, reference: str) -> None:
    if container.state is State.PAUSED:
        raise errors.Conflict(f"Container {reference} is paused, unpause the container before exec")
    container.running_shim()


def _console_size(body: ExecStart, config: ExecCreate) -> tuple[int, int] | None:
    size = body.console_size or config.console_size
    if not config.tty or size is None or len(size) != 2 or not all(size):
        return None
    return size[0], size[1]


def _explained(error: errors.StartFailed) -> errors.StartFailed:
    """A runtime's error as dockerd, containerd and runc hand it on to each other."""
    if error.message.startswith("unable to find "):
        return error
    message = f"OCI runtime exec failed: exec failed: {error.message}: unknown"
    return errors.StartFailed(message, error.exit_code)


def _forget_oldest(container: Container) -> None:
    ended = [key for key, execution in container.executions.items() if execution.state is ExecState.ENDED]
    for key in ended[:-_MAX_ENDED]:
        del container.executions[key]
