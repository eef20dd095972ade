"""Work that may block, in threads with names and deadlines.

Owns the one pool of threads of the engine. Everything that touches the disk or the kernel for longer than
a moment goes through `Threads.run`; a call that does not come back in time gives its caller an error, and
never holds up the event loop or another container.

A hop there and back costs 0.1 ms, most of it for waking a thread. With `concurrent.futures` it costs twice as
much, and to start a container takes five of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Generic, ParamSpec, TypeVar

from sampan import errors

_P = ParamSpec("_P")
_T = TypeVar("_T")

_THREADS = 16
_SECONDS = 60.0

_log = logging.getLogger("sampan.engine")


class Threads:
    """The engine's threads. They are started as they are needed, and stay."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Call | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._lock = Lock()
        self._idle = 0
        self._closed = False

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call `function` in a thread. Raises Unavailable after a minute; the thread then goes on alone."""
        return await self.run_within(_SECONDS, lambda: function(*args, **kwargs))

    async def run_within(
        self, seconds: float | None, function: Callable[[], _T], abandon: Callable[[_T], object] | None = None
    ) -> _T:
        """The same with another deadline, or none: for what takes as long as its client.

        `abandon` is called, in a thread, with a result that nobody waits for any more: nobody else frees it.
        """
        loop = asyncio.get_running_loop()
        call = _Call(function, loop, abandon)
        self._submit(call)
        timer = None if seconds is None else loop.call_later(seconds, call.expire, seconds)
        try:
            result: _T = await call.future
        finally:
            if timer is not None:
                timer.cancel()
        return result

    def close(self) -> None:
        """Wait for what is running; what waits for a thread is not done any more."""
        with self._lock:
            self._closed = True
            threads = list(self._threads)
        for _ in threads:
            self._queue.put(None)
        for thread in threads:
            thread.join()

    def _submit(self, call: _Call) -> None:
        with self._lock:
            if self._closed:
                raise errors.Unavailable("the engine is shutting down")
            if self._idle:
                self._idle -= 1
            elif len(self._threads) < _THREADS:
                name = f"sampan-engine_{len(self._threads)}"
                thread = Thread(target=self._work, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
            self._queue.put(call)

    def _work(self) -> None:
        while (call := self._queue.get()) is not None:
            if not self._closed:
                call.do()
            with self._lock:
                # Whatever waits in the queue has this thread's next turn already.
                if self._queue.empty():
                    self._idle += 1


class Steps(Generic[_T]):
    """A blocking iterator, each step of it in a thread. `aclose` it, also when no step was taken."""

    def __init__(self, threads: Threads, items: Iterator[_T], close: Callable[[], object]) -> None:
        """`close` is called once, in a thread, when it is over. The threads have no deadline."""
        self._threads = threads
        self._items = items
        self._close: Callable[[], object] | None = close

    def __aiter__(self) -> Steps[_T]:
        return self

    async def __anext__(self) -> _T:
        item = await self._threads.run_within(None, lambda: next(self._items, _END))
        if item is _END:
            raise StopAsyncIteration
        return item  # type: ignore[return-value]  # it is not the end

    async def aclose(self) -> None:
        close, self._close = self._close, None
        if close is not None:
            await self._threads.run_within(None, close)


_END = object()


class _Call:
    """One call on its way through a thread. `do` runs there, all else on the loop."""

    __slots__ = ("_abandon", "_function", "_is_late", "_loop", "future")

    def __init__(
        self,
        function: Callable[[], Any],
        loop: asyncio.AbstractEventLoop,
        abandon: Callable[[Any], object] | None,
    ) -> None:
        self.future: asyncio.Future[Any] = loop.create_future()
        self._function = function
        self._loop = loop
        self._abandon = abandon
        self._is_late = False

    def expire(self, seconds: float) -> None:
        if not self.future.done():
            self._is_late = True
            self.future.set_exception(
                errors.Unavailable(f"an operation did not end within {seconds:.0f} seconds")
            )

    def do(self) -> None:
        if self._is_late:
            return
        error: BaseException | None = None
        result = None
        try:
            result = self._function()
        except BaseException as raised:  # it belongs to whoever waits
            error = raised
        if self.future.done():
            self._give_up(result, error)
            return
        try:
            self._loop.call_soon_threadsafe(self._done, result, error)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more

    def _done(self, result: Any, error: BaseException | None) -> None:
        if self.future.done():
            # The deadline, or a caller that was cancelled, came before this round of the loop.
            if error is None and self._abandon is not None:
                Thread(target=self._give_up, args=(result, None)).start()
        elif error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)

    def _give_up(self, result: Any, error: BaseException | None) -> None:
        if error is not None:
            _log.error("an operation that came too late: %s", error)
        elif self._abandon is not None:
            try:
                self._abandon(result)
            except Exception as failure:
                _log.error("an operation that came too late: %s", failure)
