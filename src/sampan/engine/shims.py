"""The engine's end of a shim's control socket, on the event loop.

Owns the matching of answers to requests and the reading of events. What is said is `shim.protocol`'s
business; what it means for a container, `lifecycle`'s.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from sampan import errors, records
from sampan.shim import protocol
from sampan.shim.client import ShimConnection

# The slowest answer is that to `start`: on cgroup v1 under load a container takes seconds.
_SECONDS = 60.0


class ShimGone(errors.Unavailable):
    """The shim closed its connection while an answer was outstanding."""


class Shim:
    """A connected shim. `on_event` is called for each event, `on_lost` once, at the end of the connection."""

    def __init__(
        self,
        connection: ShimConnection,
        on_event: Callable[[protocol.Event], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._on_event = on_event
        self._on_lost = on_lost
        self._sequence = itertools.count(1)
        self._pending: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._loop.add_reader(connection.fileno(), self._readable)

    async def request(self, *requests: protocol.Request, fds: Sequence[int] = ()) -> dict[str, Any]:
        """Send requests (their `seq` is filled in here) and await the answer to the last one.

        Several are done one after the other, in one go, up to the first that fails; `fds` are the descriptors
        of all of them and stay the caller's. Raises StartFailed for a process that cannot be executed,
        SampanError for another failure, ShimGone when there is no shim any more.
        """
        if self._closed:
            raise ShimGone("the container's shim is gone")
        numbered = [records.replace(request, seq=next(self._sequence)) for request in requests]
        answers = {request.seq: self._loop.create_future() for request in numbered}
        self._pending |= answers
        try:
            async with asyncio.timeout(_SECONDS):
                await self._send(numbered, fds)
                for answer in answers.values():
                    result: dict[str, Any] = await answer
            return result
        except TimeoutError:
            raise errors.Unavailable(f"the container's shim did not answer within {_SECONDS:.0f} s") from None
        except (BrokenPipeError, ConnectionResetError):
            raise ShimGone("the container's shim is gone") from None
        finally:
            for sequence, answer in answers.items():
                del self._pending[sequence]
                if answer.done() and not answer.cancelled():
                    answer.exception()  # else asyncio complains that nobody has looked

    def close(self) -> None:
        """Leave the shim to itself; `on_lost` is not called."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._connection.fileno())
            self._connection.close()
            for future in self._pending.values():
                if not future.done():
                    future.set_exception(ShimGone("the container's shim is gone"))

    async def _send(self, requests: Sequence[protocol.Request], fds: Sequence[int]) -> None:
        while True:
            try:
                self._connection.send(requests, fds)
                return
            except BlockingIOError:
                # Its queue is full, of ten packets or so: it is busy, and reads on soon.
                await asyncio.sleep(0.01)

    def _readable(self) -> None:
        while not self._closed:
            try:
                message = self._connection.receive()
            except BlockingIOError:
                return
            except (OSError, errors.InvalidArgument):
                message = None
            if message is None:
                self.close()
                self._on_lost()
            elif isinstance(message, protocol.Reply | protocol.Failure):
                self._answer(message)
            else:
                self._on_event(message)

    def _answer(self, message: protocol.Reply | protocol.Failure) -> None:
        future = self._pending.get(message.seq)
        if future is None or future.done():
            return
        if isinstance(message, protocol.Reply):
            future.set_result(message.result)
        elif message.exit_code is not None:
            future.set_exception(errors.StartFailed(message.message, message.exit_code))
        else:
            future.set_exception(errors.SampanError(message.message))
