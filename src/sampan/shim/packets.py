"""Packets with descriptors on a SOCK_SEQPACKET unix socket.

Owns how one message and its descriptors are sent and received; every socket is non-blocking from its peer's
view (MSG_DONTWAIT). Knows nothing of the content.
"""

from __future__ import annotations

import array
import os
from collections.abc import Sequence

from sampan.linux import sockets as socket
from sampan.shim.document import MAX_PACKET

# SCM_MAX_FD of the kernel; `start` sends one descriptor for each bind mount.
MAX_DESCRIPTORS = 253
# Plain numbers: socket's own are enums, and `|` on those runs a good deal of Python.
_CLOSE_ON_EXEC = int(socket.MSG_CMSG_CLOEXEC)
_DO_NOT_WAIT = int(socket.MSG_DONTWAIT)
_NO_SIGNAL = int(socket.MSG_NOSIGNAL)
_TRUNCATED = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)
_SOL_SOCKET = int(socket.SOL_SOCKET)
_SCM_RIGHTS = int(socket.SCM_RIGHTS)
_ANCILLARY_SPACE = socket.CMSG_SPACE(MAX_DESCRIPTORS * 4)


class TruncatedPacket(Exception):
    """The peer sent more bytes or descriptors than the protocol allows."""


class Packet:
    """One message as it came in. The receiver owns the descriptors (all close-on-exec)."""

    __slots__ = ("fds", "payload")

    def __init__(self, payload: bytes, fds: tuple[int, ...]) -> None:
        self.payload = payload
        self.fds = fds

    def close(self) -> None:
        close_all(self.fds)


def send(sock: socket.SocketType, payload: bytes, fds: Sequence[int] = ()) -> None:
    """Send one packet, or raise OSError (BlockingIOError when the peer does not read)."""
    ancillary = [(_SOL_SOCKET, _SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([payload], ancillary, _DO_NOT_WAIT | _NO_SIGNAL)


def receive(sock: socket.SocketType) -> Packet | None:
    """The next packet, or None at the end of the stream. Raises BlockingIOError when there is none yet.

    MSG_DONTWAIT is given, so that a blocking socket has to be polled first; `wait` does without it.
    """
    return _receive(sock, _CLOSE_ON_EXEC | _DO_NOT_WAIT)


def wait(sock: socket.SocketType) -> Packet | None:
    """The next packet of a blocking socket, however long it takes."""
    return _receive(sock, _CLOSE_ON_EXEC)


def _receive(sock: socket.SocketType, flags: int) -> Packet | None:
    payload, ancillary, result, _ = sock.recvmsg(MAX_PACKET, _ANCILLARY_SPACE, flags)
    fds: tuple[int, ...] = ()
    for level, kind, data in ancillary:
        if level == _SOL_SOCKET and kind == _SCM_RIGHTS:
            fds += tuple(memoryview(data[: len(data) & -4]).cast("i"))
    packet = Packet(payload, fds)
    if result & _TRUNCATED:
        packet.close()
        raise TruncatedPacket
    # A packet has at least one byte, so an empty one is the end (unix(7), SOCK_SEQPACKET).
    return packet if payload or fds else None


def close_all(fds: Sequence[int]) -> None:
    """Close descriptors, whatever state they are in."""
    for fd in fds:
        try:
            os.close(fd)
        except OSError:
            pass
