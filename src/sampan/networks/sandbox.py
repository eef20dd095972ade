"""A container's network namespace, worked on from outside: devices in several networks, the resolver's door.

Owns what is done in such a namespace before the container starts, and while it runs. It is known by a
descriptor; it lives as long as somebody holds one, or a process or a socket is in it. Blocking: called in
threads.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, TypeVar

from sampan.linux import nftables
from sampan.linux.namespaces import in_namespace
from sampan.linux.processes import CLONE_NEWNET
from sampan.linux.rtnetlink import RouteSocket
from sampan.records import dataclass
from sampan.shim.network import NetworkPlan

_T = TypeVar("_T")

RESOLVER = "127.0.0.11"
"""Docker's address for it: a loopback address of the container's own."""

# Port 53 stays free for a name server in the container: what asks there is led to a port of our own.
_REDIRECTION = """\
table ip sampan-dns {{}}
delete table ip sampan-dns
table ip sampan-dns {{
    chain output {{
        type nat hook output priority -100; policy accept;
        ip daddr {address} udp dport 53 dnat to {address}:{udp}
        ip daddr {address} tcp dport 53 dnat to {address}:{tcp}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Door:
    """Where a container's questions come in. Closing the sockets closes it."""

    udp: socket.socket
    tcp: socket.socket

    def close(self) -> None:
        self.udp.close()
        self.tcp.close()


def create() -> int:
    """A new network namespace with its loopback up; a descriptor, the caller's to close. Raises OSError."""

    def make() -> int:
        with RouteSocket() as route:
            route.set_up("lo")
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    return in_namespace(CLONE_NEWNET, None, make)


def connect(namespace: int, document: Mapping[str, Any]) -> None:
    """Give it a device as a network's plan says. Raises OSError."""
    plan = NetworkPlan.from_document(document)
    plan.create(namespace=namespace)
    inside(namespace, plan.configure)
    plan.settle()


def disconnect(host_interface: str) -> None:
    """Take a device away, by its end on the host. What is gone already is no error."""
    try:
        with RouteSocket() as route:
            route.delete_link(host_interface)
    except OSError:
        pass


def set_gateway(namespace: int, gateway: str, device: str) -> None:
    """Make this the way out, if there is none."""

    def add() -> None:
        with RouteSocket() as route:
            try:
                route.add_route(None, gateway, device)
            except FileExistsError:
                pass

    inside(namespace, add)


def open_door(namespace: int) -> Door:
    """Sockets in the namespace, to which questions for the resolver's address come. Raises OSError."""

    def make() -> Door:
        with ExitStack() as undo:
            sockets = []
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                one = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
                undo.callback(one.close)
                one.bind((RESOLVER, 0))
                sockets.append(one)
            udp, tcp = sockets
            tcp.listen()
            ports = {"udp": udp.getsockname()[1], "tcp": tcp.getsockname()[1]}
            nftables.apply(_REDIRECTION.format(address=RESOLVER, **ports))
            undo.pop_all()
            return Door(udp, tcp)

    return inside(namespace, make)


def inside(namespace: int, function: Callable[[], _T]) -> _T:
    """Call a function in the namespace."""
    return in_namespace(CLONE_NEWNET, namespace, function)
