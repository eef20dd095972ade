"""The API's server: what listens, who is connected, and how it ends.

Owns the listeners and the set of connections. Routes are looked up by `Router`, requests are read by
`Connection`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

from sampan.api.connection import Connection
from sampan.api.message import Reply, Request
from sampan.api.router import Route, Router

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sampan.engine.engine import Engine

GRACE_SECONDS = 15.0
"""How long commands that are under way may take when the server ends: dockerd's `--shutdown-timeout`."""


class Server:
    """A server of `routes`. `listen` adds a socket; `close` ends the listeners first, then the
    connections.
    """

    def __init__(self, engine: Engine, routes: Iterable[Route]) -> None:
        self._engine = engine
        self._router = Router(routes)
        self._listeners: list[asyncio.Server] = []
        self._files: list[tuple[str, int]] = []
        self._connections: set[Connection] = set()

    async def listen(self, own: socket.socket) -> None:
        """Serve a listening socket."""
        tcp = own.family != socket.AF_UNIX
        if not tcp:
            path = own.getsockname()
            self._files.append((path, os.stat(path).st_ino))
        loop = asyncio.get_running_loop()
        self._listeners.append(await loop.create_server(lambda: self._accept(tcp), sock=own, backlog=4096))

    def _accept(self, tcp: bool) -> Connection:
        connection = Connection(self._dispatch, tcp=tcp, finished=self._connections.discard)
        self._connections.add(connection)
        return connection

    async def _dispatch(self, request: Request) -> Reply:
        return await self._router.dispatch(self._engine, request)

    async def close(self, grace: float = GRACE_SECONDS) -> None:
        """Stop listening, end streams and idle connections at once, and let commands end within `grace`
        seconds.
        """
        for listener in self._listeners:
            listener.close()
        self._remove_files()
        tasks = [connection.task for connection in self._connections]
        for connection in tuple(self._connections):
            connection.end()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1)

    def _remove_files(self) -> None:
        """Remove our socket files, but not those of a successor that has replaced them."""
        for path, inode in self._files:
            try:
                if os.stat(path).st_ino == inode:
                    os.unlink(path)
            except OSError:
                pass  # gone already
        self._files.clear()
