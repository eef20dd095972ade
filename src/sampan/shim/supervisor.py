"""A shim: the process that stands beside one container from its start to its end.

Owns the container's phase (the table in `protocol`), its log, its exit record and the order of things at its
end. Knows streams, execs and controllers only through their few calls. It outlives engine and zygote: it
needs neither once the container runs.

What happens within one round of the loop is settled at its end, in `_settle`: so it does not matter which
descriptor was ready first, and no callback is ever called from inside another object's half-done work.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import traceback
from collections.abc import Mapping
from typing import NoReturn

from sampan import errors
from sampan.runtime.launch import Launched
from sampan.shim import attach, packets, protocol
from sampan.shim.attach import AttachedClient
from sampan.shim.container import Container
from sampan.shim.control import Controllers
from sampan.shim.execs import Executions
from sampan.shim.logfile import LogFile
from sampan.shim.loop import Loop
from sampan.shim.process import Process
from sampan.shim.protocol import Phase
from sampan.shim.streams import StreamOptions, Streams
from sampan.wire.gotime import format_rfc3339

# How long clients may take to read the last output, once the container and all that belongs to it is gone.
LINGER_SECONDS = 600.0


class Supervisor:
    """The state of one shim. `run` returns when nothing is left to do."""

    def __init__(self, container: str, directory: str, control: socket.socket) -> None:
        self.phase = Phase.NEW
        self._container = Container(container, directory)
        self._directory = directory
        self._loop = Loop()
        self._loop.after_round = self._settle
        self._controllers = Controllers(self._loop, self._handle)
        self._streams = self._new_streams(None)
        self._execs = Executions(self._loop, self._new_streams)
        self._log: LogFile | None = None
        self._process: Process | None = None
        self._started_at: str | None = None
        self._finished_at = ""
        self._controllers.add(control)

    def run(self) -> None:
        self._claim_directory()
        self._loop.run()

    def kill_container(self) -> None:
        """Last resort after an error of the shim itself: do not leave a container that nobody looks after."""
        if self._process is not None and self._process.exit_code is None:
            self._process.kill(signal.SIGKILL)
        self._remove_container()
        self._release_directory()

    # --- requests ---

    def _handle(self, request: protocol.Request, fds: tuple[int, ...]) -> protocol.Result | None:
        """Do one request; owns its descriptors."""
        if isinstance(request, protocol.Attach):
            self._attach(request, fds[0])
            return None
        if isinstance(request, protocol.Start):
            try:
                return self._start(request, dict(zip(request.fds, fds, strict=True)))
            finally:
                packets.close_all(fds)
        if isinstance(request, protocol.State):
            pid = None if self._process is None else self._process.pid
            return protocol.StateResult(self.phase, pid, self._started_at, self._execs.states())
        if isinstance(request, protocol.Exec):
            return self._exec(request)
        if isinstance(request, protocol.Resize):
            self._addressed(request.exec).streams.resize(request.height, request.width)
        else:
            self._addressed(request.exec).kill(request.signal)
        return None

    def _attach(self, request: protocol.Attach, fd: int) -> None:
        sock = attach.adopt(fd)
        try:
            if self.phase not in (Phase.NEW, Phase.RUNNING, Phase.DRAINING):
                raise self._wrong_phase()
            streams = self._streams if request.exec is None else self._execs.streams(request.exec)
        except BaseException:
            sock.close()
            raise
        wanted = (request.stdin, request.stdout, request.stderr)
        client = AttachedClient(
            self._loop,
            streams,
            sock,
            name=request.client,
            streams=frozenset(stream for stream, is_wanted in enumerate(wanted) if is_wanted),
            multiplex=request.multiplex,
            detach_keys=bytes(request.detach_keys),
            early=request.early,
        )
        streams.join(client)

    def _start(self, request: protocol.Start, fds: Mapping[str, int]) -> protocol.StartResult:
        if self.phase is not Phase.NEW:
            raise self._wrong_phase()
        try:
            launched = self._launch(request, fds)
        except BaseException:
            # The supervisor ends after this: `_settle` sees it by the phase.
            self.phase = Phase.EXITED
            raise
        self.phase = Phase.RUNNING
        self._started_at = format_rfc3339(time.time_ns())
        self._process = Process(self._loop, launched, self._streams, self._init_died)
        self._streams.begin()
        return protocol.StartResult(launched.pid, self._started_at, launched.warnings)

    def _launch(self, request: protocol.Start, fds: Mapping[str, int]) -> Launched:
        if request.log is not None:
            self._log = LogFile(request.log.path, request.log.max_size, request.log.max_file)
            self._streams.log = self._log
        options = StreamOptions(request.terminal, request.stdin_open, request.stdin_once)
        return self._streams.open(options, lambda stdio: self._container.start(request, fds, stdio))

    def _exec(self, request: protocol.Exec) -> protocol.ExecResult:
        if self.phase is not Phase.RUNNING:
            raise self._wrong_phase()
        return protocol.ExecResult(self._execs.start(request, self._container.exec))

    def _addressed(self, exec_id: str | None) -> Process:
        """The process that a request is meant for."""
        if self.phase is not Phase.RUNNING or self._process is None:
            raise self._wrong_phase()
        return self._process if exec_id is None else self._execs.process(exec_id)

    def _wrong_phase(self) -> errors.Conflict:
        return errors.Conflict(f"container {self._container.id} is {self.phase.value}")

    # --- the end ---

    def _init_died(self) -> None:
        self.phase = Phase.DRAINING
        self._finished_at = format_rfc3339(time.time_ns())
        self._container.end_rest()

    def _settle(self) -> None:
        """At the end of each round: do what has become due."""
        if self._log is not None:
            self._log.flush()
        if self._process is not None:
            self._process.settle()
        self._execs.settle(self._controllers.publish)
        if self.phase is Phase.DRAINING:
            self._finish_if_drained()
        elif self.phase is Phase.EXITED or (self.phase is Phase.NEW and not self._controllers.count):
            # It never ran: nothing to tell but the reply that is sent already.
            self._release()
        if self.phase is Phase.RELEASED and not (self._streams.clients or self._execs.has_clients):
            self._loop.stop()

    def _finish_if_drained(self) -> None:
        process = self._process
        assert process is not None
        if process.exit_code is None or not process.finished or self._execs.running:
            return
        if self._log is not None:
            self._log.close()
            self._log = self._streams.log = None
        exited = protocol.Exited(process.exit_code, self._container.was_oom_killed(), self._finished_at)
        self._write_file(protocol.EXIT_NAME, json.dumps(protocol.document_of(exited)))
        self.phase = Phase.EXITED
        self._controllers.publish(exited)
        self._remove_container()
        self._release()

    def _release(self) -> None:
        self._release_directory()
        self.phase = Phase.RELEASED
        self._controllers.publish(protocol.Released())
        self._controllers.close()
        self._streams.close()
        self._execs.close()
        self._loop.call_after(LINGER_SECONDS, self._loop.stop)

    def _remove_container(self) -> None:
        for problem in self._container.remove():
            self._complain(f"{problem}\n")

    # --- DIR ---

    def _claim_directory(self) -> None:
        """Become the shim of DIR. There is one at a time: what is there is from one that was killed."""
        for name in (protocol.SOCKET_NAME, protocol.EXIT_NAME):
            self._remove_file(name)
        directory_fd = os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._controllers.listen(directory_fd)
        os.close(directory_fd)
        self._write_file(protocol.PID_NAME, f"{os.getpid()}\n")

    def _release_directory(self) -> None:
        for name in (protocol.SOCKET_NAME, protocol.PID_NAME):
            self._remove_file(name)

    def _write_file(self, name: str, text: str) -> None:
        """Whole or not at all, also for a reader that comes in between."""
        path = f"{self._directory}/{name}"
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(f"{path}.new", path)

    def _remove_file(self, name: str) -> None:
        try:
            os.unlink(f"{self._directory}/{name}")
        except FileNotFoundError:
            pass

    def _complain(self, text: str) -> None:
        complain(self._directory, text)

    # --- streams ---

    def _new_streams(self, exec_id: str | None) -> Streams:
        def detached(client: AttachedClient) -> None:
            self._controllers.publish(protocol.Detached(client.name, exec_id))

        return Streams(self._loop, detached)


def complain(directory: str, text: str) -> None:
    """Write to DIR/shim.log what went wrong in the shim itself; there is nobody else to tell."""
    try:
        with open(f"{directory}/{protocol.ERROR_NAME}", "a", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        pass


def main(container: str, directory: str, control: socket.socket) -> NoReturn:
    """The life of a shim, in a process that the zygote has just forked. Never returns."""
    status = 1
    try:
        _become_independent()
        supervisor = Supervisor(container, directory, control)
        try:
            supervisor.run()
            status = 0
        except BaseException:
            complain(directory, traceback.format_exc())
            supervisor.kill_container()
    except BaseException:
        complain(directory, traceback.format_exc())
    finally:
        # Without the interpreter's clean-up: it would touch, and so copy, every page shared with the zygote.
        os._exit(status)


def _become_independent() -> None:
    """Leave the session of the zygote, its signals and its stdio."""
    os.setsid()
    # The zygote ignores SIGCHLD, and then there would be nothing to wait for (waitpid(2)).
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # A container ends by its own signals; a hand-written `kill` must not leave it without its log and exit
    # code.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in range(3):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)
