"""A host, its neighbours and its containers, each a network namespace of its own that goes with the test.

The test's thread is inside the namespace that stands for the host; `with neighbour:` takes it into another
one. A socket stays in the namespace in which it was made, so a test can hold both ends of a connection.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from types import TracebackType
from typing import Self

from sampan.linux.processes import CLONE_NEWNET, setns, unshare
from sampan.linux.rtnetlink import RouteSocket
from sampan.networks.bridge import BridgeConfig, BridgeNetwork
from sampan.networks.endpoint import Endpoint
from sampan.networks.ports import PortBinding
from sampan.shim.network import NetworkPlan

PATIENCE = 5.0  # for what has to come
IMPATIENCE = 0.4  # for what must not come


class Namespace:
    """A network namespace, kept by a descriptor and, for those who want a pid, by a sleeping process."""

    def __init__(self) -> None:
        outside = _current()
        try:
            unshare(CLONE_NEWNET)
            self.fd = _current()
            with RouteSocket() as route:
                route.set_up("lo")
            self._sleeper = subprocess.Popen(["sleep", "infinity"])
        finally:
            setns(outside, CLONE_NEWNET)
            os.close(outside)
        self._outside: list[int] = []

    @property
    def pid(self) -> int:
        return self._sleeper.pid

    def __enter__(self) -> Self:
        self._outside.append(_current())
        setns(self.fd, CLONE_NEWNET)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        outside = self._outside.pop()
        setns(outside, CLONE_NEWNET)
        os.close(outside)

    def close(self) -> None:
        self._sleeper.kill()
        self._sleeper.wait()
        os.close(self.fd)


class Stage:
    """Puts up neighbours, containers and servers, and takes them down."""

    def __init__(self) -> None:
        self._closers: list[Callable[[], None]] = []

    def close(self) -> None:
        for close in reversed(self._closers):
            close()

    def neighbour(self, number: int = 1) -> Namespace:
        """Another host on a link of its own: 192.0.2.2, where this one is 192.0.2.1 (and fd00:2::)."""
        neighbour = self._namespace()
        here, there = f"192.0.2.{4 * number - 3}/30", f"192.0.2.{4 * number - 2}/30"
        with RouteSocket() as route:
            route.create_veth(f"lan{number}", peer_name="lan", peer_netns_pid=neighbour.pid)
            route.add_address(f"lan{number}", here)
            route.add_address(f"lan{number}", f"fd00:{number}::1/64")
        with neighbour, RouteSocket() as route:
            route.add_address("lan", there)
            route.add_address("lan", f"fd00:{number}::2/64")
            route.set_up("lan")
        return neighbour

    def network(self, name: str = "sampan9", bip: str = "172.29.0.1/16") -> BridgeNetwork:
        network = BridgeNetwork(BridgeConfig(name, bip))
        network.setup()
        network.restore()
        self._closers.append(network.close)
        return network

    def container(self, network: BridgeNetwork, *ports: PortBinding) -> tuple[Endpoint, Namespace]:
        """A container's namespace, connected by the shim's own code."""
        endpoint = network.allocate(os.urandom(32).hex(), ports, "box")
        namespace = self.connect(network, endpoint)
        network.publish(endpoint)
        return endpoint, namespace

    def dismiss(self, namespace: Namespace) -> None:
        """End a container before the test ends."""
        self._closers.remove(namespace.close)
        namespace.close()

    def docker_container(self) -> Namespace:
        """A container of a Docker beside us: on docker0, 172.30.0.2."""
        container = self._namespace()
        with RouteSocket() as route:
            route.create_bridge("docker0")
            route.add_address("docker0", "172.30.0.1/16")
            route.set_up("docker0")
            route.create_veth("dveth", peer_name="eth0", peer_netns_pid=container.pid, master="docker0")
        with container, RouteSocket() as route:
            route.add_address("eth0", "172.30.0.2/16")
            route.set_up("eth0")
            route.add_route(None, "172.30.0.1", "eth0")
        return container

    def connect(self, network: BridgeNetwork, endpoint: Endpoint) -> Namespace:
        namespace = self._namespace()
        plan = NetworkPlan.from_document(network.plan(endpoint))
        plan.create(namespace.pid)
        with namespace:
            plan.configure()
        plan.settle()
        return namespace

    def tcp_server(self, namespace: Namespace | None, port: int, host: str = "0.0.0.0") -> None:
        """Tells each client who it is, then echoes until end of file. Without a namespace: on the host."""
        with namespace or nullcontext():
            listener = socket.create_server((host, port))
        self._serve(listener, lambda: _serve_tcp(listener))

    def udp_server(self, namespace: Namespace | None, port: int) -> None:
        """Answers each datagram with who sent it."""
        with namespace or nullcontext():
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            server.bind(("0.0.0.0", port))
        self._serve(server, lambda: _serve_udp(server))

    def _serve(self, server: socket.socket, serve: Callable[[], None]) -> None:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()

        def close() -> None:
            # It wakes a thread that waits in accept or recvfrom, where closing alone does not.
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
            server.close()

        self._closers.append(close)

    def _namespace(self) -> Namespace:
        namespace = Namespace()
        self._closers.append(namespace.close)
        return namespace


@contextmanager
def fresh_host() -> Iterator[Stage]:
    """Move this thread into an empty network namespace, and back."""
    host, stage = Namespace(), Stage()
    try:
        with host:
            try:
                yield stage
            finally:
                stage.close()
    finally:
        host.close()


def ask_tcp(host: str, port: int, within: float = PATIENCE) -> str:
    """Who the server says that we are; OSError or TimeoutError if it cannot be reached."""
    with socket.create_connection((host, port), within) as client:
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b"")).decode()
    who, _, echo = answer.partition("\n")
    assert echo == "hello"
    return who


def ask_udp(host: str, port: int, within: float = PATIENCE, client: socket.socket | None = None) -> str:
    """Who the server says that we are, asking twice, since a first datagram may get lost to ARP."""
    own = client or socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        own.settimeout(within / 2)
        own.connect((host, port))
        for attempt in range(2):
            own.send(b"hello")
            try:
                return own.recv(65536).decode()
            except TimeoutError:
                if attempt:
                    raise
        raise AssertionError
    finally:
        if client is None:
            own.close()


def unreachable(ask: Callable[[str, int, float], str], host: str, port: int) -> bool:
    try:
        ask(host, port, IMPATIENCE)
    except OSError:
        return True
    return False


def _current() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _serve_tcp(listener: socket.socket) -> None:
    while True:
        try:
            client, address = listener.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(client, address[0]), daemon=True).start()


def _echo(client: socket.socket, address: str) -> None:
    with client, suppress(OSError):
        client.settimeout(PATIENCE)
        client.sendall(f"{address}\n".encode())
        while data := client.recv(65536):
            client.sendall(data)


def _serve_udp(server: socket.socket) -> None:
    while True:
        try:
            data, address = server.recvfrom(65536)
        except OSError:
            return
        if not data:
            return
        server.sendto(address[0].encode(), address)
