"""Forgetting tracked connections, through ctnetlink.

Owns the listing and deletion of entries of the connection tracking table. A UDP "connection" keeps the
translation that it got with its first packet for as long as packets keep coming: after a port is published or
withdrawn, or an address has a new owner, such an entry would go on sending datagrams to where they went
before. TCP needs no help, since the new owner answers with a reset. A pass costs some 10 µs an entry.
See include/uapi/linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from sampan.linux import netlink
from sampan.linux.netlink import NetlinkSocket, attribute
from sampan.linux.nfnetlink import NETLINK_NETFILTER
from sampan.records import dataclass

_SUBSYSTEM_CONNTRACK = 1
_GET, _DELETE = 1, 2

_TUPLE_ORIGINAL, _TUPLE_REPLY = 1, 2
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2
_IP_V4_SOURCE, _IP_V4_DESTINATION = 1, 2
_PROTOCOL_NUMBER, _PROTOCOL_DESTINATION_PORT = 1, 3

_NLA_F_NESTED = 0x8000
_HEADER = struct.Struct("!BBH")


@dataclass(frozen=True, slots=True)
class Connection:
    """An IPv4 entry: where its first packet went, and who answers it (another one, if it was translated)."""

    protocol: int
    destination: str
    destination_port: int
    answerer: str


def forget(unwanted: Callable[[Connection], bool]) -> int:
    """Delete the IPv4 entries that are `unwanted`, in the current network namespace; how many there were."""
    header = _HEADER.pack(socket.AF_INET, 0, 0)
    count = 0
    with NetlinkSocket(NETLINK_NETFILTER) as conntrack:
        for body in conntrack.dump(_type(_GET), header, operation="list connections"):
            found = netlink.attributes(body[_HEADER.size :])
            connection = _parse(found)
            if connection is None or not unwanted(connection):
                continue
            request = header + attribute(_TUPLE_ORIGINAL | _NLA_F_NESTED, found[_TUPLE_ORIGINAL])
            try:
                conntrack.change(_type(_DELETE), request, operation="forget connection")
            except FileNotFoundError:
                continue  # It ended by itself in the meantime.
            count += 1
    return count


def _type(kind: int) -> int:
    return _SUBSYSTEM_CONNTRACK << 8 | kind


def _parse(found: dict[int, bytes]) -> Connection | None:
    original = netlink.attributes(found.get(_TUPLE_ORIGINAL, b""))
    reply = netlink.attributes(found.get(_TUPLE_REPLY, b""))
    addresses = netlink.attributes(original.get(_TUPLE_IP, b""))
    protocol = netlink.attributes(original.get(_TUPLE_PROTOCOL, b""))
    answer = netlink.attributes(reply.get(_TUPLE_IP, b""))
    if _IP_V4_DESTINATION not in addresses or _IP_V4_SOURCE not in answer:
        return None
    return Connection(
        protocol=int.from_bytes(protocol.get(_PROTOCOL_NUMBER, b"\0"), "big"),
        destination=socket.inet_ntop(socket.AF_INET, addresses[_IP_V4_DESTINATION]),
        destination_port=int.from_bytes(protocol.get(_PROTOCOL_DESTINATION_PORT, b"\0"), "big"),
        answerer=socket.inet_ntop(socket.AF_INET, answer[_IP_V4_SOURCE]),
    )
