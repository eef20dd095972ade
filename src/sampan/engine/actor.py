"""One container, one task: its commands run one after the other, whoever sent them.

Owns the queue and the task, which exists only while there is something to do. A command is not cancelled
when its client goes away: it would leave the container half-way between two states. The client's wait is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

_T = TypeVar("_T")


class Tasks:
    """The engine's tasks: named, kept until they end, and waited for at its end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        async def run() -> None:
            await work()

        task = asyncio.get_running_loop().create_task(run(), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, seconds: float) -> None:
        """Give what is running some time, then cancel it."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


class Actor:
    """The commands of one container."""

    def __init__(self, tasks: Tasks, name: str) -> None:
        self._tasks = tasks
        self._name = name
        self._queue: deque[tuple[Callable[[], Awaitable[Any]], asyncio.Future[Any]]] = deque()
        self._running = False

    async def run(self, command: Callable[[], Awaitable[_T]]) -> _T:
        """Run `command` after those that came before it; its result or error is the caller's."""
        future = self.post(command)
        return await asyncio.shield(future)

    async def idle(self) -> None:
        """Wait until everything that was sent before is done."""

        async def nothing() -> None:
            pass

        await self.run(nothing)

    def post(self, command: Callable[[], Awaitable[_T]]) -> asyncio.Future[_T]:
        """The same without waiting."""
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._queue.append((command, future))
        if not self._running:
            self._running = True
            self._tasks.start(self._work, f"container {self._name}")
        return future

    async def _work(self) -> None:
        try:
            while self._queue:
                command, future = self._queue.popleft()
                try:
                    result = await command()
                except asyncio.CancelledError:
                    future.cancel()
                    raise
                except Exception as error:
                    future.set_exception(error)
                    # Nobody may be waiting any more; then it is not an error that nobody asked for it.
                    future.exception()
                else:
                    future.set_result(result)
        finally:
            self._running = False
            while self._queue:
                self._queue.popleft()[1].cancel()
