"""A thread that waits for sockets, for the parts of networking that go on while the daemon does other things.

Owns the thread and the order of what it does. Knows no protocol.
"""

from __future__ import annotations

import heapq
import logging
import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable

_log = logging.getLogger(__name__)

_READ = selectors.EVENT_READ


class SocketLoop:
    """The thread: waits for sockets and calls whom they belong to."""

    def __init__(self, name: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._calls: deque[tuple[Callable[[], None], threading.Event]] = deque()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector.register(self._wake, _READ, self._do_calls)
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_count = 0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, what: Callable[[], None]) -> None:
        """Have the thread do something; returns when it is done."""
        done = threading.Event()
        self._calls.append((what, done))
        os.eventfd_write(self._wake, 1)
        done.wait()

    def close(self) -> None:
        self.call(self._stop)
        self._thread.join()
        self._selector.close()
        os.close(self._wake)

    def watch(self, what: socket.socket, events: int, ready: Callable[[int], None]) -> None:
        """Call `ready` with the events that hold, of the given ones; no events: forget the socket."""
        known = what.fileno() in self._selector.get_map()
        if not events:
            if known:
                self._selector.unregister(what)
        elif known:
            self._selector.modify(what, events, ready)
        else:
            self._selector.register(what, events, ready)

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Call `what` after a while. For what runs in the thread already."""
        self._timer_count += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._timer_count, what))

    def _do_timers(self) -> float | None:
        """Do what is due; returns the seconds until the next one."""
        while self._timers:
            seconds = self._timers[0][0] - time.monotonic()
            if seconds > 0:
                return seconds
            what = heapq.heappop(self._timers)[2]
            try:
                what()
            except Exception:
                _log.exception("a timer of a network's thread")
        return None

    def _run(self) -> None:
        while not self._stopping:
            for key, events in self._selector.select(self._do_timers()):
                # An earlier one of the same round may have closed it.
                if self._selector.get_map().get(key.fd) is key:
                    self._call_ready(key.data, events)

    def _call_ready(self, ready: Callable[[int], None], events: int) -> None:
        try:
            ready(events)
        except Exception:
            # One connection's trouble must not end the service of all others.
            _log.exception("IPv6 relay")

    def _do_calls(self, _events: int) -> None:
        os.eventfd_read(self._wake)
        while self._calls:
            what, done = self._calls.popleft()
            try:
                what()
            finally:
                done.set()

    def _stop(self) -> None:
        self._stopping = True
