"""Work that may block, in threads with names and deadlines.

Owns the one pool of threads of the engine. Everything that touches the disk or the kernel for longer than
a moment goes through `Threads.run`; a call that does not come back in time gives its caller an error, and
never holds up the event loop or another container. A hop there and back costs 0.1 ms.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from sampan import errors

_P = ParamSpec("_P")
_T = TypeVar("_T")

_THREADS = 16
_SECONDS = 60.0

_log = logging.getLogger("sampan.engine")


class Threads:
    """The engine's threads."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="sampan-engine")

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call `function` in a thread. Raises Unavailable after a minute; the thread then goes on alone."""
        return await self.run_within(_SECONDS, lambda: function(*args, **kwargs))

    async def run_within(
        self, seconds: float | None, function: Callable[[], _T], abandon: Callable[[_T], object] | None = None
    ) -> _T:
        """The same with another deadline, or none: for what takes as long as its client.

        `abandon` is called, in the thread, with a result that comes after the deadline: nobody else frees it.
        """
        work = self._pool.submit(function)
        try:
            async with asyncio.timeout(seconds) as deadline:
                return await asyncio.shield(asyncio.wrap_future(work))
        except TimeoutError:
            if not deadline.expired():
                raise
            if not work.cancel() and abandon is not None:
                work.add_done_callback(lambda done: _give_up(done, abandon))
            raise errors.Unavailable(f"an operation did not end within {seconds:.0f} seconds") from None

    def close(self) -> None:
        """Wait for what is running."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _give_up(done: Future[_T], abandon: Callable[[_T], object]) -> None:
    try:
        abandon(done.result())
    except Exception as error:
        _log.error("an operation that came too late: %s", error)
