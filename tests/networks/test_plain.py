"""The parts of networks that touch no kernel: subnets, addresses, port wishes, rule text, the container's
files."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan import errors
from sampan.networks import files, ports, rules, subnets
from sampan.networks.addresses import AddressPool, mac_of
from sampan.networks.endpoint import Endpoint
from sampan.networks.files import Resolution
from sampan.networks.ports import PortBinding, PublishedPort


class TestSubnets:
    def test_the_first_pool_that_is_free(self) -> None:
        assert subnets.choose_subnet([]) == IPv4Interface("172.17.0.1/16")
        taken = [IPv4Network("172.17.3.0/24"), IPv4Network("172.18.0.0/15")]
        assert subnets.choose_subnet(taken) == IPv4Interface("172.20.0.1/16")
        assert subnets.choose_subnet([IPv4Network("172.16.0.0/12")]) == IPv4Interface("192.168.0.1/20")

    def test_a_nameserver_is_not_hidden(self) -> None:
        servers = ["172.17.0.53", "fe80::1%eth0", "::1"]
        assert subnets.choose_subnet([], servers) == IPv4Interface("172.18.0.1/16")

    def test_nothing_left(self) -> None:
        with pytest.raises(errors.SampanError, match="non-overlapping IPv4 address pool"):
            subnets.choose_subnet([IPv4Network("0.0.0.0/1"), IPv4Network("128.0.0.0/1")])

    @pytest.mark.parametrize(
        "bip", ["", "10.0.0.1", "10.0.0.0/24", "10.0.0.255/24", "10.0.0.1/31", "fd00::1/64"]
    )
    def test_wrong_bips(self, bip: str) -> None:
        with pytest.raises(errors.InvalidArgument):
            subnets.parse_bip(bip)


class TestAddresses:
    @given(st.lists(st.integers(0, 12)))
    def test_always_the_lowest_free_one(self, releases: list[int]) -> None:
        pool = AddressPool(IPv4Interface("10.0.0.3/28"), "bridge")
        free = {IPv4Address(f"10.0.0.{last}") for last in range(1, 15) if last != 3}
        for _ in range(13):
            assert pool.allocate() == min(free)
            free.remove(min(free))
        with pytest.raises(errors.SampanError, match="no available IPv4 addresses on this network's"):
            pool.allocate()
        for index in releases:
            address = IPv4Address("10.0.0.1") + index
            pool.release(address)
            if address != IPv4Address("10.0.0.3"):
                free.add(address)
        for _ in range(len(free)):
            assert pool.allocate() == min(free)
            free.remove(min(free))

    def test_claims(self) -> None:
        pool = AddressPool(IPv4Interface("10.0.0.1/29"), "bridge")
        assert pool.claim(IPv4Address("10.0.0.2"))
        assert not pool.claim(IPv4Address("10.0.0.2"))
        assert not pool.claim(IPv4Address("10.0.0.1"))
        assert not pool.claim(IPv4Address("10.0.0.7"))
        assert not pool.claim(IPv4Address("10.1.0.2"))
        assert pool.allocate() == IPv4Address("10.0.0.3")

    def test_mac(self) -> None:
        assert mac_of(IPv4Address("172.17.0.2")) == "02:42:ac:11:00:02"


class TestPorts:
    def test_wishes_in_dockers_order(self) -> None:
        wishes = ports.parse_bindings(
            ["81/tcp", "80/tcp", "80/udp", "99"],
            {
                "80/tcp": [],
                "9/sctp": [{"HostIp": "", "HostPort": "0"}],
                "82/tcp": [
                    {"HostIp": "127.0.0.1", "HostPort": "7000-7002"},
                    {"HostIp": "::0", "HostPort": "9"},
                ],
                "83/udp": None,
            },
            publish_all=True,
        )
        assert wishes == [
            PortBinding(82, "tcp", "127.0.0.1", 7000, 7002),
            PortBinding(82, "tcp", "::", 9, 9),
            PortBinding(9, "sctp"),
            PortBinding(80, "udp"),
            PortBinding(80, "tcp"),
            PortBinding(81, "tcp"),
            PortBinding(83, "udp"),
            PortBinding(99, "tcp"),
        ]

    def test_exposed_alone_publishes_nothing(self) -> None:
        assert ports.parse_bindings(["80/tcp"], {}, publish_all=False) == []

    @pytest.mark.parametrize(
        ("key", "host_ip", "host_port", "message"),
        [
            ("abc/tcp", "", "9", 'invalid port specification: "abc"'),
            ("0/tcp", "", "9", 'invalid port specification: "0"'),
            ("70000", "", "9", 'invalid port specification: "70000"'),
            ("80/foo", "", "9", "invalid proto: foo"),
            ("80/tcp", "", "99999", 'invalid port specification: "99999"'),
            ("80/tcp", "", "9-7", 'invalid port specification: "9-7"'),
            ("80/tcp", "", "٣", 'invalid port specification: "٣"'),
            ("80/tcp", "foo", "9", "invalid IP address: foo"),
        ],
    )
    def test_wrong_wishes(self, key: str, host_ip: str, host_port: str, message: str) -> None:
        with pytest.raises(errors.InvalidArgument) as caught:
            ports.parse_bindings([], {key: [{"HostIp": host_ip, "HostPort": host_port}]}, publish_all=False)
        assert caught.value.message == message

    @given(st.text(), st.text(), st.text())
    def test_any_text_is_a_wish_or_refused(self, key: str, host_ip: str, host_port: str) -> None:
        try:
            ports.parse_bindings([], {key: [{"HostIp": host_ip, "HostPort": host_port}]}, publish_all=False)
        except errors.InvalidArgument:
            pass

    def test_the_document(self) -> None:
        published = [PublishedPort(80, "tcp", "0.0.0.0", 8080), PublishedPort(80, "tcp", "::", 8080)]
        assert ports.port_map(published, ["80/tcp", "53/udp"]) == {
            "53/udp": None,
            "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
        }


def test_an_endpoint_survives_its_document() -> None:
    endpoint = _endpoint(PublishedPort(80, "tcp", "0.0.0.0", 8080), PublishedPort(80, "tcp", "::", 8080))
    assert Endpoint.from_document(endpoint.to_document()) == endpoint


def test_ports_in_the_rules_and_as_elements_are_the_same_ones() -> None:
    endpoint = _endpoint(
        PublishedPort(80, "tcp", "0.0.0.0", 8080),
        PublishedPort(80, "tcp", "::", 8080),
        PublishedPort(53, "udp", "127.0.0.1", 5353),
    )
    text = rules.table("br", IPv4Network("10.0.0.0/16"), [endpoint])
    assert "elements = { tcp . 8080 : 10.0.0.2 . 80 }" in text
    assert "elements = { 127.0.0.1 . udp . 5353 : 10.0.0.2 . 53 }" in text
    anywhere, at_address = rules.elements(endpoint)
    assert anywhere.key.hex() == "060000001f900000"
    assert anywhere.value.hex() == "0a00000200500000"
    assert at_address.key.hex() == "7f0000011100000014e90000"


class TestHosts:
    def test_own_line(self) -> None:
        assert files.hosts("web", addresses=["172.17.0.2"]).endswith("\n172.17.0.2\tweb\n")
        assert files.hosts("web", "example.org", ["10.0.0.2"]).endswith("\n10.0.0.2\tweb.example.org web\n")
        assert files.hosts("web.example.org", addresses=["10.0.0.2"]).endswith(
            "\n10.0.0.2\tweb.example.org web\n"
        )
        assert files.hosts("web").endswith("ff02::2\tip6-allrouters\n")

    def test_extra_lines_come_before_it(self) -> None:
        text = files.hosts(
            "web", "", ["10.0.0.2"], ["db:10.1.2.3", "six:fd00::1", "gw:host-gateway"], "10.0.0.1"
        )
        assert text.splitlines()[-4:] == ["10.1.2.3\tdb", "fd00::1\tsix", "10.0.0.1\tgw", "10.0.0.2\tweb"]

    @pytest.mark.parametrize(
        "text", ["", "db", ":10.0.0.1", "db:", "db:300.1.1.1", "db:[fd00::1", "gw:host-gateway"]
    )
    def test_wrong_extra_hosts(self, text: str) -> None:
        with pytest.raises(errors.SampanError):
            files.parse_extra_host(text, "")

    def test_other_spellings(self) -> None:
        assert files.parse_extra_host("db=fd00::1", "") == ("db", "fd00::1")
        assert files.parse_extra_host("db:[fd00::1]", "") == ("db", "fd00::1")


class TestResolvConf:
    def test_the_hosts_own_without_what_cannot_be_reached(self) -> None:
        out_of_reach = "nameserver 127.0.0.53\nnameserver ::1\nnameserver fd00::53\n"
        host = f"# by hand\n{out_of_reach}nameserver 9.9.9.9\nsearch a b\n"
        assert files.resolv_conf(host) == "# by hand\nnameserver 9.9.9.9\nsearch a b\n"

    @pytest.mark.parametrize(
        "host", ["", "nameserver 127.0.0.1", "nameserver fe80::1%eth0\n", "nameserver\n"]
    )
    def test_public_servers_where_none_is_left(self, host: str) -> None:
        assert files.resolv_conf(host).endswith("nameserver 8.8.8.8\nnameserver 8.8.4.4\n")

    def test_a_wish_replaces_its_own_kind(self) -> None:
        host = "nameserver 9.9.9.9\nsearch a b\noptions rotate\n"
        wanted = Resolution(("1.1.1.1", "127.0.0.1"), ("c",), ("ndots:3", "timeout:1"))
        assert files.resolv_conf(host, wanted) == (
            "search c\nnameserver 1.1.1.1\nnameserver 127.0.0.1\noptions ndots:3 timeout:1\n"
        )
        assert files.resolv_conf(host, Resolution(search=(".",))) == "nameserver 9.9.9.9\noptions rotate\n"
        assert files.resolv_conf(host, Resolution(options=("debug",))) == (
            "search a b\nnameserver 9.9.9.9\noptions debug\n"
        )

    def test_behind_a_stub_the_real_servers(self, tmp_path: Path) -> None:
        stub, upstream = tmp_path / "stub", tmp_path / "upstream"
        stub.write_text("nameserver 127.0.0.53\n")
        assert files.read_host_resolv_conf(str(stub), str(upstream)) == "nameserver 127.0.0.53\n"
        upstream.write_text("nameserver 10.0.0.53\n")
        assert files.read_host_resolv_conf(str(stub), str(upstream)) == "nameserver 10.0.0.53\n"
        assert files.read_host_resolv_conf(str(tmp_path / "none"), str(upstream)) == ""

    @given(st.text())
    def test_any_text_gives_a_server(self, host: str) -> None:
        assert files.reachable_nameservers(files.nameservers(files.resolv_conf(host)))


def _endpoint(*published: PublishedPort) -> Endpoint:
    return Endpoint(
        id="e" * 64,
        container_id="c" * 64,
        host_interface="vethe",
        address=IPv4Address("10.0.0.2"),
        prefix_length=16,
        gateway=IPv4Address("10.0.0.1"),
        mac="02:42:0a:00:00:02",
        ports=published,
    )


def test_the_hosts_servers_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_SECONDS_BETWEEN_LOOKS", 0)
    path, upstream = tmp_path / "resolv.conf", tmp_path / "upstream"
    servers = files.HostServers(str(path), str(upstream))
    assert servers() == ()
    path.write_text("nameserver 10.0.0.1\nnameserver 10.0.0.2\n")
    assert servers() == ("10.0.0.1", "10.0.0.2") == servers()
    (tmp_path / "new").write_text("nameserver 127.0.0.53\n")
    (tmp_path / "new").rename(path)
    assert servers() == ("127.0.0.53",)
    upstream.write_text("nameserver 10.0.0.3\n")
    assert servers() == ("10.0.0.3",)
    path.unlink()
    assert servers() == ()
