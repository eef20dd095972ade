"""The controllers' connections: requests in, replies and events out.

Owns the listening socket in DIR and the connections. Knows the protocol's packets, but not what a request
does. Nothing here waits: a controller that does not read loses its connection as soon as its socket is full
(200 KiB, a thousand events), and one that talks nonsense is answered, or cut off if there is no sequence
number to answer to.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from sampan import errors
from sampan.shim import packets, protocol
from sampan.shim.loop import GONE, IN, Loop
from sampan.shim.packets import Packet

# Does a request. It owns the descriptors; raises SampanError or OSError if the request cannot be done.
Handler = Callable[[protocol.Request, tuple[int, ...]], protocol.Result | None]


class Controllers:
    """All controller connections of this shim."""

    def __init__(self, loop: Loop, handler: Handler) -> None:
        self._loop = loop
        self._handler = handler
        self._listener: socket.socket | None = None
        self._connections: dict[int, socket.socket] = {}

    @property
    def count(self) -> int:
        return len(self._connections)

    def listen(self, directory_fd: int) -> None:
        """Accept controllers on DIR/shim.sock. Who may enter DIR (mode 0700) may control the container."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        # By the folder's descriptor: the path may be longer than the 107 bytes of sun_path (unix(7)).
        listener.bind(f"/proc/self/fd/{directory_fd}/{protocol.SOCKET_NAME}")
        os.chmod(protocol.SOCKET_NAME, 0o600, dir_fd=directory_fd)
        listener.listen()
        self._listener = listener
        self._loop.register(listener.fileno(), IN, self._accept)

    def add(self, connection: socket.socket) -> None:
        self._connections[connection.fileno()] = connection
        self._loop.register(connection.fileno(), IN, lambda events: self._ready(connection, events))

    def publish(self, event: protocol.Event) -> int:
        """Send an event to all controllers; returns how many got it."""
        packet = protocol.encode_response(event)
        return sum(self._send(connection, packet) for connection in list(self._connections.values()))

    def close(self) -> None:
        """Close the listening socket and all connections."""
        if self._listener is not None:
            self._loop.unregister(self._listener.fileno())
            self._listener.close()
            self._listener = None
        for connection in list(self._connections.values()):
            self._drop(connection)

    def _accept(self, _events: int) -> None:
        assert self._listener is not None
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        self.add(connection)

    def _ready(self, connection: socket.socket, events: int) -> None:
        try:
            packet = packets.receive(connection)
        except BlockingIOError:
            if events & GONE:
                self._drop(connection)
            return
        except (OSError, packets.TruncatedPacket):
            packet = None
        if packet is None:
            self._drop(connection)
        else:
            self._answer(connection, packet)

    def _answer(self, connection: socket.socket, packet: Packet) -> None:
        try:
            request = protocol.decode_request(packet.payload)
            if len(request.fds) != len(packet.fds):
                raise errors.InvalidArgument(f"{request.OP}: wrong number of descriptors")
        except errors.InvalidArgument as error:
            packet.close()
            sequence = protocol.sequence_of(packet.payload)
            if sequence is None:
                self._drop(connection)
            else:
                self._send(connection, protocol.encode_response(protocol.Failure(sequence, error.message)))
            return
        response = self._respond(request, packet.fds)
        self._send(connection, protocol.encode_response(response))

    def _respond(self, request: protocol.Request, fds: tuple[int, ...]) -> protocol.Reply | protocol.Failure:
        try:
            result = self._handler(request, fds)
        except errors.StartFailed as error:
            return protocol.Failure(request.seq, error.message, error.exit_code)
        except errors.SampanError as error:
            return protocol.Failure(request.seq, error.message)
        except OSError as error:
            return protocol.Failure(request.seq, str(error))
        return protocol.Reply(request.seq, {} if result is None else protocol.document_of(result))

    def _send(self, connection: socket.socket, packet: bytes) -> bool:
        try:
            packets.send(connection, packet)
        except OSError:
            self._drop(connection)
            return False
        return True

    def _drop(self, connection: socket.socket) -> None:
        if self._connections.pop(connection.fileno(), None) is not None:
            self._loop.unregister(connection.fileno())
            connection.close()
