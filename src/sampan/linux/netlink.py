"""Netlink messages: framing, attributes, acknowledgements. The part that rtnetlink and nfnetlink share.

Owns the bytes of `struct nlmsghdr` and `struct nlattr`, the sequence numbers, and the reading of
acknowledgements and dumps. Knows no message of any family. A request costs two system calls, 10 to 20 µs.
See netlink(7) and Documentation/userspace-api/netlink/intro.rst in the kernel.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterator
from types import TracebackType

from sampan.linux import sockets as socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP_INTR = 0x10
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_DUMP = 0x300
NLM_F_CREATE = 0x400

NLMSG_ERROR = 2
NLMSG_DONE = 3

_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1

_SOL_NETLINK = 270
_NETLINK_ADD_MEMBERSHIP = 1
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11

_SO_SNDBUFFORCE = 32
_ROOM_BY_DEFAULT = 65536

_NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_INT = struct.Struct("=i")

# The kernel makes dump messages as large as the reader's buffer allows, up to 32 KiB.
RECEIVE_SIZE = 32768
# A dump that changed while it was read is repeated; a network that never rests must not hold us for ever.
_DUMP_ATTEMPTS = 10


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(payload), kind) + payload + bytes(-len(payload) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute made of attributes."""
    return attribute(kind | _NLA_F_NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    """A NUL-terminated string."""
    return attribute(kind, value.encode() + b"\0")


def u32(kind: int, value: int) -> bytes:
    """An integer in the machine's byte order, as rtnetlink wants it."""
    return attribute(kind, value.to_bytes(4, sys.byteorder))


def be32(kind: int, value: int) -> bytes:
    """An integer in network byte order, as nfnetlink wants it."""
    return attribute(kind, value.to_bytes(4, "big"))


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes in `data` by type, without flag bits. A truncated one ends the list, as in Linux."""
    found: dict[int, bytes] = {}
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size or offset + length > len(data):
            break
        found[kind & _NLA_TYPE_MASK] = data[offset + _ATTRIBUTE.size : offset + length]
        offset += length + (-length % 4)
    return found


def string(raw: bytes) -> str:
    """A string attribute's text; names are bytes to the kernel, so any byte survives."""
    return raw.rstrip(b"\0").decode(errors="surrogateescape")


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """One message with its header; the port is left to the kernel."""
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def messages(datagram: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The messages of one datagram as (type, flags, sequence, body)."""
    offset = 0
    while offset + _HEADER.size <= len(datagram):
        length, kind, flags, sequence, _port = _HEADER.unpack_from(datagram, offset)
        if length < _HEADER.size or offset + length > len(datagram):
            raise OSError(errno.EBADMSG, "netlink: truncated message")
        yield kind, flags, sequence, datagram[offset + _HEADER.size : offset + length]
        offset += length + (-length % 4)


class NetlinkSocket:
    """A netlink socket of the network namespace it is opened in. For one thread; close it, or use `with`."""

    def __init__(self, protocol: int) -> None:
        self._sequence = 0
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
            self._socket.bind((0, 0))
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def change(
        self, kind: int, body: bytes, *, flags: int = 0, operation: str, path: str | None = None
    ) -> None:
        """Send a request and wait for its acknowledgement."""
        sequence = self._send([(kind, NLM_F_REQUEST | NLM_F_ACK | flags, body)])
        for answer, answer_flags, answer_sequence, answer_body in self._receive():
            if answer_sequence == sequence and answer == NLMSG_ERROR:
                raise_for(answer_flags, answer_body, operation, path)
                return

    def get(self, kind: int, body: bytes, *, operation: str, path: str | None = None) -> bytes:
        """Ask for one object; its message's body."""
        sequence = self._send([(kind, NLM_F_REQUEST, body)])
        for answer, answer_flags, answer_sequence, answer_body in self._receive():
            if answer_sequence != sequence:
                continue
            if answer == NLMSG_ERROR:
                raise_for(answer_flags, answer_body, operation, path)
            return answer_body
        raise AssertionError("_receive never ends")

    def dump(self, kind: int, body: bytes, *, operation: str, path: str | None = None) -> list[bytes]:
        """Ask for all objects of a kind; their messages' bodies, of one consistent moment."""
        for _attempt in range(_DUMP_ATTEMPTS):
            bodies = self._dump_once(kind, body, operation, path)
            if bodies is not None:
                return bodies
        raise OSError(errno.EINTR, f"{operation}: {os.strerror(errno.EINTR)}", path)

    def _dump_once(self, kind: int, body: bytes, operation: str, path: str | None) -> list[bytes] | None:
        sequence = self._send([(kind, NLM_F_REQUEST | NLM_F_DUMP, body)])
        bodies: list[bytes] = []
        interrupted = False
        for answer, answer_flags, answer_sequence, answer_body in self._receive():
            if answer_sequence != sequence:
                continue
            interrupted = interrupted or bool(answer_flags & NLM_F_DUMP_INTR)
            if answer == NLMSG_ERROR:
                raise_for(answer_flags, answer_body, operation, path)
            if answer == NLMSG_DONE:
                return None if interrupted else bodies
            bodies.append(answer_body)
        raise AssertionError("_receive never ends")

    def batch(
        self, requests: list[tuple[int, int, bytes]], *, operation: str, path: str | None = None
    ) -> None:
        """Send several messages (type, flags, body) in one datagram, and wait for the acknowledgement of
        each that asks for one. The first error is raised, after all answers were read."""
        last = self._send([(kind, flags | NLM_F_REQUEST, body) for kind, flags, body in requests])
        first = last - len(requests) + 1
        awaited = {first + index for index, (_, flags, _) in enumerate(requests) if flags & NLM_F_ACK}
        failure: OSError | None = None
        for answer, flags, sequence, body in self._receive():
            if answer == NLMSG_ERROR and first <= sequence <= last:
                awaited.discard(sequence)
                try:
                    raise_for(flags, body, operation, path)
                except OSError as error:
                    failure = failure or error
                    # What asked for no acknowledgement failed (a batch's begin or end): nothing more comes.
                    if not requests[sequence - first][1] & NLM_F_ACK:
                        awaited.clear()
            if not awaited:
                break
        if failure is not None:
            raise failure

    def _send(self, requests: list[tuple[int, int, bytes]]) -> int:
        """Send in one datagram; the sequence number of the last message."""
        datagram = bytearray()
        for kind, flags, body in requests:
            self._sequence += 1
            datagram += message(kind, flags, self._sequence, body)
        if len(datagram) > _ROOM_BY_DEFAULT:
            # A datagram has to fit in the send buffer as a whole. SO_SNDBUFFORCE passes net.core.wmem_max.
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 2 * len(datagram))
        self._socket.send(datagram)
        return self._sequence

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        while True:
            yield from messages(self._socket.recv(RECEIVE_SIZE))


def listen(protocol: int, group: int) -> socket.socket:
    """A non-blocking socket that hears what the kernel announces to a multicast group."""
    listener = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, protocol
    )
    try:
        listener.bind((0, 0))
        listener.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
    except OSError:
        listener.close()
        raise
    return listener


def raise_for(flags: int, body: bytes, operation: str, path: str | None) -> None:
    """Raise what a `struct nlmsgerr` says, with the kernel's own sentence if it sent one. 0 is success."""
    (code,) = _INT.unpack_from(body)
    if code == 0:
        return
    sentence = f"{operation}: {os.strerror(-code)}"
    if flags & _NLM_F_ACK_TLVS:
        # The header of the failed message follows the code; the message itself only when it is not capped.
        skip = _INT.size + _HEADER.size
        if not flags & _NLM_F_CAPPED:
            (length,) = struct.unpack_from("=I", body, _INT.size)
            skip = _INT.size + length + (-length % 4)
        explanation = attributes(body[skip:]).get(_NLMSGERR_ATTR_MSG)
        if explanation:
            sentence += f" ({explanation.rstrip(bytes(1)).decode(errors='replace')})"
    raise OSError(-code, sentence, path)
