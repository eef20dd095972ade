"""Clerks: a packet of requests is done by a short-lived fork of the shim, so that the shim stays small.

Owns the fork, the handover and the parentage. Knows no request. Why: code that runs writes to the pages it
lies on (reference counts, inline caches), and a page that is written to is no longer shared with the zygote.
Reading a request, running the runtime and answering touches 2.5 MB, and the seccomp profile is held for a
moment; a clerk does all that on copies of its own and hands over what came of it. The fork costs 0.7 ms.

What a clerk launches is born as its child, and becomes the shim's when the clerk ends, because the shim is a
subreaper for that moment (prctl(2), PR_SET_CHILD_SUBREAPER). Not longer: every orphan of a container without
a PID namespace of its own would come to the shim then. For the same reason such a container has its requests
done by the shim itself: see `Supervisor`.
"""

from __future__ import annotations

import _socket
import os
import signal
import socket
from collections.abc import Callable
from typing import NoReturn

from sampan.linux import processes
from sampan.shim import handover, packets
from sampan.shim.handover import CutOff, Outcome

_AF_UNIX = int(socket.AF_UNIX)
_SOCK_SEQPACKET = int(socket.SOCK_SEQPACKET)


def ask(work: Callable[[], list[Outcome]], known: Callable[[], set[int]]) -> list[Outcome]:
    """Let a clerk do `work`. The processes that it made are children of this one afterwards.

    `known` tells the children that there are anyhow.
    """
    # Not socket.socketpair: that wraps both ends into classes written in Python.
    ours, theirs = _socket.socketpair(_AF_UNIX, _SOCK_SEQPACKET)
    processes.set_child_subreaper(True)
    pid = os.fork()
    if pid == 0:
        _be_clerk(theirs, work)
    theirs.close()
    packet = packets.wait(ours)
    ours.close()
    # Only when the clerk is dead are its children ours.
    os.waitpid(pid, 0)
    processes.set_child_subreaper(False)
    if packet is None:
        # It died without a word (the OOM killer?), so there was no answer, and what it made is of no use.
        _end_children(_children() - known())
        return [(CutOff(), {})]
    return handover.decode(packet.payload, packet.fds)


def _be_clerk(shim: socket.SocketType, work: Callable[[], list[Outcome]]) -> NoReturn:
    status = 1
    try:
        # When the shim is killed now, nobody is there for what is being launched.
        processes.set_parent_death_signal()
        payload, fds = handover.encode(work())
        packets.send(shim, payload, fds)
        status = 0
    finally:
        os._exit(status)


def _children() -> set[int]:
    try:
        fd = os.open("/proc/thread-self/children", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return set()  # a kernel without CONFIG_PROC_CHILDREN
    try:
        return {int(pid) for pid in os.read(fd, 1 << 16).split()}
    finally:
        os.close(fd)


def _end_children(pids: set[int]) -> None:
    """A process that nobody waits for would keep its PID namespace from ending."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
