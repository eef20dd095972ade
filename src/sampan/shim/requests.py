"""Doing the requests of controllers: read them, do them, and tell the shim what came of each.

Owns what each request means and in which phase it may come (the table in `protocol`). Runs in a clerk, on a
copy of the shim: it reads the shim's state, never changes it, and may use as much memory as it likes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from sampan import errors
from sampan.linux import sockets as socket
from sampan.runtime.launch import Launched, Stdio
from sampan.shim import directory, packets, protocol
from sampan.shim.container import start_container
from sampan.shim.handover import (
    CutOff,
    Declined,
    ExecRefused,
    ExecStarted,
    Handover,
    Joined,
    Outcome,
    Started,
    StartRefused,
)
from sampan.shim.logfile import open_log
from sampan.shim.packets import Packet
from sampan.shim.pipes import Pipes
from sampan.shim.process import Process
from sampan.shim.protocol import Phase
from sampan.wire.gotime import format_rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from sampan.shim.supervisor import Supervisor

    _T = TypeVar("_T")
    # What a request gives: its answer, and for the shim what to go on with, and the descriptors for that.
    _Done = tuple[dict[str, Any], Handover | None, dict[str, int]]


def answer(shim: Supervisor, packet: Packet) -> list[Outcome]:
    """Do the requests in `packet`. The descriptors in it stay the caller's."""
    try:
        asked = protocol.decode_requests(packet.payload)
        if sum(len(request.fds) for request in asked) != len(packet.fds):
            operations = ", ".join(request.OP for request in asked)
            raise errors.InvalidArgument(f"{operations}: wrong number of descriptors")
    except errors.InvalidArgument as error:
        failures = [protocol.Failure(seq, error.message) for seq in protocol.sequences_of(packet.payload)]
        return [Outcome(protocol.encode_response(failure)) for failure in failures] or [
            Outcome(handover=CutOff())
        ]
    outcomes: list[Outcome] = []
    has_failed, first = False, 0
    for request in asked:
        try:
            if has_failed:
                raise errors.Conflict(f"{request.OP}: not done, since the request before it has failed")
            result, handover, fds = _do(shim, request, packet.fds, first)
        except (errors.SampanError, OSError) as error:
            has_failed = True
            failure = protocol.encode_response(_failure(request, error))
            outcomes.append(Outcome(failure, _refusal(shim, request)))
        else:
            reply = protocol.encode_response(protocol.Reply(request.seq, result))
            outcomes.append(Outcome(reply, handover, fds))
        first += len(request.fds)
    return outcomes


def answer_exec(shim: Supervisor, packet: Packet, started: set[str]) -> list[Outcome]:
    """Do the requests in `packet` if they are for one new exec, for which an old copy of the shim is enough.

    `started` are the execs that were started since the copy was made.
    """
    try:
        asked = protocol.decode_requests(packet.payload)
    except errors.InvalidArgument:
        asked = []
    exec_ids = {request.exec for request in asked if isinstance(request, protocol.Attach | protocol.Exec)}
    if not asked or not isinstance(asked[-1], protocol.Exec) or exec_ids != {asked[-1].exec}:
        return [Outcome(handover=Declined())]
    if asked[-1].exec in started:
        return [Outcome(handover=Declined())]
    started.add(asked[-1].exec)
    return answer(shim, packet)


def _failure(request: protocol.Request, error: errors.SampanError | OSError) -> protocol.Failure:
    exit_code = error.exit_code if isinstance(error, errors.StartFailed) else None
    return protocol.Failure(request.seq, str(error), exit_code)


def _refusal(shim: Supervisor, request: protocol.Request) -> Handover | None:
    if isinstance(request, protocol.Start) and shim.phase is Phase.NEW:
        return StartRefused()
    if isinstance(request, protocol.Exec) and not shim.execs.is_started(request.exec):
        return ExecRefused(request.exec)
    return None


def _do(shim: Supervisor, request: protocol.Request, fds: tuple[int, ...], first: int) -> _Done:
    """Do one request; its descriptors are those of `fds` from the `first` on."""
    if isinstance(request, protocol.Attach):
        return {}, _attach(shim, request, fds, first), {}
    if isinstance(request, protocol.Start):
        return _start(shim, request, dict(zip(request.fds, fds[first:], strict=False)))
    if isinstance(request, protocol.Exec):
        return _exec(shim, request, fds[first])
    if isinstance(request, protocol.State):
        pid = None if shim.process is None else shim.process.pid
        state = protocol.StateResult(shim.phase, pid, shim.started_at, shim.execs.states())
        return protocol.document_of(state), None, {}
    if isinstance(request, protocol.Resize):
        _addressed(shim, request.exec).streams.resize(request.height, request.width)
    else:
        _addressed(shim, request.exec).kill(request.signal)
    return {}, None, {}


def _attach(shim: Supervisor, request: protocol.Attach, fds: tuple[int, ...], position: int) -> Joined:
    if shim.phase not in (Phase.NEW, Phase.RUNNING, Phase.DRAINING):
        raise _wrong_phase(shim)
    if request.exec is not None and shim.execs.is_over(request.exec):
        raise errors.Conflict(f"exec {request.exec} has ended")
    with socket.socket(fileno=os.dup(fds[position])) as client:
        if client.type != socket.SOCK_STREAM:
            raise errors.InvalidArgument("attach: the descriptor is not a stream socket")
    wanted = (request.stdin, request.stdout, request.stderr)
    return Joined(
        position=position,
        exec=request.exec,
        name=request.client,
        streams=frozenset(stream for stream, is_wanted in enumerate(wanted) if is_wanted),
        multiplex=request.multiplex,
        detach_keys=bytes(request.detach_keys),
        early=request.early,
    )


def _start(shim: Supervisor, request: protocol.Start, fds: Mapping[str, int]) -> _Done:
    if shim.phase is not Phase.NEW:
        raise _wrong_phase(shim)
    log, log_fds = None, {}
    if request.log is not None:
        log, fd = open_log(request.log.path, request.log.max_size, request.log.max_file)
        log_fds = {"log": fd}
    listener = directory.claim(shim.directory, shim.pid)
    try:
        (launched, facts), streams = _with_streams(
            request,
            False,
            lambda stdio: start_container(shim.container_id, shim.directory, request, fds, stdio),
        )
    except BaseException:
        directory.release(shim.directory)
        raise
    started_at = format_rfc3339(time.time_ns())
    started = Started(launched.pid, started_at, request.terminal, request.stdin_once, facts, log)
    result = protocol.StartResult(launched.pid, started_at, launched.warnings)
    handed = log_fds | streams | _descriptors(launched, request.stdin_open) | {"listener": listener}
    return protocol.document_of(result), started, handed


def _exec(shim: Supervisor, request: protocol.Exec, process: int) -> _Done:
    container = shim.container
    if shim.phase is not Phase.RUNNING or shim.process is None or container is None:
        raise _wrong_phase(shim)
    if shim.execs.is_started(request.exec):
        raise errors.Conflict(f"exec {request.exec} was started already")
    init = shim.process.pid
    launched, streams = _with_streams(
        request,
        request.detach,
        lambda stdio: container.start_exec(init, request, process, stdio),
    )
    outcome = ExecStarted(request.exec, launched.pid, request.terminal)
    result = protocol.document_of(protocol.ExecResult(launched.pid))
    return result, outcome, streams | _descriptors(launched, request.stdin_open)


def _with_streams(
    request: protocol.Start | protocol.Exec, discard: bool, launch: Callable[[Stdio | None], _T]
) -> tuple[_T, dict[str, int]]:
    """Launch with new pipes, unless there is a terminal; returns our ends of them as well."""
    if request.terminal:
        return launch(None), {}
    pipes = Pipes(stdin_open=request.stdin_open, discard=discard)
    try:
        return launch(pipes.theirs), pipes.ours
    except BaseException:
        packets.close_all(tuple(pipes.ours.values()))
        raise
    finally:
        pipes.close_theirs()


def _descriptors(launched: Launched, stdin_open: bool) -> dict[str, int]:
    fds = {"pidfd": launched.pidfd}
    if launched.console is not None:
        fds["console"] = launched.console
        if stdin_open:
            # A duplicate for writing, since epoll knows one interest for each descriptor.
            fds["stdin"] = os.dup(launched.console)
    return fds


def _addressed(shim: Supervisor, exec_id: str | None) -> Process:
    """The process that a request is meant for."""
    if shim.phase is not Phase.RUNNING or shim.process is None:
        raise _wrong_phase(shim)
    return shim.process if exec_id is None else shim.execs.process(exec_id)


def _wrong_phase(shim: Supervisor) -> errors.Conflict:
    return errors.Conflict(f"container {shim.container_id} is {shim.phase.value}")
