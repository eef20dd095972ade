"""The stdio of one process: output fans out to the log and to the attached clients, input comes from them.

Owns our ends of the pipes or the terminal, the log encoders and the list of clients. Used for the container
and for each exec. Knows no process: it is told when that has ended.

Output is read from a pipe only while every client has room in its queue; so a slow client holds up the
container just as a full pipe would, and nothing is lost or piled up. For what a dead process left in its
pipes there is always room, so that exit code and log are final without waiting for any client.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from sampan.linux.terminals import set_window_size
from sampan.shim.attach import STDERR, STDOUT, AttachedClient
from sampan.shim.logfile import LogFile
from sampan.shim.loop import GONE, IN, OUT, Loop
from sampan.wire.jsonlog import LogEncoder

# Half of a pipe. A read becomes one frame; docker's clients take any length, moby sends up to 32 KiB.
_READ_SIZE = 32 * 1024

# What a client may have waiting. /proc/sys/fs/pipe-max-size is 1 MiB for each of two pipes, so the larger one
# is enough for all that a dead process can have left.
_QUEUE_LIMIT = 256 * 1024
_LAST_QUEUE_LIMIT = _QUEUE_LIMIT + 2 * 1024 * 1024
_DRAIN_READS = 2 * 1024 * 1024 // _READ_SIZE

_OUTPUTS = (("stdout", STDOUT), ("stderr", STDERR), ("console", STDOUT))


class Output:
    """One source of output: a pipe or the terminal's master. Owns the descriptor."""

    def __init__(
        self, streams: Streams, loop: Loop, fd: int, stream: int, encoder: LogEncoder | None
    ) -> None:
        self.ended = False
        self.fd = fd
        self._streams = streams
        self._loop = loop
        self._stream = stream
        self._encoder = encoder
        self._watched = False
        os.set_blocking(fd, False)

    def resume(self) -> None:
        if not self._watched and not self.ended:
            self._watched = True
            self._loop.register(self.fd, IN, self._ready)

    def pause(self) -> None:
        # Not by an empty mask: a hang-up would be reported all the same.
        if self._watched:
            self._watched = False
            self._loop.unregister(self.fd)

    def read_available(self) -> None:
        """Read until there is nothing at the moment, or the end; but not for ever if somebody writes on."""
        for _ in range(_DRAIN_READS):
            if self.ended or not self._read():
                break

    def end(self) -> None:
        """The end of this output, by itself or because nobody waits any longer."""
        if not self.ended:
            self.pause()
            self.ended = True
            if self._encoder is not None:
                self._streams.write_log(self._encoder.finish(time.time_ns()))

    def close(self) -> None:
        self.end()
        os.close(self.fd)

    def _ready(self, _events: int) -> None:
        self._read()

    def _read(self) -> bool:
        try:
            data = os.read(self.fd, _READ_SIZE)
        except BlockingIOError:
            return False
        except OSError:
            # EIO: the terminal's last slave is closed. Another may be opened, so the master stays open while
            # the process lives, but nothing more is read; runc's and containerd's copy ends here, too.
            data = b""
        if not data:
            self.end()
            return False
        if self._encoder is not None:
            self._streams.write_log(self._encoder.feed(data, time.time_ns()))
        self._streams.deliver(self._stream, data)
        return True


class Input:
    """The process' stdin: our end of its pipe, or a duplicate of the terminal's master. Owns it."""

    def __init__(self, streams: Streams, loop: Loop, fd: int) -> None:
        self.closed = False
        self._streams = streams
        self._loop = loop
        self._fd = fd
        self._pending = b""
        self._closing = False
        os.set_blocking(fd, False)

    @property
    def has_room(self) -> bool:
        return not (self._pending or self._closing or self.closed)

    def write(self, data: bytes) -> None:
        self._pending += data
        self._flush()
        if self._pending:
            self._loop.register(self._fd, OUT, self._ready)

    def end(self) -> None:
        """Close it once what was written is through."""
        self._closing = True
        if not self._pending:
            self.close()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._pending = b""
            self._loop.unregister(self._fd)
            os.close(self._fd)
            self._streams.input_closed()

    def _ready(self, events: int) -> None:
        if events & GONE:
            self.close()
            return
        self._flush()
        if not self._pending and not self.closed:
            self._loop.unregister(self._fd)
            if self._closing:
                self.close()
            else:
                self._streams.input_has_room()

    def _flush(self) -> None:
        try:
            self._pending = self._pending[os.write(self._fd, self._pending) :]
        except BlockingIOError:
            pass
        except OSError:
            self.close()  # EPIPE: the process has closed its end


class Streams:
    """All streams of one process, and its clients: `begin`, …, `drain`, `finish`, `close`.

    Before `begin` clients may join already; they wait. `on_detach` is told of one that used its detach keys.
    """

    def __init__(self, loop: Loop, on_detach: Callable[[AttachedClient], None]) -> None:
        self.clients: list[AttachedClient] = []
        self.log: LogFile | None = None
        self._loop = loop
        self._on_detach = on_detach
        self._outputs: list[Output] = []
        self._input: Input | None = None
        self._terminal = False
        self._stdin_once = False
        self._begun = False
        self._queue_limit = _QUEUE_LIMIT

    @property
    def ended(self) -> bool:
        """Whether all output has been read to its end."""
        return all(output.ended for output in self._outputs)

    # --- the process' side ---

    def begin(self, fds: Mapping[str, int], *, terminal: bool, stdin_once: bool) -> None:
        """The process runs: move data between its streams (see `handover` for the names) and the clients."""
        self._begun = True
        self._terminal = terminal
        self._stdin_once = stdin_once
        if "stdin" in fds:
            self._input = Input(self, self._loop, fds["stdin"])
        for name, stream in _OUTPUTS:
            if name in fds:
                encoder = None if self.log is None else LogEncoder("stderr" if stream == STDERR else "stdout")
                self._outputs.append(Output(self, self._loop, fds[name], stream, encoder))
        for client in list(self.clients):
            self._admit(client)
        self._balance()

    def drain(self) -> None:
        """The process is dead: read what it left, whether clients keep up or not."""
        self._queue_limit = _LAST_QUEUE_LIMIT
        self._balance()
        for output in self._outputs:
            output.read_available()

    def resize(self, height: int, width: int) -> None:
        """Set the size of the terminal, if there is one; sends SIGWINCH to its foreground group."""
        if self._terminal:
            for output in self._outputs:
                set_window_size(output.fd, height, width)

    def finish(self) -> None:
        """Give up all descriptors of the process: there is no more output. The clients stay."""
        if self._input is not None:
            self._input.close()
        outputs, self._outputs = self._outputs, []
        for output in outputs:
            output.close()

    def close(self) -> None:
        """The same, and let the clients go when they have taken what is queued for them."""
        self.finish()
        for client in list(self.clients):
            client.end()

    def let_go(self) -> None:
        """There will be no process: leave its clients to the controller, who knows why."""
        for client in list(self.clients):
            client.let_go()

    # --- what outputs and inputs call ---

    def write_log(self, entries: bytes) -> None:
        if self.log is not None:
            self.log.append(entries)

    def deliver(self, stream: int, data: bytes) -> None:
        if self.clients:
            for client in list(self.clients):
                client.send(stream, data)
            self._balance()

    def input_has_room(self) -> None:
        for client in list(self.clients):
            client.pump_input()

    def input_closed(self) -> None:
        for client in list(self.clients):
            client.ignore_input()

    def _balance(self) -> None:
        """Read output exactly while every client has room for it."""
        held = any(client.queued >= self._queue_limit for client in self.clients)
        for output in self._outputs:
            if held:
                output.pause()
            else:
                output.resume()

    # --- the clients' side (attach.Session) ---

    def join(self, client: AttachedClient) -> None:
        self.clients.append(client)
        if self._begun:
            self._admit(client)

    def _admit(self, client: AttachedClient) -> None:
        if not self._terminal:
            client.forget_detach_keys()
        if self._input is None or self._input.closed:
            client.ignore_input()
        else:
            client.pump_input()

    def takes_input(self) -> bool:
        return self._begun and self._input is not None and self._input.has_room

    def write_input(self, data: bytes) -> None:
        if self._input is not None:
            self._input.write(data)

    def input_ended(self, client: AttachedClient) -> None:
        """As moby's container/stream/attach.go: the end of its input closes stdin, or ends the attach."""
        if self._stdin_once and not self._terminal:
            if self._input is not None:
                self._input.end()
        else:
            client.end()

    def detached(self, client: AttachedClient) -> None:
        self._on_detach(client)
        client.end()

    def closed(self, client: AttachedClient) -> None:
        self.clients.remove(client)
        self._balance()

    def queue_changed(self) -> None:
        self._balance()
