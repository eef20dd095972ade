"""The API's server: what listens, who is connected, and how it ends.

Owns the listeners and the set of connections. Routes are looked up by `Router`, requests are read by
`Connection`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sampan.api.addresses import Listener
from sampan.api.connection import Connection
from sampan.api.message import Reply, Request
from sampan.api.router import Route, Router
from sampan.api.transport import Acceptor

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
        self._listeners: list[tuple[Acceptor, Listener]] = []
        self._connections: set[Connection] = set()

    async def listen(self, listener: Listener) -> None:
        """Serve a listening socket, and close it at the end."""
        acceptor = Acceptor(listener.socket, lambda: self._accept(listener.address.tcp))
        self._listeners.append((acceptor, listener))

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
        for acceptor, listener in self._listeners:
            acceptor.close()
            listener.close()
        self._listeners.clear()
        tasks = [connection.task for connection in self._connections]
        for connection in tuple(self._connections):
            connection.end()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1)
