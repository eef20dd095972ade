"""The nftables table of a bridge: how a packet goes, and the map elements that publish a port.

Owns the text of the table and the layout of its maps' keys and values. Pure: `bridge` loads it. Everything
is in one table, which is replaced as a whole; a published port is an element, so its cost does not grow
with their number.

    from another host   prerouting: to the container; forward: accepted, since translated
    from the host       output: to the container; postrouting: from the bridge's address, if from 127.0.0.1
    from a container    prerouting: to the container; postrouting: from the bridge's address (hairpin)
    to the world        postrouting: from the host's address

The source address of a client on another host is kept. Containers of the bridge talk to each other freely,
and nobody else reaches a container by a port that it did not publish, even if routed to the container's
address.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from sampan.linux.nfnetlink import NFPROTO_INET, Element
from sampan.networks.endpoint import Endpoint
from sampan.networks.ports import PublishedPort
from sampan.records import dataclass

FAMILY = NFPROTO_INET

_ANYWHERE = "published"
_AT_ADDRESS = "published-at"
_PROTOCOL_NUMBERS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": socket.IPPROTO_SCTP}

# A concatenation has each part padded to four bytes (a register).
_ANYWHERE_KEY = struct.Struct("!B3xH2x")
_AT_ADDRESS_KEY = struct.Struct("!4sB3xH2x")
_VALUE = struct.Struct("!4sH2x")

# route_localnet is on for the bridge, so that a connection from 127.0.0.1 can be translated and leave
# through it. With it the kernel no longer drops a packet *from* the bridge to 127.0.0.1, the loopback of
# the host: `martians` does. For a port published on 127.0.0.1 alone, a neighbour on the link could send a
# packet to that address, and it would be translated before the kernel can find it odd: `prerouting` does
# not translate such packets at all.
_TABLE = """\
table inet {table} {{}}
delete table inet {table}
table inet {table} {{
    map {anywhere} {{
        type inet_proto . inet_service : ipv4_addr . inet_service
        {anywhere_elements}
    }}
    map {at_address} {{
        type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
        {at_address_elements}
    }}
    chain martians {{
        type filter hook prerouting priority raw; policy accept;
        iifname "{bridge}" ip saddr 127.0.0.0/8 drop
        iifname "{bridge}" ip daddr 127.0.0.0/8 drop
    }}
    chain prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
        ip daddr 127.0.0.0/8 return
        fib daddr type local jump publish
    }}
    chain output {{
        type nat hook output priority -100; policy accept;
        fib daddr type local jump publish
    }}
    chain publish {{
        meta l4proto {{ tcp, udp, sctp }} dnat ip to ip daddr . meta l4proto . th dport map @{at_address}
        meta l4proto {{ tcp, udp, sctp }} dnat ip to meta l4proto . th dport map @{anywhere}
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        oifname "{bridge}" jump to-containers{confinement}
    }}
    chain to-containers {{
        ct state established,related accept
        {neighbours}
        {outside}
        drop
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        {masquerade}
        oifname "{bridge}" ct status dnat ip saddr {{ 127.0.0.0/8, {subnet} }} masquerade
    }}
}}
"""


def table_name(bridge: str) -> str:
    return f"sampan-{bridge}"


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may talk to whom, besides Docker's defaults."""

    internal: bool = False
    """Nothing goes out, and nothing but the host comes in."""
    icc: bool = True
    """Containers of the bridge may talk to each other; else by published ports alone."""
    masquerade: bool = True


_DOCKERS = Policy()


def table(bridge: str, subnet: IPv4Network, endpoints: Iterable[Endpoint], policy: Policy = _DOCKERS) -> str:
    """The transaction that makes the bridge's table, or replaces it, with the ports of these endpoints
    published."""
    away = f'oifname != "{bridge}"'
    anywhere: list[str] = []
    at_address: list[str] = []
    for endpoint in endpoints:
        for port in _translated(endpoint):
            target = f"{endpoint.address} . {port.container_port}"
            if port.host_ip == "0.0.0.0":
                anywhere.append(f"{port.protocol} . {port.host_port} : {target}")
            else:
                at_address.append(f"{port.host_ip} . {port.protocol} . {port.host_port} : {target}")
    return _TABLE.format(
        table=table_name(bridge),
        bridge=bridge,
        subnet=subnet,
        anywhere=_ANYWHERE,
        anywhere_elements=_elements(anywhere),
        at_address=_AT_ADDRESS,
        at_address_elements=_elements(at_address),
        confinement=f'\n        iifname "{bridge}" {away} drop' if policy.internal else "",
        neighbours=f'iifname "{bridge}" accept' if policy.icc else "",
        outside="" if policy.internal else "ct status dnat accept",
        masquerade=(
            f"{away} ip saddr {subnet} masquerade" if policy.masquerade and not policy.internal else ""
        ),
    )


def without_table(bridge: str) -> str:
    """The transaction that removes the bridge's table, if it is there."""
    name = table_name(bridge)
    return f"table inet {name} {{}}\ndelete table inet {name}\n"


def elements(endpoint: Endpoint) -> list[Element]:
    """What publishes the ports of an endpoint in the table."""
    return [_element(port, endpoint.address) for port in _translated(endpoint)]


def _translated(endpoint: Endpoint) -> list[PublishedPort]:
    """The ports that the kernel translates: to an IPv4 container that can be done from IPv4 only."""
    return [port for port in endpoint.ports if not port.is_ipv6]


def _element(port: PublishedPort, container: IPv4Address) -> Element:
    protocol = _PROTOCOL_NUMBERS[port.protocol]
    value = _VALUE.pack(container.packed, port.container_port)
    if port.host_ip == "0.0.0.0":
        return Element(_ANYWHERE, _ANYWHERE_KEY.pack(protocol, port.host_port), value)
    key = _AT_ADDRESS_KEY.pack(IPv4Address(port.host_ip).packed, protocol, port.host_port)
    return Element(_AT_ADDRESS, key, value)


def _elements(members: list[str]) -> str:
    return "elements = { " + ", ".join(members) + " }" if members else ""
