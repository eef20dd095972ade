"""Published IPv6 ports of containers without IPv6: the kernel translates addresses, but not between families.

Owns one thread that accepts on the IPv6 sockets which `hostports` reserved, and copies to and from the
container's IPv4 address; Docker has a process per port for that. The container sees the bridge's address as
the client's. Knows no container, only targets. The thread starts with the first port and sleeps while
nobody uses IPv6; while the daemon is down, published IPv6 ports are closed.
"""

from __future__ import annotations

import errno
import selectors
import socket
import threading
import time
from collections.abc import Callable

from sampan.networks.loop import SocketLoop

Target = tuple[str, int]  # IPv4 address and port
_Client = tuple[str, int, int, int]  # IPv6 address, port, flow label, scope

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_CHUNK = 65536
_CONTROL_SIZE = socket.CMSG_SPACE(20)  # struct in6_pktinfo
_BACKLOG = 1024
_SESSION_SECONDS = 90.0  # docker-proxy's UDPConnTrackTimeout
_MOST_SESSIONS = 1024  # per port: a client can forge as many addresses as it likes
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE_SECONDS = 0.05


class Relay:
    """Serves listeners until they are stopped. Its methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: SocketLoop | None = None
        self._doors: dict[socket.socket, _TcpDoor | _UdpDoor] = {}

    def serve(self, listener: socket.socket, target: Target) -> None:
        """Copy what comes in on a bound IPv6 socket, TCP or UDP, to the target and back. The socket stays the
        caller's, who stops the service before closing it."""
        with self._lock:
            if self._loop is None:
                self._loop = SocketLoop("ipv6-relay")
            listener.setblocking(False)
            kind = _UdpDoor if listener.type == socket.SOCK_DGRAM else _TcpDoor
            door = self._doors[listener] = kind(self._loop, listener, target)
            self._loop.call(door.open)

    def stop(self, listener: socket.socket) -> None:
        """Stop serving it and end what came in by it. Returns when the socket is not in use any more."""
        with self._lock:
            door = self._doors.pop(listener, None)
            if door is not None and self._loop is not None:
                self._loop.call(door.close)

    def close(self) -> None:
        """Stop serving all, and end the thread."""
        with self._lock:
            if self._loop is None:
                return
            for door in self._doors.values():
                self._loop.call(door.close)
            self._doors.clear()
            self._loop.close()
            self._loop = None


class _TcpDoor:
    """A listening socket and the connections that came in by it."""

    def __init__(self, loop: SocketLoop, listener: socket.socket, target: Target) -> None:
        self._loop = loop
        self._listener = listener
        self._target = target
        self._tunnels: set[_Tunnel] = set()

    def open(self) -> None:
        self._listener.listen(_BACKLOG)
        self._loop.watch(self._listener, _READ, self._accept)

    def close(self) -> None:
        self._loop.watch(self._listener, 0, self._accept)
        for tunnel in list(self._tunnels):
            tunnel.close()

    def _accept(self, _events: int) -> None:
        try:
            client, _address = self._listener.accept()
        except OSError as error:
            if error.errno in _NO_DESCRIPTORS:
                # The connection stays in the backlog and the socket stays ready: do not spin.
                time.sleep(_PAUSE_SECONDS)
            return
        tunnel = _Tunnel(self._loop, client, self._target, self._tunnels.discard)
        self._tunnels.add(tunnel)
        tunnel.open()


class _Tunnel:
    """One TCP connection: client here, server in the container, a buffer in each direction, half-closes
    kept."""

    def __init__(
        self, loop: SocketLoop, client: socket.socket, target: Target, ended: Callable[[_Tunnel], None]
    ) -> None:
        self._loop = loop
        self._target = target
        self._ended = ended
        self._client = client
        self._server = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._upwards = _Direction(client, self._server)
        self._downwards = _Direction(self._server, client)

    def open(self) -> None:
        self._client.setblocking(False)
        self._server.setblocking(False)
        code = self._server.connect_ex(self._target)
        if code not in (0, errno.EINPROGRESS):
            self.close()
            return
        self._loop.watch(self._server, _WRITE, self._connected)

    def close(self) -> None:
        for end in (self._client, self._server):
            if end.fileno() >= 0:
                self._loop.watch(end, 0, self._ready)
                end.close()
        self._ended(self)

    def _connected(self, _events: int) -> None:
        if self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.close()
            return
        self._ready(0)

    def _ready(self, _events: int) -> None:
        try:
            self._upwards.copy()
            self._downwards.copy()
        except OSError:
            self.close()
            return
        if self._upwards.done and self._downwards.done:
            self.close()
            return
        self._watch(self._client, self._upwards, self._downwards)
        self._watch(self._server, self._downwards, self._upwards)

    def _watch(self, end: socket.socket, source_of: _Direction, sink_of: _Direction) -> None:
        events = (_READ if source_of.wants_source else 0) | (_WRITE if sink_of.wants_sink else 0)
        self._loop.watch(end, events, self._ready)


class _Direction:
    """Bytes on their way from one socket to another: at most one chunk, then the source has to wait."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self._source = source
        self._sink = sink
        self._pending = memoryview(b"")
        self._ended = False
        self.done = False

    @property
    def wants_source(self) -> bool:
        return not self._pending and not self._ended

    @property
    def wants_sink(self) -> bool:
        return len(self._pending) > 0

    def copy(self) -> None:
        """Move what can be moved now. OSError: the connection is broken."""
        try:
            if self.wants_source:
                data = self._source.recv(_CHUNK)
                self._ended = not data
                self._pending = memoryview(data)
            if self._pending:
                self._pending = self._pending[self._sink.send(self._pending) :]
        except BlockingIOError:
            return
        if self._ended and not self._pending and not self.done:
            self.done = True
            self._sink.shutdown(socket.SHUT_WR)


class _UdpDoor:
    """A datagram socket, and for each client a socket of its own towards the container."""

    def __init__(self, loop: SocketLoop, listener: socket.socket, target: Target) -> None:
        self._loop = loop
        self._listener = listener
        self._target = target
        self._sessions: dict[tuple[_Client, bytes], _Session] = {}

    def open(self) -> None:
        # The answer has to come from the address that was asked, of the several that "::" stands for.
        self._listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        self._loop.watch(self._listener, _READ, self._receive)

    def close(self) -> None:
        self._loop.watch(self._listener, 0, self._receive)
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def _receive(self, _events: int) -> None:
        try:
            data, control, _flags, client = self._listener.recvmsg(_CHUNK, _CONTROL_SIZE)
        except OSError:
            return  # An ICMP error for an earlier answer.
        asked = b"".join(value for _level, kind, value in control if kind == socket.IPV6_PKTINFO)
        session = self._sessions.pop((client, asked), None)
        if session is None:
            self._expire()
            try:
                session = _Session(self._loop, self._listener, client, asked, self._target)
            except OSError:
                return  # As good as lost on the way.
        # Back at the end: the dictionary is in the order of the last use.
        self._sessions[client, asked] = session
        session.send(data)

    def _expire(self) -> None:
        oldest_allowed = time.monotonic() - _SESSION_SECONDS
        for key, session in list(self._sessions.items()):
            if session.used > oldest_allowed and len(self._sessions) < _MOST_SESSIONS:
                break
            session.close()
            del self._sessions[key]


class _Session:
    """One UDP client's way to the container and back."""

    def __init__(
        self, loop: SocketLoop, listener: socket.socket, client: _Client, asked: bytes, target: Target
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._client = client
        self._control = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, asked)] if asked else []
        self._server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.used = time.monotonic()
        try:
            self._server.setblocking(False)
            self._server.connect(target)
            loop.watch(self._server, _READ, self._answer)
        except OSError:
            self._server.close()
            raise

    def send(self, data: bytes) -> None:
        self.used = time.monotonic()
        try:
            self._server.send(data)
        except OSError:
            pass  # Datagrams get lost.

    def close(self) -> None:
        self._loop.watch(self._server, 0, self._answer)
        self._server.close()

    def _answer(self, _events: int) -> None:
        try:
            data = self._server.recv(_CHUNK)
            self._listener.sendmsg([data], self._control, 0, self._client)
        except OSError:
            pass  # Nobody listens in the container, or the client is gone.
