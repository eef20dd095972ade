"""The shim's event loop: epoll, timers, and one hook at the end of each round.

Owns which descriptor calls whom. Knows nothing of containers. A round costs one epoll_wait and the callbacks;
the loop allocates nothing while it waits, so an idle shim keeps its pages shared with the zygote.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable

from sampan.records import dataclass

IN = select.EPOLLIN
OUT = select.EPOLLOUT
# Both are reported whether asked for or not (epoll_ctl(2)).
GONE = select.EPOLLHUP | select.EPOLLERR

Callback = Callable[[int], None]


@dataclass(slots=True, eq=False)
class Timer:
    """A pending call; `cancel` may be called at any time."""

    deadline: float
    callback: Callable[[], None] | None

    def cancel(self) -> None:
        self.callback = None


class Loop:
    """Calls `callback(events)` of each descriptor that is ready, until `stop`.

    Events are level-triggered. A callback may be called once too often, when a descriptor was closed and its
    number used again within one round; so callbacks never block and take "not ready" calmly.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}
        self._timers: list[Timer] = []
        self._running = True
        self.after_round: Callable[[], None] | None = None

    def register(self, fd: int, events: int, callback: Callback) -> None:
        self._epoll.register(fd, events)
        self._callbacks[fd] = callback

    def modify(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, events)

    def unregister(self, fd: int) -> None:
        """Forget `fd`; it has to be open still."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def call_after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(time.monotonic() + seconds, callback)
        self._timers.append(timer)
        return timer

    def close(self) -> None:
        self._epoll.close()

    def stop(self) -> None:
        """Return from `run` after this round."""
        self._running = False

    def run(self) -> None:
        while self._running:
            self.run_round()

    def run_round(self) -> None:
        """Wait for events or the next timer, and do what is to be done."""
        for fd, events in self._epoll.poll(self._timeout()):
            callback = self._callbacks.get(fd)
            if callback is not None:
                callback(events)
        if self._timers:
            self._call_timers()
        if self.after_round is not None:
            self.after_round()

    def _timeout(self) -> float | None:
        if not self._timers:
            return None
        return max(0.0, min(timer.deadline for timer in self._timers) - time.monotonic())

    def _call_timers(self) -> None:
        now = time.monotonic()
        due = [timer for timer in self._timers if timer.deadline <= now]
        self._timers = [
            timer for timer in self._timers if timer.deadline > now and timer.callback is not None
        ]
        for timer in due:
            # One of the callbacks before may have cancelled this one.
            if timer.callback is not None:
                timer.callback()
