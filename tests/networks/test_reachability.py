"""Who reaches a container, by which address, and what address the container sees; in true network
namespaces."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sampan.linux.rtnetlink import RouteSocket
from sampan.networks.ports import PortBinding
from tests.networks.stage import IMPATIENCE, Stage, ask_tcp, ask_udp, unreachable

pytestmark = pytest.mark.root


@pytest.fixture(params=["0", "1"], ids=["routed", "br_netfilter"])
def bridged_packets(request: pytest.FixtureRequest, stage: Stage) -> None:
    """With br_netfilter, the rules see packets between the ports of a bridge too: all has to work both
    ways."""
    switch = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if switch.exists():
        switch.write_text(request.param)
    elif request.param == "1":
        pytest.skip("this kernel has no br_netfilter")


@pytest.mark.usefixtures("bridged_packets")
def test_published_tcp_port_is_reachable_from_everywhere(stage: Stage) -> None:
    network, neighbour = stage.network(), stage.neighbour()
    _, box = stage.container(network, PortBinding(80, first=8080, last=8080))
    _, other = stage.container(network)
    stage.tcp_server(box, 80)

    assert ask_tcp("127.0.0.1", 8080) == "172.29.0.1"
    assert ask_tcp("192.0.2.1", 8080) == "192.0.2.1"
    assert ask_tcp("172.29.0.1", 8080) == "172.29.0.1"
    assert ask_tcp("172.29.0.2", 80) == "172.29.0.1"
    with neighbour:
        assert ask_tcp("192.0.2.1", 8080) == "192.0.2.2", "the client's address is kept"
    with other:
        assert ask_tcp("172.29.0.2", 80) == "172.29.0.3"
        assert ask_tcp("192.0.2.1", 8080) == "172.29.0.1", "hairpin"
        assert ask_tcp("172.29.0.1", 8080) == "172.29.0.1"
    with box:
        assert ask_tcp("192.0.2.1", 8080) == "172.29.0.1", "hairpin to itself"


@pytest.mark.usefixtures("bridged_packets")
def test_published_udp_port_is_reachable_from_everywhere(stage: Stage) -> None:
    network, neighbour = stage.network(), stage.neighbour()
    _, box = stage.container(network, PortBinding(53, "udp", first=5353, last=5353))
    _, other = stage.container(network)
    stage.udp_server(box, 53)

    assert ask_udp("127.0.0.1", 5353) == "172.29.0.1"
    assert ask_udp("192.0.2.1", 5353) == "192.0.2.1"
    with neighbour:
        assert ask_udp("192.0.2.1", 5353) == "192.0.2.2"
    with other:
        assert ask_udp("192.0.2.1", 5353) == "172.29.0.1"
    with box:
        assert ask_udp("192.0.2.1", 5353) == "172.29.0.1"


def test_ipv6_clients_reach_a_container_without_ipv6(stage: Stage) -> None:
    network, neighbour = stage.network(), stage.neighbour()
    _, box = stage.container(
        network, PortBinding(80, first=8080, last=8080), PortBinding(53, "udp", first=5353, last=5353)
    )
    stage.tcp_server(box, 80)
    stage.udp_server(box, 53)

    assert ask_tcp("::1", 8080) == "172.29.0.1"
    assert ask_udp("::1", 5353) == "172.29.0.1"
    with neighbour:
        assert ask_tcp("fd00:1::1", 8080) == "172.29.0.1"
        assert ask_udp("fd00:1::1", 5353) == "172.29.0.1"


def test_a_port_on_one_ipv6_address_is_on_no_other(stage: Stage) -> None:
    network, neighbour = stage.network(), stage.neighbour()
    _, box = stage.container(network, PortBinding(80, host_ip="::1", first=8080, last=8080))
    stage.tcp_server(box, 80)

    assert ask_tcp("::1", 8080) == "172.29.0.1"
    assert unreachable(ask_tcp, "127.0.0.1", 8080)
    with neighbour:
        assert unreachable(ask_tcp, "fd00:1::1", 8080)


def test_a_port_on_loopback_is_not_reachable_from_another_host(stage: Stage) -> None:
    network, neighbour = stage.network(), stage.neighbour()
    _, box = stage.container(
        network,
        PortBinding(80, host_ip="127.0.0.1", first=8080, last=8080),
        PortBinding(53, "udp", host_ip="127.0.0.1", first=5353, last=5353),
    )
    stage.tcp_server(box, 80)
    stage.udp_server(box, 53)

    assert ask_tcp("127.0.0.1", 8080) == "172.29.0.1"
    assert ask_udp("127.0.0.1", 5353) == "172.29.0.1"
    assert unreachable(ask_tcp, "192.0.2.1", 8080)
    with neighbour:
        assert unreachable(ask_tcp, "192.0.2.1", 8080)
        _route_loopback_to_the_host()
        assert unreachable(ask_tcp, "127.0.0.1", 8080)
        assert unreachable(ask_udp, "127.0.0.1", 5353)


@pytest.mark.usefixtures("bridged_packets")
def test_loopback_services_of_the_host_are_closed_to_containers(stage: Stage) -> None:
    """route_localnet opens the way for the host's own clients only."""
    network = stage.network()
    _, box = stage.container(network)
    stage.tcp_server(None, 6000, "127.0.0.1")
    assert ask_tcp("127.0.0.1", 6000)
    with box:
        _route_loopback_to_the_host("172.29.0.1", "eth0")
        assert unreachable(ask_tcp, "127.0.0.1", 6000)


def test_what_is_not_published_is_closed_to_other_hosts(stage: Stage) -> None:
    network, neighbour = stage.network(), stage.neighbour()
    _, box = stage.container(network, PortBinding(80, first=8080, last=8080))
    stage.tcp_server(box, 80)
    stage.tcp_server(box, 81)

    with neighbour:
        with RouteSocket() as route:
            route.add_route("172.29.0.0/16", "192.0.2.1", "lan")
        assert unreachable(ask_tcp, "192.0.2.1", 81)
        assert unreachable(ask_tcp, "172.29.0.2", 81)
        assert unreachable(ask_tcp, "172.29.0.2", 80), "nor the published one by the container's own address"
        assert ask_tcp("192.0.2.1", 8080) == "192.0.2.2"


def test_containers_reach_the_world_by_the_hosts_address(stage: Stage) -> None:
    network, neighbour = stage.network(), stage.neighbour()
    _, box = stage.container(network)
    stage.tcp_server(neighbour, 80)
    with box:
        assert ask_tcp("192.0.2.2", 80) == "192.0.2.1"


def test_two_networks_side_by_side_are_apart(stage: Stage) -> None:
    one, other = stage.network("sampan1", "172.27.0.1/16"), stage.network("sampan2", "172.28.0.1/16")
    _, box = stage.container(one, PortBinding(80, first=8081, last=8081))
    _, elsewhere = stage.container(other, PortBinding(80, first=8082, last=8082))
    stage.tcp_server(box, 80)
    stage.tcp_server(elsewhere, 80)

    assert ask_tcp("127.0.0.1", 8081) == "172.27.0.1"
    assert ask_tcp("127.0.0.1", 8082) == "172.28.0.1"
    with box:
        assert unreachable(ask_tcp, "172.28.0.2", 80)
        assert ask_tcp("172.28.0.1", 8082), "by its published port"
    other.teardown()
    assert ask_tcp("127.0.0.1", 8081) == "172.27.0.1"


def test_a_released_port_is_closed_and_free(stage: Stage) -> None:
    network = stage.network()
    endpoint, box = stage.container(network, PortBinding(80, first=8080, last=8080))
    stage.tcp_server(box, 80)
    assert ask_tcp("127.0.0.1", 8080)
    network.release(endpoint)
    network.release(endpoint)
    assert unreachable(ask_tcp, "127.0.0.1", 8080)
    assert unreachable(ask_tcp, "::1", 8080)
    socket.create_server(("0.0.0.0", 8080)).close()


def test_udp_clients_follow_the_port_to_a_new_container(stage: Stage) -> None:
    """A client that keeps its port keeps its tracked connection alive, and with it the old way."""
    network = stage.network()
    wish = PortBinding(53, "udp", first=5353, last=5353)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(IMPATIENCE)
        client.sendto(b"nobody is there yet", ("172.29.0.1", 5353))
        first, box = stage.container(network, wish)
        stage.udp_server(box, 53)
        assert ask_udp("172.29.0.1", 5353, client=client)
        blocker = network.allocate("blocker")
        network.release(first)
        second, box = stage.container(network, wish)
        stage.udp_server(box, 53)
        assert ask_udp("172.29.0.1", 5353, client=client)
        network.release(second)
        network.release(blocker)


def test_containers_have_no_ipv6_and_the_bridge_takes_no_advertisements(stage: Stage) -> None:
    network = stage.network()
    _, box = stage.container(network)
    with box, RouteSocket() as route:
        eth0 = route.link("eth0").index
        assert [found.network for found in route.addresses() if found.index == eth0] == ["172.29.0.2/16"]
    sysctls = Path("/proc/sys/net/ipv6/conf/sampan9")
    assert (sysctls / "accept_ra").read_text() == "0\n"
    assert (sysctls / "disable_ipv6").read_text() == "1\n"


def _route_loopback_to_the_host(gateway: str = "192.0.2.1", device: str = "lan") -> None:
    """Become an attacker: send packets for 127.0.0.1 out on the wire."""
    Path("/proc/sys/net/ipv4/conf/all/route_localnet").write_text("1")
    with RouteSocket() as route:
        route.delete_address("lo", "127.0.0.1/8")
        route.add_route("127.0.0.1/32", gateway, device)


def test_a_new_container_with_the_old_address_gets_the_packets_at_once(stage: Stage) -> None:
    """The namespace of the old one is still being taken down, with the same address behind the same
    bridge."""
    network = stage.network()
    for _ in range(5):
        endpoint, box = stage.container(network, PortBinding(80, first=8080, last=8080))
        assert str(endpoint.address) == "172.29.0.2"
        with box:
            listener = socket.create_server(("0.0.0.0", 80))
        with listener, socket.create_connection(("127.0.0.1", 8080), IMPATIENCE):
            pass
        stage.dismiss(box)
        network.release(endpoint)


def test_the_first_packet_of_a_container_is_not_lost(stage: Stage) -> None:
    """The kernel would repeat it after a second."""
    network = stage.network()
    with socket.create_server(("172.29.0.1", 90)):
        for _ in range(10):
            _, box = stage.container(network)
            with box, socket.create_connection(("172.29.0.1", 90), IMPATIENCE):
                pass
