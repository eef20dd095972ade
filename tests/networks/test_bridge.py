"""The life of the bridge: set up, taken over, restarted beside living containers, torn down; and other
firewalls."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest

from sampan import errors
from sampan.linux import nftables
from sampan.linux.rtnetlink import Link, RouteSocket
from sampan.networks.bridge import BridgeConfig, BridgeNetwork
from sampan.networks.endpoint import Endpoint
from sampan.networks.ports import PortBinding
from tests.networks.stage import PATIENCE, Stage, ask_tcp, unreachable

pytestmark = pytest.mark.root

WEB = PortBinding(80, first=8080, last=8080)


def test_addresses_are_the_lowest_free_ones(stage: Stage) -> None:
    network = stage.network()
    first, second, third = (network.allocate(name) for name in "abc")
    assert [str(endpoint.address) for endpoint in (first, second, third)] == [
        "172.29.0.2",
        "172.29.0.3",
        "172.29.0.4",
    ]
    assert second.mac == "02:42:ac:1d:00:03"
    network.release(second)
    assert network.allocate("d").address == second.address


def test_a_port_in_use_fails_in_dockers_words_and_holds_nothing(stage: Stage) -> None:
    network = stage.network()
    network.allocate("a" * 64, [WEB], "web")
    with pytest.raises(errors.SampanError) as caught:
        network.allocate("b" * 64, [PortBinding(80, first=8081, last=8081), WEB], "web2")
    words, _, rest = caught.value.message.partition(" (")
    endpoint_id, _, reason = rest.partition("): ")
    assert words == "driver failed programming external connectivity on endpoint web2"
    assert len(endpoint_id) == 64
    assert reason == "Bind for 0.0.0.0:8080 failed: port is already allocated"
    assert str(network.allocate("c", [PortBinding(80, first=8081, last=8081)]).address) == "172.29.0.3"


def test_setup_can_run_twice_and_keeps_the_subnet(stage: Stage) -> None:
    with RouteSocket() as route:
        route.create_bridge("lan", mtu=1500)
        route.add_address("lan", "172.17.4.1/24")  # the bridge is down, and has no route yet
    subnets = []
    for _ in range(2):
        network = BridgeNetwork(BridgeConfig("sampan9"))
        network.setup()
        subnets.append(str(network.address.network))
        network.close()
    assert subnets == ["172.18.0.0/16", "172.18.0.0/16"]


def test_a_configured_address_replaces_the_old_one(stage: Stage) -> None:
    stage.network(bip="172.29.0.1/16")
    stage.network(bip="172.26.0.1/24")
    with RouteSocket() as route:
        index = route.link("sampan9").index
        assert [found.network for found in route.addresses() if found.index == index] == ["172.26.0.1/24"]


def test_a_configured_subnet_that_the_host_reaches_already_is_refused(stage: Stage) -> None:
    stage.neighbour()
    network = BridgeNetwork(BridgeConfig("sampan9", "192.0.2.129/24"))
    with pytest.raises(errors.InvalidArgument, match=r"overlaps the network 192\.0\.2\.0/30"):
        network.setup()


def test_a_device_that_is_no_bridge_is_left_alone(stage: Stage) -> None:
    stage.neighbour()
    with pytest.raises(errors.InvalidArgument, match="lan1 exists and is not a bridge"):
        BridgeNetwork(BridgeConfig("lan1")).setup()


def test_engines_that_start_together_choose_different_subnets(stage: Stage) -> None:
    """Each in a process of its own, at the same moment."""
    pids = []
    for number in range(6):
        pid = os.fork()
        if pid == 0:
            try:
                BridgeNetwork(BridgeConfig(f"sampan{number}")).setup()
            finally:
                os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    with RouteSocket() as route:
        found = {address.network for address in route.addresses() if address.address.startswith("172.")}
    assert len(found) == 6


def test_a_restart_of_the_daemon_cuts_no_connection(stage: Stage) -> None:
    network, neighbour = stage.network(), stage.neighbour()
    endpoint, box = stage.container(network, WEB)
    stage.tcp_server(box, 80)
    with neighbour:
        client = socket.create_connection(("192.0.2.1", 8080), PATIENCE)
    with client:
        assert client.recv(100) == b"192.0.2.2\n"
        network.close()
        with neighbour:
            assert ask_tcp("192.0.2.1", 8080) == "192.0.2.2", "while the daemon is down"

        again = BridgeNetwork(BridgeConfig("sampan9", "172.29.0.1/16"))
        again.setup()
        assert again.restore([Endpoint.from_document(endpoint.to_document())]) == []
        client.sendall(b"still there?")
        assert client.recv(100) == b"still there?"
    assert ask_tcp("127.0.0.1", 8080)
    assert ask_tcp("::1", 8080)
    assert again.allocate("next").address == IPv4Address("172.29.0.3")
    with pytest.raises(errors.SampanError, match="port is already allocated"):
        again.allocate("rival", [WEB])
    again.release(endpoint)
    assert unreachable(ask_tcp, "127.0.0.1", 8080)
    again.close()


def test_a_restart_forgets_what_was_published_for_the_dead(stage: Stage) -> None:
    network = stage.network()
    stage.container(network, WEB)
    network.close()
    again = stage.network()
    assert "8080" not in listed_rules()
    again.allocate("next", [WEB])


def test_a_port_that_was_taken_during_the_restart_is_told_and_published(stage: Stage) -> None:
    network = stage.network()
    endpoint, box = stage.container(network, PortBinding(80, host_ip="0.0.0.0", first=8080, last=8080))
    stage.tcp_server(box, 80)
    network.close()
    with socket.create_server(("127.0.0.1", 8080)):
        again = BridgeNetwork(BridgeConfig("sampan9", "172.29.0.1/16"))
        again.setup()
        (complaint,) = again.restore([endpoint])
        assert complaint.endswith("listen tcp4 0.0.0.0:8080: bind: address already in use")
        assert ask_tcp("127.0.0.1", 8080) == "172.29.0.1"
        again.close()


def test_teardown_leaves_nothing(stage: Stage) -> None:
    before = (listed_rules(), [link.name for link in links()])
    network = stage.network()
    stage.container(network, WEB)
    network.teardown()
    network.teardown()
    assert "sampan" not in listed_rules()
    assert [link.name for link in links() if link.kind == "bridge"] == []
    assert before[0] == "" and before[1] == ["lo"]


def test_flushed_rules_come_back(stage: Stage) -> None:
    network = stage.network()
    _, box = stage.container(network, WEB)
    stage.tcp_server(box, 80)
    nftables.apply("flush ruleset")
    eventually(lambda: "sampan-sampan9" in listed_rules())
    assert ask_tcp("127.0.0.1", 8080)


def test_publishing_without_a_table_makes_one(stage: Stage) -> None:
    network = stage.network()
    network.close()  # and with it the guard
    nftables.apply("flush ruleset")
    _, box = stage.container(network, WEB)
    stage.tcp_server(box, 80)
    assert ask_tcp("127.0.0.1", 8080)


@pytest.mark.skipif(shutil.which("iptables") is None, reason="needs iptables")
class TestBesideDocker:
    """dockerd's FORWARD chain drops what it does not know, and jumps to DOCKER-USER first."""

    DOCKER = (
        "iptables -N DOCKER-USER; iptables -A DOCKER-USER -j RETURN; iptables -N DOCKER;"
        "iptables -A FORWARD -j DOCKER-USER; iptables -A FORWARD -o docker0 -j DOCKER;"
        "iptables -P FORWARD DROP"
    )

    def test_containers_keep_their_network(self, stage: Stage) -> None:
        shell(self.DOCKER)
        self.check(stage, stage.network())
        assert "sampan9" not in shell("iptables -S FORWARD")

    def test_when_docker_starts_later(self, stage: Stage) -> None:
        network = stage.network()
        shell(self.DOCKER)
        eventually(lambda: "sampan9" in shell("iptables -S DOCKER-USER"))
        self.check(stage, network)

    def test_when_the_rules_are_flushed(self, stage: Stage) -> None:
        shell(self.DOCKER)
        stage.network()
        shell("iptables -F DOCKER-USER")
        eventually(lambda: "sampan9" in shell("iptables -S DOCKER-USER"))

    def test_a_dropping_policy_without_docker(self, stage: Stage) -> None:
        shell("iptables -P FORWARD DROP")
        network = stage.network()
        self.check(stage, network)
        network.teardown()
        assert shell("iptables -S FORWARD") == "-P FORWARD DROP\n"

    def test_dockers_containers_stay_closed_to_ours(self, stage: Stage) -> None:
        shell(self.DOCKER)
        docker = stage.docker_container()
        network = stage.network()
        _, box = stage.container(network)
        stage.tcp_server(docker, 80)
        assert ask_tcp("172.30.0.2", 80)
        with box:
            assert unreachable(ask_tcp, "172.30.0.2", 80)

    def test_teardown_takes_our_rules_out(self, stage: Stage) -> None:
        shell(self.DOCKER)
        before = shell("iptables -S")
        network = stage.network()
        assert shell("iptables -S") != before
        network.restore()
        assert shell("iptables -S").count("-i sampan9") == 3, "twice the same is once"
        network.teardown()
        assert shell("iptables -S") == before

    @staticmethod
    def check(stage: Stage, network: BridgeNetwork) -> None:
        neighbour = stage.neighbour()
        _, box = stage.container(network, WEB)
        stage.tcp_server(box, 80)
        stage.tcp_server(neighbour, 81)
        with neighbour:
            assert ask_tcp("192.0.2.1", 8080) == "192.0.2.2"
        with box:
            assert ask_tcp("192.0.2.2", 81) == "192.0.2.1"


def links() -> list[Link]:
    with RouteSocket() as route:
        return route.links()


def listed_rules() -> str:
    return shell("nft list ruleset")


def shell(command: str) -> str:
    return subprocess.run(["sh", "-ec", command], capture_output=True, text=True, check=True).stdout


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
