"""Hijacking: a request of attach or exec whose connection becomes the container's stdin and stdout.

The engine decides when: it checks the request first (an error then is an ordinary answer), calls `accept`,
and takes the socket, which it hands to the shim. From then on no byte passes through this process.

Docker has two ways, https://docs.docker.com/reference/api/engine/ (operation ContainerAttach, "Hijacking"):
with `Upgrade: tcp` the answer is 101, else 200. Either way raw bytes follow the head, and the client
half-closes to end stdin.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable

from sampan import errors
from sampan.api import head, status
from sampan.api.message import Request
from sampan.api.versions import Version
from sampan.wire import attach as frames

RAW_STREAM = "application/vnd.docker.raw-stream"
MULTIPLEXED_STREAM = "application/vnd.docker.multiplexed-stream"
_MULTIPLEXED_SINCE: Version = (1, 42)


def stream_type(version: Version, *, tty: bool) -> str:
    """The content type of a container's output: older clients know no other word for the multiplexed form."""
    return RAW_STREAM if tty or version < _MULTIPLEXED_SINCE else MULTIPLEXED_STREAM


class HijackedRequest:
    """The engine's view of a client whose connection it may take (`sampan.engine.streams.HijackedClient`)."""

    __slots__ = ("_multiplexed", "_request")

    def __init__(self, request: Request) -> None:
        self._request = request
        self._multiplexed: bool | None = None
        """The form of the accepted stream; None before `accept`."""
        request.connection.stop_reading()

    async def run(self, call: Awaitable[None]) -> None:
        """Await the engine's call for this client. An error after `accept` goes into the stream, as in
        moby.
        """
        try:
            await call
        except (errors.SampanError, OSError) as error:
            if self._multiplexed is None:
                raise
            text = f"{status.message(error)}\r\n".encode()
            await self._request.connection.take_over(
                frames.encode(frames.STDERR, text) if self._multiplexed else text
            )

    @property
    def early(self) -> bytes:
        """What the client sent behind its request before it was accepted: the beginning of stdin."""
        return self._request.connection.early_bytes()

    async def accept(self, *, tty: bool) -> None:
        """Send the head of the answer; after this, only the stream follows."""
        self._multiplexed = not tty
        if "upgrade" in self._request.headers:
            kind = stream_type(self._request.version, tty=tty)
            first = head.raw(
                "101 UPGRADED", (("Content-Type", kind), ("Connection", "Upgrade"), ("Upgrade", "tcp"))
            )
        else:
            first = head.raw("200 OK", (("Content-Type", RAW_STREAM),))
        await self._request.connection.take_over(first)

    def detach_socket(self) -> socket.socket:
        """The connection's socket, to be passed on; non-blocking. Raises ConnectionError if the client is
        gone.
        """
        return self._request.connection.detach()
