"""Clerks: a packet of requests is done by a fork of the shim, so that the shim itself stays small.

Owns the forks, how long they stay, and what they hand over. Knows no request. Why: code that runs writes to
the pages it lies on (reference counts, inline caches), and a page that is written to is no longer shared with
the zygote. Reading a request, running the runtime and answering touches 4 MB, and the seccomp profile is held
for a moment; a clerk does all that on copies of its own and hands over what came of it.

A fork and its copies cost 2 ms. Most clerks do one packet; one that has started an exec stays for a while,
since more execs often come soon, from scripts and health checks. It does nothing else: it has the state that
the shim had when it was forked, and a new exec depends on nothing that may have changed since.

What a clerk launches is born as the shim's child (clone(2), CLONE_PARENT), which waits for its end.
"""

from __future__ import annotations

import _socket
import os
import time
from collections.abc import Callable

from sampan.linux import processes
from sampan.linux import signals as signal
from sampan.linux import sockets as socket
from sampan.shim import handover, packets
from sampan.shim.handover import CutOff, Declined, Outcome
from sampan.shim.loop import Loop, Timer
from sampan.shim.packets import Packet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

STAY_SECONDS = 5.0

_REAP_SECONDS = 0.02
_MAX_FD = 2**31 - 1  # closerange is one close_range(2)
_AF_UNIX = int(socket.AF_UNIX)
_SOCK_SEQPACKET = int(socket.SOCK_SEQPACKET)


class Clerks:
    """The clerks of one shim. `work` does a packet, in a new clerk; `work_again`, in one that has stayed."""

    def __init__(
        self,
        loop: Loop,
        work: Callable[[Packet], list[Outcome]],
        work_again: Callable[[Packet], list[Outcome]],
        known: Callable[[], set[int]],
    ) -> None:
        """`known` tells the children of the shim that are no clerks."""
        self._loop = loop
        self._work = work
        self._work_again = work_again
        self._known = known
        self._staying: tuple[int, socket.SocketType] | None = None
        self._last_used = 0.0
        self._idle: Timer | None = None
        self._leaving: list[int] = []

    def ask(self, packet: Packet) -> list[Outcome]:
        """Have the requests in `packet` done; returns what came of each. Its descriptors are not closed."""
        outcomes = None if self._staying is None else self._ask_again(packet)
        return self._ask_new(packet) if outcomes is None else outcomes

    def end_strays(self) -> None:
        """End and reap children that are neither known nor clerks: what a failed launch has left."""
        clerks = {*self._leaving, *(() if self._staying is None else (self._staying[0],))}
        for pid in _children() - self._known() - clerks:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def dismiss(self) -> None:
        """Let the clerk go that stays."""
        if self._staying is not None:
            self._see_off(self._forget_staying())

    def close(self) -> None:
        """Nothing more is to be done; returns when no clerk is left."""
        self.dismiss()
        for pid in self._leaving:
            os.waitpid(pid, 0)
        self._leaving.clear()

    def _ask_new(self, packet: Packet) -> list[Outcome]:
        # Not socket.socketpair: that wraps both ends into classes written in Python.
        ours, theirs = _socket.socketpair(_AF_UNIX, _SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._be_clerk(theirs, packet)
        theirs.close()
        received = packets.wait(ours)
        if received is None:
            ours.close()
            os.waitpid(pid, 0)
            return self._died()
        outcomes, stays = handover.decode(received.payload, received.fds)
        if stays and self._staying is None:
            self._staying = (pid, ours)
            self._last_used = time.monotonic()
            self._idle = self._loop.call_after(STAY_SECONDS, self._dismiss_idle)
        else:
            ours.close()
            self._see_off(pid)
        return outcomes

    def _ask_again(self, packet: Packet) -> list[Outcome] | None:
        """Ask the clerk that stays. None: it does not do this."""
        assert self._staying is not None
        _, connection = self._staying
        try:
            packets.send(connection, packet.payload, packet.fds)
            received = packets.wait(connection)
        except OSError:
            # It was killed while it had nothing to do: the packet was not sent, or not read (a reset).
            os.waitpid(self._forget_staying(), 0)
            return None
        if received is None:
            os.waitpid(self._forget_staying(), 0)
            return self._died()
        outcomes, _ = handover.decode(received.payload, received.fds)
        if isinstance(outcomes[0].handover, Declined):
            return None
        self._last_used = time.monotonic()
        return outcomes

    def _died(self) -> list[Outcome]:
        """A clerk has died without a word (the OOM killer?): no answer, and what it made is of no use."""
        self.end_strays()
        return [Outcome(handover=CutOff())]

    def _dismiss_idle(self) -> None:
        if self._staying is None:
            return
        left = self._last_used + STAY_SECONDS - time.monotonic()
        if left > 0:
            self._idle = self._loop.call_after(left, self._dismiss_idle)
        else:
            self.dismiss()

    def _forget_staying(self) -> int:
        assert self._staying is not None
        pid, connection = self._staying
        connection.close()
        self._staying = None
        if self._idle is not None:
            self._idle.cancel()
        return pid

    def _see_off(self, pid: int) -> None:
        """A clerk is about to end; nobody waits for that, but it has to be reaped."""
        if not self._leaving:
            self._loop.call_after(_REAP_SECONDS, self._reap)
        self._leaving.append(pid)

    def _reap(self) -> None:
        self._leaving = [pid for pid in self._leaving if os.waitpid(pid, os.WNOHANG)[0] == 0]
        if self._leaving:
            self._loop.call_after(_REAP_SECONDS, self._reap)

    def _be_clerk(self, shim: socket.SocketType, packet: Packet) -> NoReturn:
        status = 1
        try:
            # When the shim is killed now, nobody is there for what is being launched.
            processes.set_parent_death_signal()
            outcomes = self._work(packet)
            stays = handover.has_started_exec(outcomes)
            _hand_over(shim, outcomes, stays)
            if stays:
                # Descriptors of streams would keep them open that the shim has closed.
                os.closerange(3, shim.fileno())
                os.closerange(shim.fileno() + 1, _MAX_FD)
            while stays:
                again = packets.wait(shim)
                if again is None:
                    break
                _hand_over(shim, self._work_again(again), stays)
                again.close()
            status = 0
        finally:
            os._exit(status)


def _hand_over(shim: socket.SocketType, outcomes: list[Outcome], stays: bool) -> None:
    payload, fds = handover.encode(outcomes, stays)
    packets.send(shim, payload, fds)
    packets.close_all(fds)


def _children() -> set[int]:
    try:
        fd = os.open("/proc/thread-self/children", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return set()  # a kernel without CONFIG_PROC_CHILDREN
    try:
        return {int(pid) for pid in os.read(fd, 1 << 16).split()}
    finally:
        os.close(fd)
