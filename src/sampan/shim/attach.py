"""One attached client: Docker's multiplex frames or raw bytes out, stdin in, detach keys.

Owns the client's socket, its queue of output and the state machine of its detach keys. Knows of the container
only the `Session` that it belongs to. It never blocks: what the socket does not take waits in the queue, and
the session holds up the container when that is full.

The life of a client:

    state    | output                                  | input                        | is left when
    ---------|-----------------------------------------|------------------------------|----------------------------
    attached | framed, queued, sent                    | read while stdin takes it    | one of the three below
    ending   | the queue is sent, nothing is added     | ignored                      | queue empty → closed
    deaf     | dropped: the peer has closed its socket | what it sent is still read   | end of input → closed
    closed   |                                         |                              |
"""

from __future__ import annotations

from collections.abc import Sequence

from sampan.linux import sockets as socket
from sampan.shim.loop import GONE, IN, OUT, Loop
from sampan.wire.attach import header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object

STDIN, STDOUT, STDERR = 0, 1, 2

# Plain numbers: socket's own are enums, and `|` on those runs a good deal of Python.
_DO_NOT_WAIT = int(socket.MSG_DONTWAIT)
_SEND_FLAGS = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

_INPUT_SIZE = 16 * 1024
_INPUT_READS = 16  # in one go, so that a client that floods stdin does not keep the others waiting
_MAX_DISCARDED = 64  # reads of input that nobody wants, at the end


class Session(Protocol):
    """What a client asks of the streams that it is attached to."""

    def takes_input(self) -> bool:
        """Whether stdin has room now. When that changes, the session calls `pump_input`."""

    def write_input(self, data: bytes) -> None:
        """Take input, all of it; asked only while `takes_input`."""

    def input_ended(self, client: AttachedClient) -> None:
        """The client will send nothing more."""

    def detached(self, client: AttachedClient) -> None:
        """The client used its detach keys."""

    def closed(self, client: AttachedClient) -> None:
        """The client's socket is closed."""

    def queue_changed(self) -> None:
        """`queued` has become less."""


class DetachKeys:
    """Finds the detach sequence in a terminal's input; one that is not completed is passed on."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What goes on to the container, and whether the sequence is complete; what follows it is dropped."""
        if not self._held and (not self._keys or self._keys[0] not in data):
            return data, False
        passed = bytearray()
        for byte in data:
            self._held += bytes((byte,))
            while not self._keys.startswith(self._held):
                passed.append(self._held[0])
                self._held = self._held[1:]
            if self._held == self._keys:
                return bytes(passed), True
        return bytes(passed), False


class AttachedClient:
    """A client socket joined to a session. The session calls `send`, `pump_input`, `end` and `close`."""

    def __init__(
        self,
        loop: Loop,
        session: Session,
        sock: socket.SocketType,
        *,
        name: str,
        streams: frozenset[int],
        multiplex: bool,
        detach_keys: bytes,
        early: bytes,
    ) -> None:
        self.name = name
        self._loop = loop
        self._session = session
        self._socket = sock
        self._streams = streams
        self._multiplex = multiplex
        self._detach_keys = DetachKeys(detach_keys)
        self._early = early
        self._queue = bytearray()
        self._reading = STDIN in streams
        self._ending = False
        self._deaf = False
        self._closed = False
        self._interest = 0
        loop.register(sock.fileno(), 0, self._ready)

    @property
    def queued(self) -> int:
        """Bytes that the client has not taken yet."""
        return len(self._queue)

    # --- output ---

    def send(self, stream: int, data: bytes) -> None:
        """Queue output of the container, if the client asked for that stream."""
        if self._ending or self._deaf or self._closed or stream not in self._streams:
            return
        parts = [data]
        if self._multiplex:
            parts.insert(0, header(stream, len(data)))
        if self._queue:
            self._queue += b"".join(parts)
            return
        sent = self._transmit(parts)
        if sent is not None and sent < sum(map(len, parts)):
            self._queue += b"".join(parts)[sent:]
            self._update_interest()

    def end(self) -> None:
        """There is no more output: close once the queue is sent."""
        if not self._closed and not self._ending:
            self._ending = True
            self._reading = False
            if self._queue:
                self._update_interest()
            else:
                self.close()

    def _flush(self) -> None:
        sent = self._transmit([self._queue])
        if sent is None:
            return
        del self._queue[:sent]
        if self._ending and not self._queue:
            self.close()
            return
        self._update_interest()
        self._session.queue_changed()

    def _transmit(self, parts: Sequence[bytes | bytearray]) -> int | None:
        """Send what the socket takes now. None if the peer is gone."""
        try:
            return self._socket.sendmsg(parts, (), _SEND_FLAGS)
        except BlockingIOError:
            return 0
        except OSError:
            self._peer_gone()
            return None

    # --- input ---

    def pump_input(self) -> None:
        """Move input to the container as long as it takes it."""
        reads = 0
        while self._reading and self._session.takes_input() and (self._deaf or reads < _INPUT_READS):
            reads += 1
            try:
                data = self._read_input()
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self._reading = False
                self._session.input_ended(self)
                break
            passed, detach = self._detach_keys.feed(data)
            if passed:
                self._session.write_input(passed)
            if detach:
                self._reading = False
                self._session.detached(self)
                break
        if self._deaf and not self._reading:
            self.close()
        self._update_interest()

    def _read_input(self) -> bytes:
        if self._early:
            data, self._early = self._early, b""
            return data
        return self._socket.recv(_INPUT_SIZE, _DO_NOT_WAIT)

    def forget_detach_keys(self) -> None:
        """They mean something on a terminal only; whether there is one is known when the process starts."""
        self._detach_keys = DetachKeys(b"")

    def ignore_input(self) -> None:
        """The process has no stdin (any more): leave alone what the client sends."""
        self._reading = False
        if self._deaf:
            self.close()
        self._update_interest()

    # --- events and end ---

    def _ready(self, events: int) -> None:
        if events & OUT:
            self._flush()
        if events & GONE and not self._closed:
            self._peer_gone()
        elif events & IN:
            self.pump_input()

    def _peer_gone(self) -> None:
        """The peer closed its socket, or died. What it had written before still counts as input."""
        if self._closed or self._deaf:
            return
        self._deaf = True
        self._queue.clear()
        # The hang-up would be reported in each round from now on.
        self._loop.unregister(self._socket.fileno())
        self._session.queue_changed()
        self.pump_input()

    def _update_interest(self) -> None:
        if self._closed or self._deaf:
            return
        interest = OUT if self._queue else 0
        if self._reading and self._session.takes_input():
            interest |= IN
        if interest != self._interest:
            self._interest = interest
            self._loop.modify(self._socket.fileno(), interest)

    def close(self) -> None:
        """Close the socket, queue or not."""
        if not self._closed:
            self._shut_down()
            self.let_go()

    def let_go(self) -> None:
        """Close our descriptor only: the controller may hold another, and have something to say itself."""
        if self._closed:
            return
        self._closed = True
        self._queue.clear()
        self._loop.unregister(self._socket.fileno())
        self._socket.close()
        self._session.closed(self)

    def _shut_down(self) -> None:
        """Let the peer see a clean end of the stream.

        Closing a socket with unread input in it resets the connection (unix(7), tcp(7)), and the peer could
        lose output for that. So nothing more is let in, and what is there is read away.
        """
        try:
            self._socket.shutdown(
                socket.SHUT_RDWR if self._socket.family == socket.AF_UNIX else socket.SHUT_WR
            )
            for _ in range(_MAX_DISCARDED):
                if not self._socket.recv(_INPUT_SIZE, _DO_NOT_WAIT):
                    break
        except OSError:
            pass
