"""The execs of a container: further processes in its namespaces, each with streams of its own.

Owns which execs there are, the clients that came before their process, and exit codes that nobody has heard
of yet. Knows neither the container's own process nor the controllers; the supervisor passes both in.

    an exec is | there is                     | is left when
    -----------|------------------------------|-----------------------------------------------------------
    awaited    | streams with early clients   | `exec` starts it → running; a controller or all clients left →
               |                              | forgotten
    running    | a process                    | it is dead, its output read → over
    over       | its exit code, its clients   | a controller got the code, clients got their output →
    forgotten
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sampan import errors
from sampan.records import dataclass
from sampan.shim import protocol
from sampan.shim.handover import ExecStarted
from sampan.shim.loop import Loop
from sampan.shim.process import Process
from sampan.shim.streams import Streams

# Exit codes kept for a controller that may come back; health checks would otherwise add one every few
# seconds.
_MAX_UNTOLD = 64


@dataclass(slots=True, eq=False)
class _Execution:
    streams: Streams
    process: Process | None = None
    told: bool = False  # a controller has got `exec_exited`


class Executions:
    """All execs of the container, by id."""

    def __init__(self, loop: Loop, new_streams: Callable[[str], Streams]) -> None:
        self._loop = loop
        self._new_streams = new_streams
        self._executions: dict[str, _Execution] = {}

    @property
    def running(self) -> bool:
        """Whether a process is alive, or its output not yet complete."""
        return any(e.process is not None and not e.process.finished for e in self._executions.values())

    @property
    def has_clients(self) -> bool:
        return any(execution.streams.clients for execution in self._executions.values())

    def is_started(self, exec_id: str) -> bool:
        execution = self._executions.get(exec_id)
        return execution is not None and execution.process is not None

    def is_over(self, exec_id: str) -> bool:
        execution = self._executions.get(exec_id)
        return execution is not None and execution.process is not None and execution.process.finished

    def processes(self) -> list[Process]:
        return [e.process for e in self._executions.values() if e.process is not None]

    def process(self, exec_id: str) -> Process:
        execution = self._executions.get(exec_id)
        if execution is None or execution.process is None:
            raise errors.NotFound(f"No such exec instance: {exec_id}")
        return execution.process

    def streams(self, exec_id: str) -> Streams:
        """Where a client of this exec joins; before the exec starts, too."""
        execution = self._executions.get(exec_id)
        if execution is None:
            execution = self._executions[exec_id] = _Execution(self._new_streams(exec_id))
        return execution.streams

    def begin(self, started: ExecStarted, fds: Mapping[str, int]) -> None:
        """The process of an exec runs."""
        streams = self.streams(started.exec)
        process = Process(self._loop, started.pid, fds["pidfd"], streams)
        self._executions[started.exec].process = process
        # As moby for execs: the end of the client's input is the end of stdin.
        streams.begin(fds, terminal=started.terminal, stdin_once=True)

    def refuse(self, exec_id: str) -> None:
        """The exec could not be started: let its clients go."""
        self.streams(exec_id).let_go()

    def forget_awaited(self) -> None:
        """A controller has left: nobody starts what it had not started yet, so let the clients go."""
        for execution in self._executions.values():
            if execution.process is None:
                execution.streams.close()

    def states(self) -> dict[str, protocol.ExecState]:
        """What `state` reports."""
        return {
            exec_id: protocol.ExecState(
                execution.process.pid, execution.process.exit_code if execution.process.finished else None
            )
            for exec_id, execution in self._executions.items()
            if execution.process is not None
        }

    def settle(self, publish: Callable[[protocol.Event], int]) -> None:
        """Tell of the execs that are over, and forget what nobody needs any more."""
        for exec_id, execution in list(self._executions.items()):
            process = execution.process
            if process is None:
                if not execution.streams.clients:
                    del self._executions[exec_id]
                continue
            process.settle()
            if process.exit_code is None or not process.finished:
                continue
            if not execution.told:
                execution.told = publish(protocol.ExecExited(exec_id, process.exit_code)) > 0
            # Only now: who sees the end of the output asks for the exit code next.
            execution.streams.close()
            if execution.told and not execution.streams.clients:
                del self._executions[exec_id]
        self._forget_oldest()

    def close(self) -> None:
        """The container is over: nothing of an exec will start or move any more."""
        for execution in self._executions.values():
            execution.streams.close()

    def _forget_oldest(self) -> None:
        untold = [
            exec_id
            for exec_id, execution in self._executions.items()
            if execution.process is not None and execution.process.finished and not execution.streams.clients
        ]
        for exec_id in untold[:-_MAX_UNTOLD]:
            del self._executions[exec_id]
