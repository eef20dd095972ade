"""The bridge device itself: created or taken over, addressed, and made safe against what containers may send.

Owns the device, its address and its sysctls, and the host's ip_forward. Knows no endpoint and no rule.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections.abc import Iterator
from ipaddress import IPv4Interface
from typing import Final

from sampan import errors
from sampan.linux.rtnetlink import Link, RouteSocket
from sampan.networks import subnets

_SYS: Final = "/proc/sys/net"
_IP_FORWARD: Final = f"{_SYS}/ipv4/ip_forward"
_CALL_IPTABLES: Final = f"{_SYS}/bridge/bridge-nf-call-iptables"

_LONGEST_TURN: Final = 5.0


def ensure_bridge(name: str, bip: str, mtu: int, nameservers: list[str]) -> IPv4Interface:
    """Create the bridge, or take over the one there is, and bring it up; its address. Can run twice.

    Without `bip` an existing bridge keeps its address, and a new one gets a free subnet. With `bip` it gets
    that address and loses any other. Raises OSError, or InvalidArgument if the configuration cannot be.
    """
    wanted = subnets.parse_bip(bip) if bip else None
    with RouteSocket() as route:
        link = _ensure_link(route, name, mtu)
        _set_sysctls(name)
        current = [
            IPv4Interface(address.network)
            for address in route.addresses()
            if address.index == link.index and ":" not in address.address
        ]
        if wanted is not None:
            _replace_addresses(route, link, current, wanted)
            address = wanted
        elif current:
            address = current[0]
        else:
            address = _choose_address(route, link, nameservers)
        route.set_up(name)
    enable_forwarding()
    return address


def delete_bridge(name: str) -> None:
    """Delete the bridge, if it is there."""
    with RouteSocket() as route:
        try:
            route.delete_link(name)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise


def enable_forwarding() -> None:
    """Let the host forward IPv4 packets. No policy is set against forwarding for others, as Docker does: a
    drop in our chain would be final for its containers too, and for virtual machines."""
    if _read(_IP_FORWARD) != "1":
        _write(_IP_FORWARD, "1")


def bridged_packets_are_routed() -> bool:
    """Whether br_netfilter shows packets between ports of a bridge to the rules for routed ones.

    Then a container's packet to its own published port is translated while still inside the bridge, and has
    to leave by the port that it came from, which a bridge forbids unless the port is in hairpin mode.
    """
    return _read(_CALL_IPTABLES) == "1"


def _ensure_link(route: RouteSocket, name: str, mtu: int) -> Link:
    try:
        # A fixed address: else the bridge takes its ports' lowest one, and containers lose sight of it as
        # ports go.
        route.create_bridge(name, mac=bytes((0x02, 0x42, *os.urandom(4))).hex(":"), mtu=mtu)
    except FileExistsError:
        pass
    link = route.link(name)
    if link.kind != "bridge":
        raise errors.InvalidArgument(f"the network device {name} exists and is not a bridge")
    return link


def _replace_addresses(
    route: RouteSocket, link: Link, current: list[IPv4Interface], wanted: IPv4Interface
) -> None:
    overlap = subnets.first_overlap(wanted.network, subnets.taken_networks(route, besides=link.index))
    if overlap is not None:
        raise errors.InvalidArgument(
            f"{wanted.network} overlaps the network {overlap}, which this host reaches already"
        )
    for address in current:
        if address != wanted:
            route.delete_address(link.name, str(address))
    if wanted not in current:
        route.add_address(link.name, str(wanted))


def _choose_address(route: RouteSocket, link: Link, nameservers: list[str]) -> IPv4Interface:
    """Give the bridge a free subnet."""
    with _alone():
        address = subnets.choose_subnet(subnets.taken_networks(route, besides=link.index), nameservers)
        route.add_address(link.name, str(address))
    return address


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One engine at a time: those that start at the same moment would all see the same subnet as free.

    An abstract socket's name is unique in a network namespace, just as subnets have to be, and ends with its
    owner. A container in the host's network could sit on the name, so nobody waits for ever.
    """
    deadline = time.monotonic() + _LONGEST_TURN
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as token:
        while time.monotonic() < deadline:
            try:
                token.bind("\0sampan-chooses-a-subnet")
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                time.sleep(0.005)
        yield


def _set_sysctls(name: str) -> None:
    # 127.0.0.1 can be translated to a container's address and leave by the bridge; see `rules` for the
    # other side.
    _write(f"{_SYS}/ipv4/conf/{name}/route_localnet", "1")
    if os.path.isdir(f"{_SYS}/ipv6/conf/{name}"):
        # A container can send router advertisements: the host must not believe them (CVE-2020-13401). Nor
        # has the host a reason to speak IPv6 on a bridge of IPv4 (CVE-2024-32473).
        _write(f"{_SYS}/ipv6/conf/{name}/accept_ra", "0")
        _write(f"{_SYS}/ipv6/conf/{name}/disable_ipv6", "1")


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""


def _write(path: str, value: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(value)
