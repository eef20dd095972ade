"""Links, addresses and routes, through rtnetlink(7).

Owns the messages that Sampan needs and their answers as plain values. Knows no container and no policy.
A request costs 10 to 30 µs; a pair of virtual Ethernet devices 0.4 ms when its far end is born in its
namespace, where creating it here and moving it costs 30.
"""

from __future__ import annotations

import errno
import os
import struct
import sys

from sampan.linux import netlink
from sampan.linux import sockets as socket
from sampan.linux.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NetlinkSocket,
    attribute,
    nested,
    text,
    u32,
)
from sampan.records import dataclass

NETLINK_ROUTE = 0

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26

RTM_NEWNEIGH = 28

IFF_UP = 0x1
IFF_LOOPBACK = 0x8
IFF_RUNNING = 0x40
IF_OPER_UP = 6

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER = 1, 3, 4, 10
IFLA_OPERSTATE = 16
IFLA_LINKINFO, IFLA_NET_NS_PID, IFLA_NET_NS_FD = 18, 19, 28
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 4, 5
IFLA_BRPORT_MODE = 4
IFLA_BRPORT_ISOLATED = 33
VETH_INFO_PEER = 1

IFA_ADDRESS, IFA_LOCAL, IFA_LABEL, IFA_BROADCAST, IFA_FLAGS = 1, 2, 3, 4, 8
IFA_F_NODAD = 0x02
IFA_F_PERMANENT = 0x80

RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_TABLE = 1, 4, 5, 15
RT_TABLE_MAIN = 254
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_HOST = 0, 253, 254
RTPROT_BOOT = 3
RTN_UNICAST = 1
RTM_F_CLONED = 0x200

NDA_LLADDR = 2
NUD_NOARP = 0x40
NTF_MASTER, NTF_STICKY = 0x04, 0x40

_IFINFOMSG = struct.Struct("=BxHiII")  # family, type, index, flags, change mask
_IFADDRMSG = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_RTMSG = struct.Struct("=BBBBBBBBI")  # family, dst and src length, tos, table, protocol, scope, type, flags


_NDMSG = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type


@dataclass(frozen=True, slots=True)
class Link:
    """A network device. `master` is the index of the bridge it is a port of, or 0."""

    index: int
    name: str
    kind: str  # "veth", "bridge", …; empty for a real device
    mac: str
    mtu: int
    flags: int
    master: int
    operational_state: int  # IF_OPER_UP, …: RFC 2863, ifOperStatus


@dataclass(frozen=True, slots=True)
class Address:
    """An address of a device, as `ip address` shows it."""

    index: int
    address: str
    prefix_length: int
    scope: int
    is_permanent: bool = True  # not by autoconfiguration, with an end

    @property
    def network(self) -> str:
        """The address with its prefix length, "172.17.0.1/16"."""
        return f"{self.address}/{self.prefix_length}"


@dataclass(frozen=True, slots=True)
class Route:
    """A route. `destination` is "172.17.0.0/16", or None for the default route; `index` is the device's."""

    family: int
    destination: str | None
    gateway: str | None
    index: int
    table: int
    kind: int  # RTN_UNICAST, …


class RouteSocket:
    """Reads and changes the network namespace in which it is opened. Close it, or use `with`."""

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(NETLINK_ROUTE)

    def __enter__(self) -> RouteSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._netlink.close()

    # Reading

    def links(self) -> list[Link]:
        bodies = self._netlink.dump(RTM_GETLINK, _link_body(), operation="list links")
        return [_parse_link(body) for body in bodies]

    def link(self, name: str) -> Link:
        """One device by its name; ENODEV if there is none."""
        body = self._netlink.get(
            RTM_GETLINK, _link_body(text(IFLA_IFNAME, name)), operation="find link", path=name
        )
        return _parse_link(body)

    def addresses(self) -> list[Address]:
        bodies = self._netlink.dump(RTM_GETADDR, _IFADDRMSG.pack(0, 0, 0, 0, 0), operation="list addresses")
        return [_parse_address(body) for body in bodies]

    def routes(self) -> list[Route]:
        """The routes of all tables, IPv4 and IPv6."""
        request = _RTMSG.pack(0, 0, 0, 0, 0, 0, 0, 0, 0)
        bodies = self._netlink.dump(RTM_GETROUTE, request, operation="list routes")
        return [_parse_route(body) for body in bodies if not _RTMSG.unpack_from(body)[8] & RTM_F_CLONED]

    # Changing

    def create_bridge(self, name: str, mac: str | None = None, mtu: int | None = None) -> None:
        """Create a bridge, down. Without `mac` it takes its ports' lowest, which changes as they come."""
        parts = [text(IFLA_IFNAME, name), *_optional(mac, mtu)]
        parts.append(nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "bridge")))
        self._new_link(_link_body(*parts), "create bridge", name)

    def create_veth(
        self,
        name: str,
        *,
        peer_name: str,
        peer_netns_pid: int | None = None,
        peer_netns_fd: int | None = None,
        master: str | None = None,
        mtu: int | None = None,
        peer_mac: str | None = None,
        up: bool = True,
    ) -> None:
        """Create a pair of virtual Ethernet devices in one message: this end up and in its bridge, the peer
        down and born in its namespace (veth_newlink() reads that from the peer's own attributes)."""
        parts = [text(IFLA_IFNAME, name), *_optional(None, mtu)]
        if master is not None:
            parts.append(u32(IFLA_MASTER, self.link(master).index))
        peer = [text(IFLA_IFNAME, peer_name), *_optional(peer_mac, mtu)]
        if peer_netns_pid is not None:
            peer.append(u32(IFLA_NET_NS_PID, peer_netns_pid))
        elif peer_netns_fd is not None:
            peer.append(u32(IFLA_NET_NS_FD, peer_netns_fd))
        data = nested(IFLA_INFO_DATA, nested(VETH_INFO_PEER, _link_body(*peer)))
        parts.append(nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "veth"), data))
        self._new_link(_link_body(*parts, up=up), "create veth", name)

    def set_up(self, name: str) -> None:
        body = _link_body(text(IFLA_IFNAME, name), up=True)
        self._netlink.change(RTM_NEWLINK, body, operation="set link up", path=name)

    def move_link(self, index: int, namespace: int, name: str) -> None:
        """Move a device into another network namespace (a descriptor), as `name`: "%d" becomes a number that
        is free there. It arrives down and without addresses."""
        body = _link_body(u32(IFLA_NET_NS_FD, namespace), text(IFLA_IFNAME, name), index=index)
        self._netlink.change(RTM_NEWLINK, body, operation="move link", path=name)

    def set_hairpin(self, name: str) -> None:
        """Let a port of a bridge send a frame back by the port that it came in by."""
        port = nested(IFLA_INFO_SLAVE_DATA, attribute(IFLA_BRPORT_MODE, b"\1"))
        info = nested(IFLA_LINKINFO, text(IFLA_INFO_SLAVE_KIND, "bridge"), port)
        body = _link_body(text(IFLA_IFNAME, name), info)
        self._netlink.change(RTM_NEWLINK, body, operation="set hairpin mode", path=name)

    def set_isolated(self, name: str) -> None:
        """Let a port of a bridge exchange frames only with those that are not isolated, such as the bridge
        itself.
        """
        port = nested(IFLA_INFO_SLAVE_DATA, attribute(IFLA_BRPORT_ISOLATED, b"\1"))
        info = nested(IFLA_LINKINFO, text(IFLA_INFO_SLAVE_KIND, "bridge"), port)
        body = _link_body(text(IFLA_IFNAME, name), info)
        self._netlink.change(RTM_NEWLINK, body, operation="isolate bridge port", path=name)

    def pin_mac(self, name: str, mac: str) -> None:
        """Tell the bridge that a MAC address is behind this port of it, and that no other port can take it
        over by sending from it (as `bridge fdb replace MAC dev NAME master static sticky`)."""
        index = self.link(name).index
        body = _NDMSG.pack(socket.AF_BRIDGE, index, NUD_NOARP, NTF_MASTER | NTF_STICKY, 0)
        body += attribute(NDA_LLADDR, _mac(mac))
        flags = NLM_F_CREATE | NLM_F_REPLACE
        self._netlink.change(RTM_NEWNEIGH, body, flags=flags, operation=f"pin MAC address {mac}", path=name)

    def delete_link(self, name: str) -> None:
        body = _link_body(text(IFLA_IFNAME, name))
        self._netlink.change(RTM_DELLINK, body, operation="delete link", path=name)

    def add_address(self, name: str, address: str) -> None:
        """Give a device an address, written with its prefix length; EEXIST if it is there. An IPv6 address
        can be used at once, without duplicate address detection: who gives them out gives each once."""
        body = self._address_body(name, address)
        flags = NLM_F_CREATE | NLM_F_EXCL
        self._netlink.change(RTM_NEWADDR, body, flags=flags, operation=f"add address {address}", path=name)

    def delete_address(self, name: str, address: str) -> None:
        body = self._address_body(name, address)
        self._netlink.change(RTM_DELADDR, body, operation=f"delete address {address}", path=name)

    def add_route(self, destination: str | None, gateway: str | None, device: str) -> None:
        """Add a route to `destination` ("10.0.0.0/8"; None means default), by a gateway or on the link."""
        family, prefix, length = _destination(destination, gateway)
        scope = RT_SCOPE_LINK if gateway is None else RT_SCOPE_UNIVERSE
        parts = [_RTMSG.pack(family, length, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0)]
        if prefix is not None:
            parts.append(attribute(RTA_DST, prefix))
        if gateway is not None:
            parts.append(attribute(RTA_GATEWAY, socket.inet_pton(family, gateway)))
        parts.append(u32(RTA_OIF, self.link(device).index))
        operation = f"add route {destination or 'default'}"
        flags = NLM_F_CREATE | NLM_F_EXCL
        self._netlink.change(RTM_NEWROUTE, b"".join(parts), flags=flags, operation=operation, path=device)

    def _new_link(self, body: bytes, operation: str, name: str) -> None:
        self._netlink.change(
            RTM_NEWLINK, body, flags=NLM_F_CREATE | NLM_F_EXCL, operation=operation, path=name
        )

    def _address_body(self, name: str, address: str) -> bytes:
        family, packed, length = parse_network(address)
        parts = [_IFADDRMSG.pack(family, length, 0, RT_SCOPE_UNIVERSE, self.link(name).index)]
        parts += [attribute(IFA_LOCAL, packed), attribute(IFA_ADDRESS, packed)]
        if family == socket.AF_INET6:
            parts.append(u32(IFA_FLAGS, IFA_F_NODAD))
        elif length < 31:
            # As ip(8) `brd +`; in a /31 (RFC 3021) and a /32 there is no broadcast address.
            parts.append(attribute(IFA_BROADCAST, _broadcast(packed, length)))
        return b"".join(parts)


def parse_network(text_form: str) -> tuple[int, bytes, int]:
    """The (family, packed address, prefix length) of "10.0.0.2/16"; without a length, of the host alone."""
    address, slash, length = text_form.partition("/")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bits = 128 if family == socket.AF_INET6 else 32
    try:
        packed = socket.inet_pton(family, address)
    except OSError:
        raise _invalid(text_form) from None
    if not slash:
        return family, packed, bits
    if not (length.isascii() and length.isdigit() and int(length) <= bits):
        raise _invalid(text_form)
    return family, packed, int(length)


def _invalid(text_form: str) -> OSError:
    return OSError(errno.EINVAL, f"parse address: {os.strerror(errno.EINVAL)}", text_form)


def _destination(destination: str | None, gateway: str | None) -> tuple[int, bytes | None, int]:
    if destination is not None:
        return parse_network(destination)
    family = socket.AF_INET6 if gateway is not None and ":" in gateway else socket.AF_INET
    return family, None, 0


def _broadcast(packed: bytes, length: int) -> bytes:
    return (int.from_bytes(packed, "big") | (1 << (32 - length)) - 1).to_bytes(4, "big")


def _link_body(*parts: bytes, up: bool = False, index: int = 0) -> bytes:
    flags = IFF_UP if up else 0
    return _IFINFOMSG.pack(socket.AF_UNSPEC, 0, index, flags, flags) + b"".join(parts)


def _optional(mac: str | None, mtu: int | None) -> list[bytes]:
    parts = []
    if mac is not None:
        parts.append(attribute(IFLA_ADDRESS, _mac(mac)))
    if mtu is not None:
        parts.append(u32(IFLA_MTU, mtu))
    return parts


def _mac(text_form: str) -> bytes:
    return bytes.fromhex(text_form.replace(":", ""))


def _parse_link(body: bytes) -> Link:
    _family, _type, index, flags, _change = _IFINFOMSG.unpack_from(body)
    found = netlink.attributes(body[_IFINFOMSG.size :])
    info = netlink.attributes(found.get(IFLA_LINKINFO, b""))
    return Link(
        index=index,
        name=netlink.string(found.get(IFLA_IFNAME, b"")),
        kind=netlink.string(info.get(IFLA_INFO_KIND, b"")),
        mac=found.get(IFLA_ADDRESS, b"").hex(":"),
        mtu=_number(found.get(IFLA_MTU)),
        flags=flags,
        master=_number(found.get(IFLA_MASTER)),
        operational_state=int.from_bytes(found.get(IFLA_OPERSTATE, b""), "big"),
    )


def _parse_address(body: bytes) -> Address:
    family, length, flags, scope, index = _IFADDRMSG.unpack_from(body)
    found = netlink.attributes(body[_IFADDRMSG.size :])
    flags = _number(found.get(IFA_FLAGS)) or flags  # the newer one has room for more than eight
    # On a point-to-point device IFA_ADDRESS is the other end's; IPv6 often has no IFA_LOCAL.
    packed = found.get(IFA_LOCAL) or found[IFA_ADDRESS]
    address = socket.inet_ntop(family, packed)
    return Address(index, address, length, scope, bool(flags & IFA_F_PERMANENT))


def _parse_route(body: bytes) -> Route:
    family, length, _source, _tos, table, _protocol, _scope, kind, _flags = _RTMSG.unpack_from(body)
    found = netlink.attributes(body[_RTMSG.size :])
    inet = family in (socket.AF_INET, socket.AF_INET6)
    destination = gateway = None
    if inet and RTA_DST in found:
        destination = f"{socket.inet_ntop(family, found[RTA_DST])}/{length}"
    if inet and RTA_GATEWAY in found:
        gateway = socket.inet_ntop(family, found[RTA_GATEWAY])
    table = _number(found.get(RTA_TABLE)) or table
    return Route(family, destination, gateway, _number(found.get(RTA_OIF)), table, kind)


def _number(raw: bytes | None) -> int:
    return int.from_bytes(raw, sys.byteorder) if raw else 0
