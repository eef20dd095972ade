"""Requests and replies as handlers see them: no sockets, no h11.

A handler takes a `Request` and gives back a `Response` (whole), a `Stream` (as it comes) or `HIJACKED` (the
connection now belongs to the engine). A request's body can be read once, in one of three ways: whole and
limited (`Body.read`), in pieces on the loop (`async for`), or from a thread through a blocking file
(`Body.file`). All three keep no more than one piece in memory: the connection stops reading the socket until
somebody asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from sampan import errors
from sampan.api import decoding, status
from sampan.api.query import Query
from sampan.api.versions import MAXIMUM, Version
from sampan.records import dataclass

if TYPE_CHECKING:
    from sampan.api.connection import Connection

T = TypeVar("T")

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
TAR = "application/x-tar"

JSON_LIMIT = 64 << 20
"""The longest JSON body that is read. dockerd has no limit; this keeps clients from filling the memory."""


class Body:
    """The body of one request, read from its connection on demand."""

    __slots__ = ("_ahead", "_receive", "closed", "length")

    def __init__(self, receive: Callable[[], Awaitable[bytes]], length: int | None) -> None:
        self._receive = receive
        self._ahead: asyncio.Task[bytes] | None = None
        self.closed = False
        """Set when the request was answered: what the connection receives now belongs to the next one."""
        self.length = length
        """What Content-Length promised; None for a chunked body."""

    @property
    def empty(self) -> bool:
        return self.length == 0

    async def receive(self) -> bytes:
        """The next piece, b"" at the end. Raises InvalidArgument for a broken body, ClientGone for a lost
        client.
        """
        if self.closed:
            raise status.ClientGone("the request has been answered")
        return await self._receive()

    async def take(self) -> bytes:
        """The next piece, while the one after it is received already: for who works on it elsewhere."""
        ahead, self._ahead = self._ahead, None
        piece = await (ahead or self.receive())
        if piece:
            self._ahead = asyncio.get_running_loop().create_task(self.receive(), name="body")
        return piece

    async def close(self) -> None:
        """The request is answered: what comes now is not this body's reader's."""
        self.closed = True
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.cancel()
            await asyncio.wait([ahead])
            if not ahead.cancelled():
                ahead.exception()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.receive():
            yield piece

    async def read(self, limit: int = JSON_LIMIT) -> bytes:
        """The whole body. Refuses one longer than `limit` before it is read, if its length is known."""
        if self.length is not None and self.length > limit:
            raise status.PayloadTooLarge("http: request body too large")
        pieces, size = [], 0
        async for piece in self:
            size += len(piece)
            if size > limit:
                raise status.PayloadTooLarge("http: request body too large")
            pieces.append(piece)
        return b"".join(pieces)

    def file(self) -> BodyFile:
        """A blocking file for a thread. Must be called on the loop, before the thread starts."""
        return BodyFile(self, asyncio.get_running_loop())


class BodyFile:
    """The body as a blocking, unseekable file: `read` runs in a thread and waits for the loop to receive."""

    __slots__ = ("_body", "_loop", "_rest")

    def __init__(self, body: Body, loop: asyncio.AbstractEventLoop) -> None:
        self._body = body
        self._loop = loop
        self._rest: memoryview | None = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes (at least one), or all that is left when `size` is negative; b"" at the end.

        Raises InvalidArgument when the body ends in the middle, ClientGone (an OSError) when its client is
        lost.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 18), b""))
        if self._rest is not None and not self._rest and size > 0:
            piece = asyncio.run_coroutine_threadsafe(self._body.take(), self._loop).result()
            self._rest = memoryview(piece) if piece else None
        if self._rest is None:
            return b""
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)

    def readable(self) -> bool:
        return True


@dataclass(slots=True)
class Request:
    """One request, its path decoded. The router takes the version off it."""

    method: str
    path: str
    query: Query
    headers: dict[str, str]
    """By lower-case name; repeated headers are joined with commas, as HTTP allows."""
    body: Body
    connection: Connection
    version: Version = MAXIMUM
    name: str = ""
    """The `{name}` of the route: a container, exec, image, network or volume."""

    def at_least(self, major: int, minor: int) -> bool:
        """Whether the client speaks this API version or a newer one."""
        return self.version >= (major, minor)

    async def json(self, kind: type[T], *, required: bool = False) -> T:
        """The JSON body. An empty one means all defaults, unless it is `required`."""
        self._check_json()
        body = await self.body.read()
        if not body and not required:
            return kind()
        return decoding.decode(body, kind)

    def _check_json(self) -> None:
        declared = self.headers.get("content-type", "")
        if not declared and self.body.empty:
            return
        media = declared.partition(";")[0].strip().lower()
        if "/" not in media:
            reason = "no media type" if not media else "invalid media parameter"
            raise errors.InvalidArgument(f"malformed Content-Type header ({declared}): mime: {reason}")
        if media != JSON:
            raise errors.InvalidArgument(
                f"unsupported Content-Type header ({declared}): must be 'application/json'"
            )


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class Chunks(Protocol):
    """Pieces of a body, made as they are asked for."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None:
        """It is over, whether all pieces were taken or none."""


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that is sent as it comes; its head goes out at once. A client that leaves cancels the
    generator.
    """

    chunks: Chunks
    content_type: str = JSON
    lasting: bool = False
    """It waits for things to happen, without an end of its own: a half-closed client is then taken for
    gone.
    """
    headers: tuple[tuple[str, str], ...] = ()


class Hijacked:
    """The handler gave the connection to the engine: nothing more is to be sent."""

    __slots__ = ()


HIJACKED = Hijacked()
NO_CONTENT = Response(204)

Reply = Response | Stream | Hijacked


def json_response(document: object, code: int = 200) -> Response:
    """`document` as Docker sends it: not HTML-escaped, a line end behind it."""
    return Response(code, json_line(document))


def json_line(document: object) -> bytes:
    return msgspec.json.encode(document) + b"\n"


def failure(error: BaseException) -> Response:
    """The answer to a request that failed."""
    code = status.of(error)
    return Response(code) if code == 304 else json_response({"message": status.message(error)}, code)
