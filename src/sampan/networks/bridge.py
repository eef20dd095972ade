"""A bridge network: endpoints in, a working network out.

Owns the bridge device, its subnet and its nft table. All state is in memory and in the kernel; the caller
stores the endpoints and hands them back after a restart. Knows no container but by its id. Methods may be
called from any thread.

The life of an endpoint:

    setup() → restore(endpoints)        once, at the start of the engine allocate() → publish() → release()
    for each start of a container; release can run twice, and after a crash

Between `publish` and `release` the shim does what `plan` says: it makes the veth, whose end in the
container ends with the container. An allocation costs 0.1 ms, a publication 0.1 ms, however many there are.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import socket
import threading
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from sampan import errors
from sampan.linux import conntrack, nftables
from sampan.linux.conntrack import Connection
from sampan.linux.nfnetlink import NftablesSocket
from sampan.linux.rtnetlink import RouteSocket
from sampan.networks import devices, files, forwarding, rules
from sampan.networks.addresses import AddressPool, mac_of
from sampan.networks.endpoint import Endpoint
from sampan.networks.outlets import Outlets
from sampan.networks.ports import PortBinding, PublishedPort
from sampan.records import dataclass, replace

_log = logging.getLogger(__name__)

# It becomes a file name in /proc/sys, a word for iptables and a part of the nft table's name (IFNAMSIZ is
# 16).
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}\Z")


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """`bip` is the bridge's address with its prefix length, "172.30.0.1/16"; empty: a free subnet is
    chosen."""

    name: str = "sampan0"
    bip: str = ""
    mtu: int = 1500
    id: str = ""
    """Of the network; the default bridge has one of its own."""
    title: str = "bridge"
    """What the network is called."""
    ip_range: IPv4Network | None = None
    reserved: tuple[IPv4Address, ...] = ()
    policy: rules.Policy = rules.Policy()
    host_binding: str = ""
    """Where ports are published whose binding names no address; empty: everywhere."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a container asks for on a network, beyond a place. `names` are what others call it there."""

    address: IPv4Address | None = None
    mac: str = ""
    interface: str = "eth0"
    names: tuple[str, ...] = ()


_NO_WISH = Wish()


class BridgeNetwork:
    """A network. Those of one engine share their outlets; two engines do not know of each other."""

    def __init__(self, config: BridgeConfig, outlets: Outlets | None = None) -> None:
        if not _NAME.match(config.name):
            raise errors.InvalidArgument(f"invalid bridge name: {config.name!r}")
        self.config = config
        self.id = config.id or hashlib.sha256(f"bridge {config.name}".encode()).hexdigest()
        self._outlets = outlets or Outlets()
        self._lock = self._outlets.lock
        self._rules_lock = threading.RLock()  # over the table, so that a rewrite misses no publication
        self._address: IPv4Interface | None = None
        self._pool: AddressPool | None = None
        self._ports = self._outlets.ports
        self._relay = self._outlets.relay
        self._nft: NftablesSocket | None = None
        self._endpoints: dict[str, Endpoint] = {}  # allocated
        self._published: dict[str, Endpoint] = {}  # and reachable

    @property
    def address(self) -> IPv4Interface:
        """The bridge's. Raises Unavailable before `setup`."""
        return self._ready()[0]

    @property
    def endpoints(self) -> list[Endpoint]:
        """Those that are in use."""
        with self._lock:
            return list(self._endpoints.values())

    # The network

    def setup(self) -> None:
        """Create the bridge or take it over. To be followed by `restore`, with what is left from before or
        nothing."""
        nameservers = files.nameservers(files.read_host_resolv_conf())
        try:
            address = devices.ensure_bridge(self.config.name, self.config.bip, self.config.mtu, nameservers)
        except OSError as error:
            raise errors.SampanError(f"cannot set up bridge {self.config.name}: {error}") from error
        self._address = address
        self._pool = AddressPool(
            address,
            f"{self.config.title} ({self.id})",
            ip_range=self.config.ip_range,
            reserved=self.config.reserved,
        )

    def restore(self, endpoints: Iterable[Endpoint] = ()) -> list[str]:
        """Take back the endpoints of running containers, and (re)write the rules in one transaction, so
        that their connections go on. What could not be as it was before, as sentences for the log."""
        complaints: list[str] = []
        for endpoint in endpoints:
            with self._lock:
                complaints += self._take_back(endpoint)
            self._serve_ipv6(endpoint)
        self._write_rules()
        complaints += self._open_ways()
        self._outlets.join(self)
        return complaints

    def reassert(self) -> None:
        """Put back what other programs took away: the table, the acceptance by other firewalls,
        forwarding."""
        with self._rules_lock:
            if not self._open_nft().table_exists(rules.FAMILY, rules.table_name(self.config.name)):
                _log.warning("the rules of %s are gone, writing them again", self.config.name)
                self._write_rules()
        for complaint in self._open_ways():
            _log.warning("%s", complaint)

    def close(self) -> None:
        """Let go of sockets and threads. Containers stay connected and published (on IPv4), as the kernel
        does it."""
        self._outlets.leave(self)
        with self._rules_lock:
            if self._nft is not None:
                self._nft.close()
                self._nft = None

    def teardown(self) -> None:
        """Remove everything from the kernel: rules, bridge. Can run twice."""
        self.close()
        nftables.apply(rules.without_table(self.config.name))
        forwarding.withdraw(self.config.name)
        devices.delete_bridge(self.config.name)

    # Endpoints

    def allocate(
        self,
        container_id: str,
        ports: Sequence[PortBinding] = (),
        name: str = "",
        *,
        wish: Wish = _NO_WISH,
    ) -> Endpoint:
        """An address, and the ports of the host. `name` is the container's, for Docker's words when a port
        is in use.

        Reserves, but changes nothing in the kernel that anyone could notice, except that the ports are taken.
        """
        endpoint_id = os.urandom(32).hex()
        with self._lock:
            bridge, pool = self._ready()
            address = self._choose(bridge, pool, wish.address)
            try:
                published = self._reserve(ports)
            except errors.SampanError as error:
                pool.release(address)
                words = (
                    f"driver failed programming external connectivity on endpoint {name or container_id[:12]}"
                )
                raise type(error)(f"{words} ({endpoint_id}): {error.message}") from error
            endpoint = Endpoint(
                id=endpoint_id,
                container_id=container_id,
                host_interface=f"veth{endpoint_id[:7]}",
                address=address,
                prefix_length=bridge.network.prefixlen,
                gateway=bridge.ip,
                mac=wish.mac or mac_of(address),
                ports=published,
                network=self.id,
                interface=wish.interface,
                names=wish.names,
            )
            self._endpoints[endpoint.id] = endpoint
        return endpoint

    def publish(self, endpoint: Endpoint) -> None:
        """Make the endpoint's ports reachable."""
        if not endpoint.ports:
            return
        with self._rules_lock:
            self._published[endpoint.id] = endpoint
            try:
                table = rules.table_name(self.config.name)
                self._open_nft().add_elements(rules.FAMILY, table, rules.elements(endpoint))
            except FileNotFoundError:
                # Someone flushed all rules. The whole table comes back, this endpoint with it.
                self._write_rules()
            except OSError as error:
                del self._published[endpoint.id]
                short_id = endpoint.container_id[:12]
                raise errors.SampanError(f"cannot publish the ports of {short_id}: {error}") from error
        self._serve_ipv6(endpoint)
        _forget_datagrams(endpoint)

    def release(self, endpoint: Endpoint) -> None:
        """Give back everything that the endpoint holds. Can run twice, and without the endpoint being
        published."""
        with self._rules_lock:
            if self._published.pop(endpoint.id, None) is not None:
                self._withdraw(endpoint)
        with self._lock:
            if self._endpoints.pop(endpoint.id, None) is None:
                return
            reservations = [self._ports.reservation(port) for port in endpoint.ports]
        for reservation in reservations:
            if reservation is not None:
                self._relay.stop(reservation.socket)
        _forget_datagrams(endpoint)
        with self._lock:
            for port in endpoint.ports:
                self._ports.release(port)
            if self._pool is not None:
                self._pool.release(endpoint.address)

    def plan(self, endpoint: Endpoint) -> dict[str, Any]:
        """What the shim does to connect the container, as data."""
        plan: dict[str, Any] = {
            "mode": "bridge",
            "host_interface": endpoint.host_interface,
            "bridge": self.config.name,
            "container_interface": endpoint.interface,
            "mac": endpoint.mac,
            "mtu": self.config.mtu,
            "addresses": [f"{endpoint.address}/{endpoint.prefix_length}"],
            "gateways": [] if self.config.policy.internal else [str(endpoint.gateway)],
            "isolated": not self.config.policy.icc,
            "hairpin": devices.bridged_packets_are_routed(),
        }
        if os.path.isdir("/proc/sys/net/ipv6"):
            # A network without IPv6 must not have it by link-local addresses either (CVE-2024-32473).
            plan["sysctls"] = {f"net.ipv6.conf.{endpoint.interface}.disable_ipv6": "1"}
        return plan

    # Within

    def _ready(self) -> tuple[IPv4Interface, AddressPool]:
        if self._address is None or self._pool is None:
            raise errors.Unavailable(f"the bridge {self.config.name} is not set up")
        return self._address, self._pool

    def _choose(self, bridge: IPv4Interface, pool: AddressPool, wanted: IPv4Address | None) -> IPv4Address:
        if wanted is None:
            return pool.allocate()
        if wanted not in bridge.network:
            raise errors.InvalidArgument(
                f"invalid address {wanted}: It does not belong to any of this network's subnets"
            )
        if not pool.claim(wanted):
            raise errors.PermissionDenied("Address already in use")
        return wanted

    def _reserve(self, wishes: Sequence[PortBinding]) -> tuple[PublishedPort, ...]:
        """All of the ports, or none."""
        reserved: list[PublishedPort] = []
        try:
            for wish in wishes:
                if self.config.host_binding and not wish.host_ip:
                    wish = replace(wish, host_ip=self.config.host_binding)
                reserved += [reservation.port for reservation in self._ports.reserve(wish)]
        except errors.SampanError:
            for port in reserved:
                self._ports.release(port)
            raise
        return tuple(reserved)

    def _take_back(self, endpoint: Endpoint) -> list[str]:
        """What was allocated and published before the restart; it is published again whatever is in the
        way, since the container runs with it."""
        _bridge, pool = self._ready()
        if endpoint.id in self._endpoints:
            return []
        self._endpoints[endpoint.id] = self._published[endpoint.id] = endpoint
        complaints = []
        container = f"container {endpoint.container_id[:12]}"
        if not pool.claim(endpoint.address):
            complaints.append(f"{container}: {endpoint.address} is not a free address of {self.config.name}")
        for port in endpoint.ports:
            try:
                self._ports.reserve_again(port)
            except errors.SampanError as error:
                complaints.append(f"{container}: {error.message}")
        return complaints

    def _write_rules(self) -> None:
        bridge, _pool = self._ready()
        with self._rules_lock:
            published = list(self._published.values())
            nftables.apply(rules.table(self.config.name, bridge.network, published, self.config.policy))

    def _open_ways(self) -> list[str]:
        """Forwarding, and acceptance by other firewalls. Not worth failing for: local containers work
        without."""
        try:
            devices.enable_forwarding()
            forwarding.accept(self.config.name)
        except OSError as error:
            return [f"packets of {self.config.name} may be dropped by another firewall: {error}"]
        return []

    def _withdraw(self, endpoint: Endpoint) -> None:
        table = rules.table_name(self.config.name)
        elements = rules.elements(endpoint)
        try:
            self._open_nft().delete_elements(rules.FAMILY, table, elements)
        except OSError:
            # All or none were deleted: one was gone already, or the whole table. Without this endpoint it
            # is right.
            self._write_rules()

    def _open_nft(self) -> NftablesSocket:
        """The one socket, used under the rules lock. It stays open: closing one by which something was
        deleted waits for RCU, 10 to 90 ms (nft_rcv_nl_event() in the kernel)."""
        if self._nft is None:
            self._nft = NftablesSocket()
        return self._nft

    def _serve_ipv6(self, endpoint: Endpoint) -> None:
        for port in endpoint.ports:
            reservation = self._ports.reservation(port) if port.is_ipv6 else None
            if reservation is not None:
                self._relay.serve(reservation.socket, (str(endpoint.address), port.container_port))


def _forget_datagrams(endpoint: Endpoint) -> None:
    """End the UDP "connections" that go by an endpoint's ports, or would go past them to the host itself."""
    ports = {port.host_port for port in endpoint.ports if port.protocol == "udp" and not port.is_ipv6}
    if not ports:
        return
    with RouteSocket() as route:
        own = {address.address for address in route.addresses()}
    container = str(endpoint.address)

    def unwanted(connection: Connection) -> bool:
        if connection.protocol != socket.IPPROTO_UDP:
            return False
        past = connection.answerer == connection.destination and connection.destination in own
        return connection.answerer == container or (past and connection.destination_port in ports)

    conntrack.forget(unwanted)
