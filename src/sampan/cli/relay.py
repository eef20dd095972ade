"""Carries bytes between the user's streams and a hijacked connection, until the container's end of it closes.

Owns the loop: standard input to the socket, the socket (plain or multiplexed) to standard output and error,
half-close at the end of the input, detaching, signals. Sending never blocks the loop: a container that does
not read while it writes (`cat` with a big input) would otherwise stop both sides.
"""

from __future__ import annotations

import posix
import select

from sampan.cli.context import write
from sampan.cli.failure import Failure
from sampan.wire.attach import STDERR, SYSTEM_ERROR, Demultiplexer, FrameError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from sampan.cli.signals import SignalPipe
    from sampan.cli.terminal import DetachKeys

BLOCK = 65536
SHUT_WR = 1
READABLE = select.POLLIN | select.POLLHUP | select.POLLERR


def write_frames(frames: Demultiplexer, data: bytes, stdout: bool = True, stderr: bool = True) -> None:
    """Write what arrived of a multiplexed stream to our own streams."""
    try:
        for stream, piece in frames.feed(data):
            if stream in (STDERR, SYSTEM_ERROR):
                if stderr:
                    write(2, piece)
            elif stdout:
                write(1, piece)
    except FrameError as error:
        raise Failure(str(error)) from None


class Detached(Exception):
    """The user typed the detach keys: the container goes on without us."""


class Relay:
    """One attached session."""

    def __init__(
        self,
        sock: _socket.socket,
        early: bytes,
        *,
        stdin: bool,
        multiplexed: bool,
        stdout: bool = True,
        stderr: bool = True,
        keys: DetachKeys | None = None,
        signals: SignalPipe | None = None,
        on_signal: Callable[[int], None] | None = None,
    ) -> None:
        self.socket = sock
        self.early = early
        self.stdin = stdin
        self.frames = Demultiplexer() if multiplexed else None
        self.targets = (stdout, stderr)
        self.keys = keys
        self.signals = signals
        self.on_signal = on_signal
        self.pending = b""
        self.input_ended = not stdin

    def run(self) -> None:
        """Carry until the output ends (or the input, if no output is attached). Raises Detached."""
        self._deliver(self.early)
        self.socket.setblocking(False)
        while True:
            if not any(self.targets) and self.input_ended and not self.pending:
                return
            ready = self._wait()
            if self.signals is not None and self.signals.reader in ready:
                for number in self.signals.take():
                    if self.on_signal is not None:
                        self.on_signal(number)
            if 0 in ready and not self.pending and not self.input_ended:
                self._read_input()
            events = ready.get(self.socket.fileno(), 0)
            if self.pending and events & select.POLLOUT:
                self._flush()
            if events & READABLE and not self._read_output():
                return

    def _wait(self) -> dict[int, int]:
        poll = select.poll()
        poll.register(self.socket.fileno(), select.POLLIN | (select.POLLOUT if self.pending else 0))
        if not self.input_ended and not self.pending:
            poll.register(0, select.POLLIN)
        if self.signals is not None:
            poll.register(self.signals.reader, select.POLLIN)
        return dict(poll.poll())

    def _read_input(self) -> None:
        try:
            data = posix.read(0, BLOCK)
        except OSError:  # a terminal that went away, or a closed descriptor
            data = b""
        detached = False
        if data and self.keys is not None:
            data, detached = self.keys.feed(data)
        elif not data:
            self.input_ended = True
        self.pending = data
        self._flush()
        if detached:
            raise Detached

    def _flush(self) -> None:
        """Send what the socket takes now; at the end of the input close our half."""
        try:
            if self.pending:
                self.pending = self.pending[self.socket.send(self.pending, 0x4000) :]
            if self.input_ended and not self.pending:
                self.socket.shutdown(SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:  # the engine closed: its last output may still be on the way
            self.pending, self.input_ended = b"", True

    def _read_output(self) -> bool:
        try:
            data = self.socket.recv(BLOCK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._deliver(data)
        return bool(data)

    def _deliver(self, data: bytes) -> None:
        if self.frames is None:
            if data and self.targets[0]:
                write(1, data)
            return
        write_frames(self.frames, data, *self.targets)
