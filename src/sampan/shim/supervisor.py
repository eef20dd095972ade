"""A shim: the process that stands beside one container from its start to its end.

Owns the container's phase (the table in `protocol`), its log, its exit record and the order of things at its
end. Knows streams, execs and controllers only through their few calls, and leaves requests to clerks. It
outlives engine and zygote: it needs neither once the container runs.

What happens within one round of the loop is settled at its end, in `_settle`: so it does not matter which
descriptor was ready first, and no callback is ever called from inside another object's half-done work.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from sampan.linux import signals as signal
from sampan.linux import sockets as socket
from sampan.shim import directory, packets, protocol, requests
from sampan.shim.attach import AttachedClient
from sampan.shim.clerk import Clerks
from sampan.shim.container import Container
from sampan.shim.control import Controllers
from sampan.shim.execs import Executions
from sampan.shim.handover import (
    CutOff,
    ExecRefused,
    ExecStarted,
    Handover,
    Joined,
    Outcome,
    Started,
    StartRefused,
)
from sampan.shim.logfile import LogFile
from sampan.shim.loop import Loop
from sampan.shim.packets import Packet
from sampan.shim.process import Process
from sampan.shim.protocol import Phase
from sampan.shim.streams import Streams
from sampan.wire import jsontext
from sampan.wire.gotime import format_rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# How long clients may take to read the last output, once the container and all that belongs to it is gone.
LINGER_SECONDS = 600.0


class Supervisor:
    """The state of one shim. `run` returns when nothing is left to do. Clerks read the public attributes."""

    def __init__(self, container_id: str, directory: str, control: socket.SocketType) -> None:
        self.container_id = container_id
        self.directory = directory
        self.pid = os.getpid()
        self.phase = Phase.NEW
        self.process: Process | None = None
        self.started_at: str | None = None
        self._loop = Loop()
        self._loop.after_round = self._settle
        self.execs = Executions(self._loop, self._new_streams)
        self._clerks = Clerks(self._loop, self._answer, self._answer_again, self._known_pids)
        self._started_by_clerk: set[str] = set()
        self._controllers = Controllers(self._loop, self._handle, self.execs.forget_awaited)
        self._streams = self._new_streams(None)
        self.container: Container | None = None
        self._log: LogFile | None = None
        self._finished_at = ""
        self._controllers.add(control)

    def run(self) -> None:
        self._loop.run()
        self._clerks.close()

    def run_round(self) -> None:
        """One round of `run`."""
        self._loop.run_round()

    def abandon(self) -> None:
        """Close everything, whatever state it is in."""
        self._controllers.close()
        self._clerks.close()
        for process in (self.process, *self.execs.processes()):
            if process is not None:
                process.close()
        self._streams.close()
        self.execs.close()
        if self._log is not None:
            self._log.close()
        self._loop.close()

    def kill_container(self) -> None:
        """Last resort after an error of the shim itself: do not leave a container that nobody looks after."""
        if self.process is not None and self.process.exit_code is None:
            self.process.kill(signal.SIGKILL)
        self._remove_container()
        directory.release(self.directory)

    # --- requests ---

    def _handle(self, controller: socket.SocketType, packet: Packet) -> None:
        """Have requests done, answer them and go on with what came of them."""
        outcomes = self._clerks.ask(packet)
        clients = {o.handover.position for o in outcomes if isinstance(o.handover, Joined)}
        packets.close_all([fd for position, fd in enumerate(packet.fds) if position not in clients])
        for outcome in outcomes:
            if isinstance(outcome.handover, CutOff):
                self._controllers.drop(controller)
                continue
            self._controllers.answer(controller, outcome.reply)
            if isinstance(outcome.handover, Joined):
                self.proceed(outcome.handover, {"client": packet.fds[outcome.handover.position]})
            else:
                self.proceed(outcome.handover, outcome.fds)

    def _answer(self, packet: Packet) -> list[Outcome]:
        """In a clerk."""
        outcomes = requests.answer(self, packet)
        started = (o.handover.exec for o in outcomes if isinstance(o.handover, ExecStarted))
        self._started_by_clerk.update(started)
        return outcomes

    def _answer_again(self, packet: Packet) -> list[Outcome]:
        """In a clerk that has stayed."""
        return requests.answer_exec(self, packet, self._started_by_clerk)

    def proceed(self, outcome: Handover | None, fds: Mapping[str, int]) -> None:
        """Go on with what came of a request; owns the descriptors."""
        if isinstance(outcome, Joined):
            self._join(outcome, fds["client"])
        elif isinstance(outcome, Started):
            self._begin(outcome, fds)
        elif isinstance(outcome, ExecStarted):
            self.execs.begin(outcome, fds)
        elif isinstance(outcome, ExecRefused):
            self.execs.refuse(outcome.exec)
            self._clerks.end_strays()
        elif isinstance(outcome, StartRefused):
            self._clerks.end_strays()
            # The supervisor ends after this: `_settle` sees it by the phase.
            self.phase = Phase.EXITED

    def _known_pids(self) -> set[int]:
        """Our children that are no clerks."""
        processes = self.execs.processes()
        if self.process is not None:
            processes.append(self.process)
        return {process.pid for process in processes}

    def _join(self, joined: Joined, fd: int) -> None:
        streams = self._streams if joined.exec is None else self.execs.streams(joined.exec)
        client = AttachedClient(
            self._loop,
            streams,
            socket.SocketType(fileno=fd),
            name=joined.name,
            streams=joined.streams,
            multiplex=joined.multiplex,
            detach_keys=joined.detach_keys,
            early=joined.early,
        )
        streams.join(client)

    def _begin(self, started: Started, fds: Mapping[str, int]) -> None:
        self.phase = Phase.RUNNING
        self.started_at = started.started_at
        self.container = Container(self.container_id, self.directory, started.container)
        self._controllers.listen(fds["listener"])
        if started.log is not None:
            self._log = self._streams.log = LogFile(started.log, fds["log"])
        self.process = Process(self._loop, started.pid, fds["pidfd"], self._streams, self._init_died)
        self._streams.begin(fds, terminal=started.terminal, stdin_once=started.stdin_once)

    # --- the end ---

    def _init_died(self) -> None:
        self.phase = Phase.DRAINING
        self._clerks.dismiss()
        self._finished_at = format_rfc3339(time.time_ns())
        if self.container is not None:
            self.container.end_rest()

    def _settle(self) -> None:
        """At the end of each round: do what has become due."""
        if self._log is not None:
            self._log.flush()
        if self.process is not None:
            self.process.settle()
        self.execs.settle(self._controllers.publish)
        if self.phase is Phase.DRAINING:
            self._finish_if_drained()
        elif self.phase is Phase.EXITED or (self.phase is Phase.NEW and not self._controllers.count):
            # It never ran: nothing to tell but the reply that is sent already.
            self._release()
        if self.phase is Phase.RELEASED and not (self._streams.clients or self.execs.has_clients):
            self._loop.stop()

    def _finish_if_drained(self) -> None:
        process = self.process
        if process is None or process.exit_code is None or not process.finished or self.execs.running:
            return
        if self._log is not None:
            self._log.close()
            self._log = self._streams.log = None
        was_oom_killed = self.container is not None and self.container.was_oom_killed()
        exited = protocol.Exited(process.exit_code, was_oom_killed, self._finished_at)
        directory.write(
            self.directory, protocol.EXIT_NAME, jsontext.text(protocol.document_of(exited)).encode()
        )
        self.phase = Phase.EXITED
        self._controllers.publish(exited)
        self._streams.close()
        self._remove_container()
        self._release()

    def _release(self) -> None:
        directory.release(self.directory)
        self.phase = Phase.RELEASED
        self._controllers.publish(protocol.Released())
        self._controllers.close()
        self._streams.close()
        self.execs.close()
        self._loop.call_after(LINGER_SECONDS, self._loop.stop)

    def _remove_container(self) -> None:
        if self.container is not None:
            for problem in self.container.remove():
                directory.complain(self.directory, f"{problem}\n")
            self.container = None

    # --- streams ---

    def _new_streams(self, exec_id: str | None) -> Streams:
        def detached(client: AttachedClient) -> None:
            self._controllers.publish(protocol.Detached(client.name, exec_id))

        return Streams(self._loop, detached)


def main(container_id: str, path: str, control: socket.SocketType) -> NoReturn:
    """The life of a shim, in a process that the zygote has just forked. Never returns."""
    status = 1
    try:
        _become_independent()
        supervisor = Supervisor(container_id, path, control)
        try:
            supervisor.run()
            status = 0
        except BaseException:
            directory.complain(path, _traceback())
            supervisor.kill_container()
    except BaseException:
        directory.complain(path, _traceback())
    finally:
        # Without the interpreter's clean-up: it would touch, and so copy, every page shared with the zygote.
        os._exit(status)


def _traceback() -> str:
    import traceback  # no shim needs it that works

    return traceback.format_exc()


def _become_independent() -> None:
    """Leave the session of the zygote, its signals and its stdio."""
    os.setsid()
    # The zygote ignores SIGCHLD, and then there would be nothing to wait for (waitpid(2)).
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in range(3):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)
