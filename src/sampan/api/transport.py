"""Listening and connected sockets on the event loop: what asyncio's own transports do, with fewer detours.

Owns accepting, receiving, sending and closing, with the flow control of `asyncio.Transport`. Knows no HTTP.
An asyncio connection takes three rounds of the loop and a task before its first byte is read; here it takes
one, which is 0.3 ms for each connection of a client that makes two or three of them for one command.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

_ACCEPT_AT_ONCE = 64
_ACCEPT_AGAIN_SECONDS = 1.0
_READ_SIZE = 256 * 1024
# Descriptors or memory are used up for now: accept(2).
_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))

_log = logging.getLogger("sampan.api")


class Acceptor:
    """Accepts connections on a listening socket until `close`, which leaves the socket open."""

    def __init__(self, listening: socket.socket, connect: Callable[[], asyncio.Protocol]) -> None:
        self._socket = listening
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._closed = False
        listening.setblocking(False)
        self._resume()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._socket)

    def _resume(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._socket, self._ready)

    def _ready(self) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            try:
                connection, _ = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                # The connection stays in the queue, and would be reported in every round.
                _log.error("cannot accept a connection: %s", error.strerror)
                self._loop.remove_reader(self._socket)
                self._loop.call_later(_ACCEPT_AGAIN_SECONDS, self._resume)
                return
            SocketTransport(connection, self._connect(), self._loop)


class SocketTransport(asyncio.Transport):
    """A connected stream socket. What is written goes out at once as far as the kernel takes it; the protocol
    is paused as long as anything is left.
    """

    def __init__(
        self, connected: socket.socket, protocol: asyncio.Protocol, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__({"socket": connected})
        connected.setblocking(False)
        if connected.family != socket.AF_UNIX:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self._protocol = protocol
        self._loop = loop
        self._unsent = bytearray()
        self._reading = False
        self._closing = False
        self._lost = False
        self._ends_writing = False
        protocol.connection_made(self)
        self.resume_reading()

    # --- reading --------------------------------------------------------------------------------------------

    def is_reading(self) -> bool:
        return self._reading

    def resume_reading(self) -> None:
        if not (self._reading or self._closing):
            self._reading = True
            self._loop.add_reader(self._socket, self._readable)

    def pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._socket)

    def _readable(self) -> None:
        try:
            data = self._socket.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        if data:
            self._protocol.data_received(data)
            return
        self.pause_reading()
        if not self._protocol.eof_received():
            self.close()

    # --- writing --------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or not data:
            return
        if not self._unsent:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self._lose(error)
                return
            if sent == len(data):
                return
            data = memoryview(data)[sent:]
            self._loop.add_writer(self._socket, self._writable)
            self._unsent += data
            self._protocol.pause_writing()
        else:
            self._unsent += data

    def write_eof(self) -> None:
        if not (self._closing or self._ends_writing):
            self._ends_writing = True
            if not self._unsent:
                self._shut_down()

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return len(self._unsent)

    def _writable(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        del self._unsent[:sent]
        if self._unsent:
            return
        self._loop.remove_writer(self._socket)
        if self._closing:
            self._lose(None)
            return
        if self._ends_writing:
            self._shut_down()
        self._protocol.resume_writing()

    def _shut_down(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the peer has gone; reading tells

    # --- the end --------------------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Send what is left, then close."""
        if not self._closing:
            self.pause_reading()
            self._closing = True
            if not self._unsent:
                self._lose(None)

    def abort(self) -> None:
        """Close at once."""
        self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        """The connection is over; the protocol is told in the next round, never from within its own call."""
        if self._lost:
            return
        self._lost = True
        self.pause_reading()
        self._closing = True
        if self._unsent:
            self._unsent.clear()
            self._loop.remove_writer(self._socket)
        self._socket.close()
        self._loop.call_soon(self._protocol.connection_lost, error)
