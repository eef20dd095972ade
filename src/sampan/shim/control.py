"""The controllers' connections: requests in, events out.

Owns the listening socket and the connections. Knows the protocol's packets, but not what is in a request:
that is answered elsewhere. Nothing here waits: a controller that does not read loses its connection as soon
as its socket is full (200 KiB, a thousand events).
"""

from __future__ import annotations

from collections.abc import Callable

from sampan.linux import sockets as socket
from sampan.shim import packets, protocol
from sampan.shim.loop import GONE, IN, Loop
from sampan.shim.packets import Packet

# Does the request that came in a packet, and answers it. It owns the packet's descriptors.
Handler = Callable[[socket.SocketType, Packet], None]


class Controllers:
    """All controller connections of this shim. `on_leave` is called for each one that ends."""

    def __init__(self, loop: Loop, handler: Handler, on_leave: Callable[[], None]) -> None:
        self._loop = loop
        self._handler = handler
        self._on_leave = on_leave
        self._listener: socket.socket | None = None
        self._connections: dict[int, socket.SocketType] = {}

    @property
    def count(self) -> int:
        return len(self._connections)

    def listen(self, fd: int) -> None:
        """Accept more controllers on this listening socket. Who may enter DIR may control the container."""
        self._listener = socket.socket(fileno=fd)
        self._loop.register(fd, IN, self._accept)

    def add(self, connection: socket.SocketType) -> None:
        self._connections[connection.fileno()] = connection
        self._loop.register(connection.fileno(), IN, lambda events: self._ready(connection, events))

    def publish(self, event: protocol.Event) -> int:
        """Send an event to all controllers; returns how many got it."""
        packet = protocol.encode_response(event)
        return sum(self._send(connection, packet) for connection in list(self._connections.values()))

    def answer(self, connection: socket.SocketType, packet: bytes) -> None:
        """Send a reply; the controller may have left meanwhile."""
        if connection.fileno() >= 0:
            self._send(connection, packet)

    def close(self) -> None:
        """Close the listening socket and all connections."""
        if self._listener is not None:
            self._loop.unregister(self._listener.fileno())
            self._listener.close()
            self._listener = None
        for connection in list(self._connections.values()):
            self.drop(connection)

    def _accept(self, _events: int) -> None:
        assert self._listener is not None
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        self.add(connection)

    def _ready(self, connection: socket.SocketType, events: int) -> None:
        try:
            packet = packets.receive(connection)
        except BlockingIOError:
            if events & GONE:
                self.drop(connection)
            return
        except (OSError, packets.TruncatedPacket):
            packet = None
        if packet is None:
            self.drop(connection)
        else:
            self._handler(connection, packet)

    def _send(self, connection: socket.SocketType, packet: bytes) -> bool:
        try:
            packets.send(connection, packet)
        except OSError:
            self.drop(connection)
            return False
        return True

    def drop(self, connection: socket.SocketType) -> None:
        if self._connections.pop(connection.fileno(), None) is not None:
            self._loop.unregister(connection.fileno())
            connection.close()
            self._on_leave()
