"""Doing a network plan: the container's veth, addresses and routes, computed elsewhere as plain data.

Owns the plan's form and the three steps of doing it: `create` in the host's network namespace, once the
container's exists, `configure` inside, and `settle` in the host's again. Knows no network, bridge or pool
of addresses. 0.7 ms together; nothing has to be undone, since a veth ends with the namespace that holds its
peer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from sampan import errors
from sampan.linux.rtnetlink import IF_OPER_UP, RouteSocket
from sampan.records import dataclass
from sampan.shim.document import Document

_LINK_WATCH_SECONDS = 0.1
_LINK_WATCH_PAUSE = 0.0001

BRIDGE = "bridge"
LOOPBACK = "loopback"


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """`mode` "bridge": a veth whose host end is in a bridge; "loopback": only lo. Names as in `ip link`."""

    mode: str
    host_interface: str = ""
    bridge: str = ""
    container_interface: str = "eth0"
    mac: str | None = None
    mtu: int | None = None
    addresses: tuple[str, ...] = ()  # with prefix length
    gateways: tuple[str, ...] = ()  # one default route each
    hairpin: bool = False  # the bridge may send the container's own packets back to it
    isolated: bool = False  # it reaches the bridge, but no other port of it
    sysctls: Mapping[str, str] | None = None  # of the namespace, "net.ipv6.conf.eth0.disable_ipv6"

    @classmethod
    def from_document(cls, document: object) -> NetworkPlan:
        """Raises InvalidArgument."""
        taken = Document("network plan", document)
        mode = taken.required("mode", str)
        if mode == LOOPBACK:
            return cls(mode)
        if mode != BRIDGE:
            raise errors.InvalidArgument(f"network plan: unknown mode {mode}")
        return cls(
            mode,
            host_interface=taken.required("host_interface", str),
            bridge=taken.required("bridge", str),
            container_interface=taken.optional("container_interface", str) or "eth0",
            mac=taken.optional("mac", str),
            mtu=taken.optional("mtu", int),
            addresses=tuple(taken.list_of("addresses", str)),
            gateways=tuple(taken.list_of("gateways", str)),
            hairpin=taken.flag("hairpin"),
            isolated=taken.flag("isolated"),
            sysctls=taken.optional("sysctls", dict),
        )

    def create(self, pid: int | None = None, namespace: int | None = None) -> None:
        """In the host's namespace: make the veth, its peer born in the namespace of process `pid`, or in the
        one of a descriptor.
        """
        if self.mode != BRIDGE:
            return
        with RouteSocket() as route:
            route.create_veth(
                self.host_interface,
                peer_name=self.container_interface,
                peer_netns_pid=pid,
                peer_netns_fd=namespace,
                master=self.bridge,
                mtu=self.mtu,
                peer_mac=self.mac,
            )
            if self.mac is not None:
                # The address may have been another container's a moment ago, whose namespace is still being
                # taken down and would answer: frames have to come here from now on.
                route.pin_mac(self.host_interface, self.mac)
            if self.isolated:
                route.set_isolated(self.host_interface)
            if self.hairpin:
                route.set_hairpin(self.host_interface)

    def configure(self) -> None:
        """Inside the container's network namespace, with the host's procfs still in place."""
        for name, value in (self.sysctls or {}).items():
            _write_sysctl(name, value)
        with RouteSocket() as route:
            route.set_up("lo")
            if self.mode != BRIDGE:
                return
            for address in self.addresses:
                route.add_address(self.container_interface, address)
            route.set_up(self.container_interface)
            for gateway in self.gateways:
                route.add_route(None, gateway, self.container_interface)

    def settle(self) -> None:
        """In the host's namespace, once `configure` is done: see to it that the bridge forwards from the
        new port.

        It does so when the kernel's link watch has told it of the carrier, a moment later. What a container
        sends before is lost, and then it waits a whole second before it asks for the gateway's address
        again. Recent kernels catch up with the link watch as soon as someone looks, so usually there is
        nothing to wait for.
        """
        if self.mode != BRIDGE:
            return
        deadline = time.monotonic() + _LINK_WATCH_SECONDS
        try:
            with RouteSocket() as route:
                # The bridge, too, has no carrier until its first port does.
                for name in (self.host_interface, self.bridge):
                    while route.link(name).operational_state != IF_OPER_UP and time.monotonic() < deadline:
                        time.sleep(_LINK_WATCH_PAUSE)
        except OSError:
            return  # The container has ended already, and the veth with it.


def _write_sysctl(name: str, value: str) -> None:
    """Set a sysctl of the current network namespace. In interface names "." is written as "/" (sysctl(8))."""
    if not name.startswith("net.") or ".." in name or "//" in name:
        raise errors.InvalidArgument(f"network plan: sysctl {name} is not one of a network namespace")
    path = "/proc/sys/" + name.translate(str.maketrans("./", "/."))
    with open(path, "wb", buffering=0) as file:
        file.write(value.encode())
