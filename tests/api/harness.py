"""A server over a few handlers of the test's own, and a raw client: what is tested is the protocol, byte by
byte.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sampan.api import addresses
from sampan.api.message import Reply, Request, Response
from sampan.api.router import Route
from sampan.api.server import Server

if TYPE_CHECKING:
    from sampan.engine.engine import Engine

Handler = Callable[[Request], Awaitable[Reply]]
SECONDS = 20


class Client:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def request(self, line: str, *headers: str, body: bytes = b"") -> None:
        """Send a request with a Content-Length for its body."""
        fields = "".join(f"{header}\r\n" for header in headers)
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self.send(f"{line} HTTP/1.1\r\nHost: d\r\n{fields}{length}\r\n".encode() + body)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next reply."""
        async with asyncio.timeout(SECONDS):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), fields

    async def reply(self) -> tuple[int, bytes]:
        """Status and body of the next reply, whichever way it is framed."""
        status, fields = await self.head()
        async with asyncio.timeout(SECONDS):
            if "Transfer-Encoding" in fields:
                return status, b"".join([chunk async for chunk in self.chunks()])
            return status, await self.reader.readexactly(int(fields.get("Content-Length", "0")))

    async def chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self.reader.readline(), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readline()

    async def rest(self) -> bytes:
        """What comes until the server closes."""
        async with asyncio.timeout(SECONDS):
            return await self.reader.read()

    def half_close(self) -> None:
        self.writer.write_eof()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class Harness:
    """A server in `directory`; `handle` adds a route."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "s"
        self._routes: list[Route] = []
        self._clients: list[Client] = []

    def handle(self, method: str, pattern: str, handler: Handler) -> None:
        async def with_engine(_engine: Engine, request: Request) -> Reply:
            return await handler(request)

        self._routes.append(Route(method, pattern, with_engine))

    async def start(self) -> None:
        async def echo(request: Request) -> Reply:
            return Response(body=await request.body.read(), content_type="text/plain")

        async def ping(_request: Request) -> Reply:
            return Response(body=b"OK")

        self.handle("POST", "/echo", echo)
        self.handle("GET", "/_ping", ping)
        self.server = Server(cast("Engine", None), self._routes)
        await self.server.listen(addresses.listen(addresses.parse(f"unix://{self.path}")))

    async def client(self) -> Client:
        client = Client(*await asyncio.open_unix_connection(str(self.path), limit=1 << 20))
        self._clients.append(client)
        return client

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        await self.server.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds; a test that waits for nothing fails by the deadline."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - the condition belongs to the server, which tells nobody
            await asyncio.sleep(0.002)
