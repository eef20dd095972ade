"""Elements of nftables maps, through nfnetlink: what changes while containers come and go.

Owns the batch messages that add and delete elements, the question whether a table exists, and the kernel's
announcements of changed rules. Keys and values are bytes, laid out as in the kernel's registers: each part of
a concatenation is padded to four bytes. Knows no rule. A batch of a few elements costs 0.1 ms.
See include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence

from sampan.linux import netlink
from sampan.linux.netlink import NLM_F_ACK, NLM_F_CREATE, NetlinkSocket, attribute, nested, text
from sampan.records import dataclass

NETLINK_NETFILTER = 12

NFPROTO_INET = 1
NFPROTO_IPV4 = 2

_SUBSYSTEM_NFTABLES = 10
_BATCH_BEGIN, _BATCH_END = 16, 17

_NEWTABLE, _GETTABLE, _DELTABLE = 0, 1, 2
_NEWCHAIN, _DELCHAIN = 3, 5
_NEWRULE, _DELRULE = 6, 8
_NEWSETELEM, _DELSETELEM = 12, 14

_TABLE_NAME = 1  # NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE: the table is number 1 in each message
_CHAIN_NAME = 3
_RULE_CHAIN = 2
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_LIST_ELEMENT = 1
_ELEMENT_KEY, _ELEMENT_DATA = 1, 2
_DATA_VALUE = 1

_GROUP_NFTABLES = 7  # NFNLGRP_NFTABLES

_HEADER = struct.Struct("!BBH")  # struct nfgenmsg: family, version, resource

# An attribute's length has 16 bits: this many elements stay far below, whatever their keys are.
_ELEMENTS_PER_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Element:
    """An element of the map `map_name`: `key` is looked up, `value` is found (empty: of a plain set)."""

    map_name: str
    key: bytes
    value: bytes = b""


@dataclass(frozen=True, slots=True)
class Change:
    """An announced change of the rules: in which table and chain, and whether it took something away."""

    family: int
    table: str
    chain: str
    removed: bool


class NftablesSocket:
    """Changes the rules of the network namespace in which it is opened. Close it, or use `with`."""

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(NETLINK_NETFILTER)

    def __enter__(self) -> NftablesSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._netlink.close()

    def table_exists(self, family: int, table: str) -> bool:
        body = _HEADER.pack(family, 0, 0) + text(_TABLE_NAME, table)
        try:
            self._netlink.get(_type(_GETTABLE), body, operation="find nft table", path=table)
        except FileNotFoundError:
            return False
        return True

    def add_elements(self, family: int, table: str, elements: Sequence[Element]) -> None:
        """Add all elements, or none. One that is there with the same value is fine, with another value it is
        EEXIST; no such table or map: ENOENT."""
        self._change(_NEWSETELEM, NLM_F_CREATE, family, table, elements, "add nft elements")

    def delete_elements(self, family: int, table: str, elements: Sequence[Element]) -> None:
        """Delete all elements, or none: ENOENT if one of them, or the table, is not there."""
        self._change(_DELSETELEM, 0, family, table, elements, "delete nft elements")

    def _change(
        self, kind: int, flags: int, family: int, table: str, elements: Sequence[Element], operation: str
    ) -> None:
        if not elements:
            return
        batch_header = _HEADER.pack(socket.AF_UNSPEC, 0, _SUBSYSTEM_NFTABLES)
        requests = [(_BATCH_BEGIN, 0, batch_header)]
        for map_name, chunk in _chunks(elements):
            body = _HEADER.pack(family, 0, 0) + _element_list(table, map_name, chunk)
            requests.append((_type(kind), flags | NLM_F_ACK, body))
        requests.append((_BATCH_END, 0, batch_header))
        self._netlink.batch(requests, operation=operation, path=table)


class NftablesMonitor:
    """Hears of every change of the rules in its network namespace, like `nft monitor`."""

    def __init__(self) -> None:
        self._socket = netlink.listen(NETLINK_NETFILTER, _GROUP_NFTABLES)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def changes(self) -> list[Change] | None:
        """What was announced since the last call, without waiting. None: announcements were lost."""
        found: list[Change] = []
        while True:
            try:
                datagram = self._socket.recv(netlink.RECEIVE_SIZE)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    return None
                raise
            for kind, _flags, _sequence, body in netlink.messages(datagram):
                change = _parse_change(kind, body)
                if change is not None:
                    found.append(change)


def _type(kind: int) -> int:
    return _SUBSYSTEM_NFTABLES << 8 | kind


def _chunks(elements: Sequence[Element]) -> list[tuple[str, list[Element]]]:
    by_map: dict[str, list[Element]] = {}
    for element in elements:
        by_map.setdefault(element.map_name, []).append(element)
    return [
        (name, members[start : start + _ELEMENTS_PER_MESSAGE])
        for name, members in by_map.items()
        for start in range(0, len(members), _ELEMENTS_PER_MESSAGE)
    ]


def _element_list(table: str, map_name: str, elements: Sequence[Element]) -> bytes:
    members = [nested(_LIST_ELEMENT, *_element_parts(element)) for element in elements]
    return text(_LIST_TABLE, table) + text(_LIST_SET, map_name) + nested(_LIST_ELEMENTS, *members)


def _element_parts(element: Element) -> list[bytes]:
    parts = [nested(_ELEMENT_KEY, attribute(_DATA_VALUE, element.key))]
    if element.value:
        parts.append(nested(_ELEMENT_DATA, attribute(_DATA_VALUE, element.value)))
    return parts


def _parse_change(kind: int, body: bytes) -> Change | None:
    """Tables, chains and rules; elements, which come and go with every container, are not worth a word."""
    kind -= _type(0)
    if kind not in (_NEWTABLE, _DELTABLE, _NEWCHAIN, _DELCHAIN, _NEWRULE, _DELRULE):
        return None
    found = netlink.attributes(body[_HEADER.size :])
    chain_attribute = {
        _NEWCHAIN: _CHAIN_NAME,
        _DELCHAIN: _CHAIN_NAME,
        _NEWRULE: _RULE_CHAIN,
        _DELRULE: _RULE_CHAIN,
    }
    return Change(
        family=body[0],
        table=netlink.string(found.get(_TABLE_NAME, b"")),
        chain=netlink.string(found.get(chain_attribute.get(kind, 0), b"")),
        removed=kind in (_DELTABLE, _DELCHAIN, _DELRULE),
    )
