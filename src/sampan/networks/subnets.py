"""Choosing the default bridge's subnet, so that it hides no network that the host can reach.

Owns Docker's default pools and the test for overlaps. Reads the kernel's routes and addresses, changes
nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Interface, IPv4Network

from sampan import errors
from sampan.linux.rtnetlink import RouteSocket

# Docker's default-address-pools (libnetwork/ipamutils): sixteen bits for containers, then twelve.
_POOLS = (
    *(IPv4Network(f"172.{second}.0.0/16") for second in range(17, 32)),
    *IPv4Network("192.168.0.0/16").subnets(new_prefix=20),
)


def taken_networks(route: RouteSocket, *, besides: int = 0) -> list[IPv4Network]:
    """What the host reaches by routes and addresses, the default route and the device `besides` (an index)
    left out.

    Addresses count too: a device that is down has no routes until it comes up.
    """
    routes = (found.destination for found in route.routes() if found.index != besides)
    addresses = (found.network for found in route.addresses() if found.index != besides)
    networks = (_network(text) for text in (*routes, *addresses) if text is not None)
    return [network for network in networks if network is not None and network.prefixlen > 0]


def choose_subnet(taken: Iterable[IPv4Network], nameservers: Iterable[str] = ()) -> IPv4Interface:
    """The gateway's address in the first pool that overlaps nothing taken and hides no nameserver."""
    obstacles = [*taken, *_hosts(nameservers)]
    for pool in _POOLS:
        if first_overlap(pool, obstacles) is None:
            return IPv4Interface(f"{pool[1]}/{pool.prefixlen}")
    raise errors.SampanError(
        "could not find an available, non-overlapping IPv4 address pool "
        "among the defaults to assign to the network"
    )


def parse_bip(bip: str) -> IPv4Interface:
    """The address of the bridge as configured, "172.30.0.1/16"."""
    try:
        interface = IPv4Interface(bip)
    except ValueError:
        raise errors.InvalidArgument(f"invalid CIDR address: {bip}") from None
    network = interface.network
    if "/" not in bip or network.prefixlen > 30:
        raise errors.InvalidArgument(
            f"invalid bip {bip}: an address with a prefix length of at most 30 is needed"
        )
    if interface.ip in (network.network_address, network.broadcast_address):
        raise errors.InvalidArgument(
            f"invalid bip {bip}: the bridge needs the address of a host in {network}"
        )
    return interface


def first_overlap(network: IPv4Network, taken: Iterable[IPv4Network]) -> IPv4Network | None:
    return next((other for other in taken if network.overlaps(other)), None)


def _network(text: str) -> IPv4Network | None:
    return None if ":" in text else IPv4Network(text, strict=False)


def _hosts(nameservers: Iterable[str]) -> Iterator[IPv4Network]:
    for text in nameservers:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue  # "fe80::1%eth0" and what else a resolv.conf may say.
        if isinstance(address, ipaddress.IPv4Address):
            yield IPv4Network(address)
