"""The conversation between the process that starts a container and the new process, until `execve`.

Owns its messages, their bytes and the order in which they may come. Knows nothing of what they make either
side do. One packet of a SOCK_SEQPACKET pair is one message.

Theory of operation
===================

The new process works through its plan; whenever it depends on its parent, the plan holds a barrier for a
`Stage`, and the parent announces each stage once, in this order:

    MAPPED     uid_map and gid_map are written: only with a new user namespace
    PREPARED   `prepare` was called: the network interfaces exist
    ATTACHED   the process is in its cgroup, with all its limits, as soon as it has gone through the entrances
               whose descriptors come with this
    HOOKED     the hooks prestart and createRuntime have run: only if there are any (answers `Mounted`)

Meanwhile the parent reads:

    Warned     something was not done that need not fail
    Console    with a descriptor: the master of the container's terminal
    Mounted    the mounts are made, the root is not yet changed
    Listening  with a descriptor: a pipe to read from when a seccomp listener has been taken over
    Listener   the number of that listener: only with a seccomp filter that asks an agent
    Ready      all is done; the process waits at the gate, or is about to execute the program
    Failed     the last message: why the container cannot start

After `Ready`, the end of the conversation means that execve(2) has succeeded (the socket closes by itself
then), or that the program could not be loaded, which it has told on its own stderr, as runc does. Without
`Ready` it means that the process was killed.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Sequence

from sampan.linux import sockets as socket
from sampan.records import dataclass
from sampan.wire import jsontext

_MAX_PACKET = 64 * 1024
_MAX_ANNOUNCEMENT = 64
_READY = b'["ready"]'
# The kernel knows some 14 controllers, and there may be named hierarchies; 253 is its own limit (unix(7)).
_MAX_DESCRIPTORS = 64


class Stage(enum.Enum):
    """What the parent announces."""

    MAPPED = b"mapped"
    PREPARED = b"prepared"
    ATTACHED = b"attached"
    HOOKED = b"hooked"


@dataclass(frozen=True, slots=True)
class Warned:
    message: str


@dataclass(frozen=True, slots=True)
class Console:
    master: int


@dataclass(frozen=True, slots=True)
class Mounted:
    pass


@dataclass(frozen=True, slots=True)
class Listening:
    release: int


@dataclass(frozen=True, slots=True)
class Listener:
    number: int


@dataclass(frozen=True, slots=True)
class Ready:
    pass


@dataclass(frozen=True, slots=True)
class Failed:
    message: str
    exit_code: int


Message = Warned | Console | Mounted | Listening | Listener | Ready | Failed


class Abandoned(Exception):
    """The other side has gone."""


class ParentChannel:
    """The end of the process that starts the container."""

    __slots__ = ("_socket",)

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def announce(self, stage: Stage, descriptors: Sequence[int] = ()) -> None:
        # A process that has failed closes its end; why, it has written before: see `receive`.
        try:
            socket.send_fds(self._socket, [stage.value], descriptors, socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def receive(self) -> Message | None:
        """The next message; None at the end of the conversation."""
        try:
            packet, descriptors, _, _ = self._read()
        except ConnectionResetError:
            # The process has closed its end without reading what we announced, which is told once and before
            # its own last message (unix_release_sock() in the kernel). That one is still there.
            packet, descriptors, _, _ = self._read()
        if not packet:
            return None
        kind, *values = jsontext.parse(packet)
        if kind == "warned":
            return Warned(values[0])
        if kind == "console":
            return Console(descriptors[0])
        if kind == "mounted":
            return Mounted()
        if kind == "ready":
            return Ready()
        if kind == "listening":
            return Listening(descriptors[0])
        if kind == "listener":
            return Listener(values[0])
        return Failed(values[0], values[1])

    def _read(self) -> tuple[bytes, list[int], int, object]:
        return socket.recv_fds(self._socket, _MAX_PACKET, 1, socket.MSG_CMSG_CLOEXEC)

    def close(self) -> None:
        self._socket.close()


class ChildChannel:
    """The end of the new process."""

    __slots__ = ("_reached", "_socket")

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._reached: dict[Stage, list[int]] = {}

    def fileno(self) -> int:
        return self._socket.fileno()

    def wait(self, stage: Stage) -> list[int]:
        """Wait until the parent has announced this stage; returns the descriptors that came with it, the
        caller's to close. Raises `Abandoned` if the parent dies first.
        """
        while stage not in self._reached:
            packet, descriptors, _, _ = socket.recv_fds(
                self._socket, _MAX_ANNOUNCEMENT, _MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
            if not packet:
                raise Abandoned
            self._reached[Stage(packet)] = descriptors
        return self._reached[stage]

    def warn(self, message: str) -> None:
        self._send(["warned", message])

    def console(self, master: int) -> None:
        self._send(["console"], [master])

    def mounted(self) -> None:
        self._send(["mounted"])

    def listening(self, release: int) -> None:
        self._send(["listening"], [release])

    def listener(self, number: int) -> None:
        """By write(2), the one call that a seccomp filter never sends to an agent."""
        os.write(self._socket.fileno(), b'["listener",%d]' % number)

    def ready(self) -> None:
        try:
            self._socket.send(_READY)
        except (BrokenPipeError, ConnectionResetError):
            raise Abandoned from None

    def fail(self, message: str, exit_code: int) -> None:
        self._send(["failed", message, exit_code])

    def _send(self, message: list[object], descriptors: list[int] | None = None) -> None:
        packet = jsontext.text(message).encode()[:_MAX_PACKET]
        try:
            socket.send_fds(self._socket, [packet], descriptors or [])
        except (BrokenPipeError, ConnectionResetError):
            raise Abandoned from None


def open_channel() -> tuple[socket.socket, socket.socket]:
    """Both ends, parent's first; each process wraps its own and closes the other."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
