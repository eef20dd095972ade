"""Which ports of the host a container gets, and dockerd's words when it cannot have them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan import errors
from sampan.networks.hostports import HostPorts
from sampan.networks.ports import PortBinding, PublishedPort
from tests.networks.stage import Stage

pytestmark = pytest.mark.root


def places(ports: HostPorts, *wishes: PortBinding) -> list[str]:
    reserved = [reservation.port for wish in wishes for reservation in ports.reserve(wish)]
    return [f"{port.host_ip} {port.host_port}/{port.protocol}" for port in reserved]


@pytest.fixture
def ports(stage: Stage) -> Iterator[HostPorts]:
    ports = HostPorts()
    yield ports
    ports.close()


def test_a_wish_without_an_address_gets_both_families(ports: HostPorts) -> None:
    assert places(ports, PortBinding(80, first=8080, last=8080)) == ["0.0.0.0 8080/tcp", ":: 8080/tcp"]
    assert places(ports, PortBinding(80, "udp", "127.0.0.1", 53, 53)) == ["127.0.0.1 53/udp"]
    assert places(ports, PortBinding(80, host_ip="::1", first=81, last=81)) == ["::1 81/tcp"]


def test_ephemeral_ports_come_in_turn(ports: HostPorts) -> None:
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40002")
    wish = PortBinding(80, host_ip="0.0.0.0")
    assert places(ports, wish, wish) == ["0.0.0.0 40000/tcp", "0.0.0.0 40001/tcp"]
    ports.release(PublishedPort(80, "tcp", "0.0.0.0", 40000))
    assert places(ports, wish, wish) == ["0.0.0.0 40002/tcp", "0.0.0.0 40000/tcp"]
    with pytest.raises(errors.SampanError, match=r"^all ports are allocated$"):
        ports.reserve(wish)


def test_an_ephemeral_port_is_free_on_both_families(ports: HostPorts) -> None:
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40005")
    with socket.create_server(("::", 40000), family=socket.AF_INET6):
        assert places(ports, PortBinding(80)) == ["0.0.0.0 40001/tcp", ":: 40001/tcp"]


def test_a_range_gives_its_first_free_port(ports: HostPorts) -> None:
    wish = PortBinding(80, host_ip="0.0.0.0", first=7000, last=7002)
    with socket.create_server(("0.0.0.0", 7001)):
        assert places(ports, wish, wish) == ["0.0.0.0 7000/tcp", "0.0.0.0 7002/tcp"]
        with pytest.raises(errors.SampanError, match=r"^all ports are allocated$"):
            ports.reserve(wish)


@pytest.mark.parametrize("address", ["", "0.0.0.0", "127.0.0.1"])
def test_a_port_of_our_own_is_already_allocated(ports: HostPorts, address: str) -> None:
    ports.reserve(PortBinding(80, first=8080, last=8080))
    with pytest.raises(errors.SampanError) as caught:
        ports.reserve(PortBinding(81, host_ip=address, first=8080, last=8080))
    assert caught.value.message == f"Bind for {address or '0.0.0.0'}:8080 failed: port is already allocated"


def test_a_port_of_another_program_is_in_use(ports: HostPorts) -> None:
    with socket.create_server(("0.0.0.0", 8081)), pytest.raises(errors.SampanError) as caught:
        ports.reserve(PortBinding(80, first=8081, last=8081))
    assert caught.value.message == (
        "Error starting userland proxy: listen tcp4 0.0.0.0:8081: bind: address already in use"
    )
    with (
        socket.create_server(("::1", 8082), family=socket.AF_INET6),
        pytest.raises(errors.SampanError) as caught,
    ):
        ports.reserve(PortBinding(80, first=8082, last=8082))
    assert caught.value.message == (
        "Error starting userland proxy: listen tcp6 [::]:8082: bind: address already in use"
    )
    # The IPv4 half of the failed attempt is free again.
    socket.create_server(("0.0.0.0", 8082)).close()


def test_an_address_that_the_host_does_not_have(ports: HostPorts) -> None:
    with pytest.raises(errors.SampanError) as caught:
        ports.reserve(PortBinding(80, host_ip="203.0.113.9", first=80, last=80))
    assert caught.value.message == (
        "Error starting userland proxy: listen tcp4 203.0.113.9:80: bind: cannot assign requested address"
    )


@pytest.mark.parametrize("reuse", [0, 1])
def test_a_reserved_port_is_closed_to_other_programs(ports: HostPorts, reuse: int) -> None:
    ports.reserve(PortBinding(80, host_ip="0.0.0.0", first=8080, last=8080))
    for address in ("0.0.0.0", "127.0.0.1"):
        with socket.socket() as rival, pytest.raises(OSError, match="Address already in use"):
            rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
            rival.bind((address, 8080))
            rival.listen()


def test_a_reserved_port_accepts_nothing(ports: HostPorts) -> None:
    """Should the rules be gone, a client is refused, and does not wait for an answer that never comes."""
    ports.reserve(PortBinding(80, host_ip="0.0.0.0", first=8080, last=8080))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", 8080), 1)


def test_a_port_whose_server_just_ended_is_free(ports: HostPorts) -> None:
    """Its connections are in TIME_WAIT; dockerd's proxy can listen there, and so must we."""
    with (
        socket.create_server(("127.0.0.1", 8080)) as server,
        socket.create_connection(("127.0.0.1", 8080)) as client,
    ):
        accepted, _ = server.accept()
        accepted.close()
        assert client.recv(1) == b""
    assert places(ports, PortBinding(80, host_ip="0.0.0.0", first=8080, last=8080)) == ["0.0.0.0 8080/tcp"]
    with socket.socket() as rival, pytest.raises(OSError, match="Address already in use"):
        rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        rival.bind(("0.0.0.0", 8080))
        rival.listen()
