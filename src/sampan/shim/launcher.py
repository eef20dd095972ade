"""Launching in a process of its own, so that the shim stays small.

Owns the short-lived launcher: a fork of the shim that runs the runtime, hands over what came of it, and ends.
Why: running the runtime's code writes to the pages it lies on (reference counts, inline caches), and each
page that is written to is no longer shared with the zygote. Measured: 2.5 MB for each container; the fork
costs 0.5 ms.

The new process is born as the launcher's child and becomes the shim's when the launcher ends, because the
shim is a subreaper for that moment (prctl(2), PR_SET_CHILD_SUBREAPER). Not longer: in a container without a
PID namespace of its own every orphan would come to the shim then. For the same reason such containers do
without a launcher for their execs.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from sampan import errors
from sampan.linux import processes
from sampan.runtime.launch import Launched
from sampan.shim import packets

# Failures keep their class on the way; what is not here becomes a SampanError.
_ERRORS: dict[str, type[errors.SampanError]] = {
    "InvalidArgument": errors.InvalidArgument,
    "Unsupported": errors.Unsupported,
    "Conflict": errors.Conflict,
}

# Launches, and tells with it what the shim wants to remember: a JSON object.
Work = Callable[[], tuple[Launched, dict[str, Any]]]


class LauncherDied(errors.SampanError):
    """The launcher ended without a word (the OOM killer?), and may have left a cgroup."""


def launch_apart(work: Work) -> tuple[Launched, dict[str, Any]]:
    """Do `work` in a launcher; the process that it launched is a child of this one afterwards.

    Raises what `work` raised, if it is a SampanError or an OSError.
    """
    known = _children()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    processes.set_child_subreaper(True)
    try:
        pid = os.fork()
        if pid == 0:
            _be_launcher(theirs, work)
        theirs.close()
        packet = packets.wait(ours)
        # Only when the launcher is dead is its child ours.
        os.waitpid(pid, 0)
    finally:
        processes.set_child_subreaper(False)
        theirs.close()
        ours.close()
    if packet is None:
        _end_children(_children() - known)
        raise LauncherDied("the launcher of the process has died")
    return _result(json.loads(packet.payload), packet.fds)


def _result(document: dict[str, Any], fds: tuple[int, ...]) -> tuple[Launched, dict[str, Any]]:
    if "error" not in document:
        console = fds[1] if len(fds) > 1 else None
        return Launched(document["pid"], fds[0], console, tuple(document["warnings"])), document["facts"]
    kind, message = document["error"], document["message"]
    if kind == errors.StartFailed.__name__:
        raise errors.StartFailed(message, document["exit_code"])
    raise _ERRORS.get(kind, errors.SampanError)(message)


def _be_launcher(shim: socket.socket, work: Work) -> NoReturn:
    status = 1
    try:
        # When the shim is killed now, nobody is there for the container.
        processes.set_parent_death_signal()
        fds: tuple[int, ...] = ()
        try:
            launched, facts = work()
            document = {"pid": launched.pid, "warnings": launched.warnings, "facts": facts}
            fds = (launched.pidfd,) if launched.console is None else (launched.pidfd, launched.console)
        except (errors.SampanError, OSError) as error:
            document = _failure(error)
        packets.send(shim, json.dumps(document).encode(), fds)
        status = 0
    finally:
        # An error that is not expected here ends as LauncherDied.
        os._exit(status)


def _failure(error: errors.SampanError | OSError) -> dict[str, Any]:
    document: dict[str, Any] = {"error": type(error).__name__, "message": str(error)}
    if isinstance(error, errors.StartFailed):
        document["exit_code"] = error.exit_code
    return document


def _children() -> set[int]:
    try:
        with open("/proc/thread-self/children", encoding="ascii") as file:
            return {int(pid) for pid in file.read().split()}
    except FileNotFoundError:
        return set()  # a kernel without CONFIG_PROC_CHILDREN


def _end_children(pids: set[int]) -> None:
    """A process that nobody waits for would keep its PID namespace from ending."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
