"""Packets with descriptors on a SOCK_SEQPACKET unix socket.

Owns how one message and its descriptors are sent and received; every socket is non-blocking from its peer's
view (MSG_DONTWAIT). Knows nothing of the content.
"""

from __future__ import annotations

import array
import os
import select
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from sampan.shim.document import MAX_PACKET

# SCM_MAX_FD of the kernel; `start` sends one descriptor for each bind mount.
MAX_DESCRIPTORS = 253
_ANCILLARY_SPACE = socket.CMSG_SPACE(MAX_DESCRIPTORS * 4)


class TruncatedPacket(Exception):
    """The peer sent more bytes or descriptors than the protocol allows."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One message as it came in. The receiver owns the descriptors (all close-on-exec)."""

    payload: bytes
    fds: tuple[int, ...]

    def close(self) -> None:
        close_all(self.fds)


def send(sock: socket.socket, payload: bytes, fds: Sequence[int] = ()) -> None:
    """Send one packet, or raise OSError (BlockingIOError when the peer does not read)."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([payload], ancillary, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


def receive(sock: socket.socket) -> Packet | None:
    """The next packet, or None at the end of the stream. Raises BlockingIOError when there is none yet.

    MSG_DONTWAIT is given, so that a blocking socket has to be polled first.
    """
    flags = socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
    payload, ancillary, result, _ = sock.recvmsg(MAX_PACKET, _ANCILLARY_SPACE, flags)
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    packet = Packet(payload, tuple(fds))
    if result & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        packet.close()
        raise TruncatedPacket
    # A packet has at least one byte, so an empty one is the end (unix(7), SOCK_SEQPACKET).
    return packet if payload or fds else None


def wait(sock: socket.socket) -> Packet | None:
    """The next packet, however long it takes."""
    while True:
        select.select([sock], [], [])
        try:
            return receive(sock)
        except BlockingIOError:
            continue


def close_all(fds: Sequence[int]) -> None:
    """Close descriptors, whatever state they are in."""
    for fd in fds:
        try:
            os.close(fd)
        except OSError:
            pass
