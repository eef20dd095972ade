"""rtnetlink against an independent implementation: what one of the two makes, the other sees the same way."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2 import IPRoute

from sampan.linux import netlink
from sampan.linux.processes import CLONE_NEWNET, setns, unshare
from sampan.linux.rtnetlink import IF_OPER_UP, IFF_UP, RouteSocket, parse_network


@pytest.fixture
def route(own_network: None) -> Iterator[RouteSocket]:
    with RouteSocket() as route:
        yield route


@pytest.fixture
def oracle(own_network: None) -> Iterator[IPRoute]:
    with IPRoute() as oracle:
        yield oracle


@pytest.fixture
def namespace() -> Iterator[int]:
    """A second namespace, by its descriptor."""
    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    unshare(CLONE_NEWNET)
    fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    setns(outside, CLONE_NEWNET)
    yield fd
    os.close(outside)
    os.close(fd)


@pytest.mark.root
def test_a_bridge(route: RouteSocket, oracle: IPRoute) -> None:
    route.create_bridge("br9", mac="02:42:11:22:33:44", mtu=1400)
    route.set_up("br9")
    (seen,) = oracle.link("get", ifname="br9")
    assert seen.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_KIND") == "bridge"
    assert seen.get_attr("IFLA_ADDRESS") == "02:42:11:22:33:44"
    assert seen.get_attr("IFLA_MTU") == 1400
    assert seen["flags"] & IFF_UP
    own = route.link("br9")
    assert (own.index, own.kind, own.mac, own.mtu) == (seen["index"], "bridge", "02:42:11:22:33:44", 1400)
    route.delete_link("br9")
    assert [link.name for link in route.links()] == ["lo"]


@pytest.mark.root
def test_a_veth_is_born_in_its_namespace_and_bridge(
    route: RouteSocket, oracle: IPRoute, namespace: int
) -> None:
    route.create_bridge("br9")
    route.set_up("br9")
    route.create_veth(
        "v9", peer_name="eth0", peer_netns_fd=namespace, master="br9", mtu=1300, peer_mac="02:42:0a:00:00:02"
    )
    route.pin_mac("v9", "02:42:0a:00:00:02")
    route.set_hairpin("v9")

    (seen,) = oracle.link("get", ifname="v9")
    assert seen["flags"] & IFF_UP
    assert seen.get_attr("IFLA_MTU") == 1300
    assert seen.get_attr("IFLA_MASTER") == route.link("br9").index
    data = seen.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_SLAVE_DATA")
    assert data.get_attr("IFLA_BRPORT_MODE") == 1
    # One, or one for each VLAN, as the kernel is configured.
    entries = oracle.fdb("dump", lladdr="02:42:0a:00:00:02")
    assert {entry["ifindex"] for entry in entries} == {seen["index"]}

    setns(namespace, CLONE_NEWNET)
    with RouteSocket() as there:
        peer = there.link("eth0")
        assert (peer.mac, peer.mtu, peer.flags & IFF_UP) == ("02:42:0a:00:00:02", 1300, 0)
        assert [link.name for link in there.links()] == ["lo", "eth0"]
        there.set_up("eth0")
    assert route.link("v9").operational_state == IF_OPER_UP


@pytest.mark.root
def test_addresses(route: RouteSocket, oracle: IPRoute) -> None:
    route.create_bridge("br9")
    for address in ("10.1.2.3/16", "10.2.0.1/31", "fd00::2/64"):
        route.add_address("br9", address)
    index = route.link("br9").index
    seen = {
        (found.get_attr("IFA_LOCAL") or found.get_attr("IFA_ADDRESS"), found["prefixlen"]): found
        for found in oracle.get_addr(index=index)
    }
    assert seen.keys() == {("10.1.2.3", 16), ("10.2.0.1", 31), ("fd00::2", 64)}
    assert seen["10.1.2.3", 16].get_attr("IFA_BROADCAST") == "10.1.255.255"
    assert seen["10.2.0.1", 31].get_attr("IFA_BROADCAST") is None
    assert {found.network for found in route.addresses() if found.index == index} == {
        "10.1.2.3/16",
        "10.2.0.1/31",
        "fd00::2/64",
    }
    route.delete_address("br9", "10.2.0.1/31")
    assert {found.address for found in route.addresses() if found.index == index} == {"10.1.2.3", "fd00::2"}


@pytest.mark.root
def test_routes(route: RouteSocket, oracle: IPRoute) -> None:
    route.create_bridge("br9")
    route.add_address("br9", "10.1.0.2/24")
    route.add_address("br9", "fd00::2/64")
    route.set_up("br9")
    route.add_route(None, "10.1.0.1", "br9")
    route.add_route(None, "fd00::1", "br9")
    route.add_route("10.9.0.0/16", "10.1.0.1", "br9")
    route.add_route("10.8.0.0/16", None, "br9")
    seen = {
        (found.get_attr("RTA_DST"), found["dst_len"], found.get_attr("RTA_GATEWAY"))
        for family in (socket.AF_INET, socket.AF_INET6)
        for found in oracle.get_routes(family=family, table=254)
    }
    wanted = {
        (None, 0, "10.1.0.1"),
        (None, 0, "fd00::1"),
        ("10.9.0.0", 16, "10.1.0.1"),
        ("10.8.0.0", 16, None),
        ("10.1.0.0", 24, None),
    }
    assert wanted <= seen
    own = {(found.destination, found.gateway) for found in route.routes() if found.table == 254}
    assert {
        (f"{destination}/{length}" if destination else None, gateway)
        for destination, length, gateway in wanted
    } <= own


@pytest.mark.root
@pytest.mark.parametrize(
    ("call", "number", "words"),
    [
        (lambda route: route.create_bridge("lo"), errno.EEXIST, "create bridge: File exists"),
        (lambda route: route.link("none"), errno.ENODEV, "find link: No such device"),
        (lambda route: route.set_up("none"), errno.ENODEV, "set link up: No such device"),
        (lambda route: route.delete_link("none"), errno.ENODEV, "delete link: No such device"),
        (lambda route: route.add_address("none", "10.0.0.1/8"), errno.ENODEV, "find link: No such device"),
        (
            lambda route: route.add_route(None, "10.0.0.1", "lo"),
            errno.ENETUNREACH,
            "add route default: Network is unreachable",
        ),
        (
            lambda route: route.create_veth("v", peer_name="p", peer_netns_pid=2**30),
            errno.ESRCH,
            "create veth: No such process",
        ),
        (lambda route: route.create_veth("v" * 16, peer_name="p"), errno.ERANGE, "create veth: "),
    ],
)
def test_errors_name_operation_and_device(
    route: RouteSocket, call: Callable[[RouteSocket], None], number: int, words: str
) -> None:
    with pytest.raises(OSError, match=words) as caught:
        call(route)
    assert caught.value.errno == number
    assert caught.value.filename in ("lo", "none", "v", "v" * 16)


@pytest.mark.root
def test_a_dump_of_many_links_is_whole(route: RouteSocket) -> None:
    for number in range(60):
        route.create_bridge(f"br{number}")
    assert {link.name for link in route.links()} == {"lo", *(f"br{number}" for number in range(60))}


@pytest.mark.parametrize(
    "text", ["", "/", "10.0.0.1/33", "10.0.0.1/-1", "10.0.0/8", "::1/129", "10.0.0.1/٣", "a"]
)
def test_wrong_addresses(text: str) -> None:
    with pytest.raises(OSError, match="parse address"):
        parse_network(text)


@given(st.dictionaries(st.integers(1, 0x3FFF), st.binary(max_size=40)))
def test_attributes_are_read_as_written(wanted: dict[int, bytes]) -> None:
    data = b"".join(netlink.attribute(kind, value) for kind, value in wanted.items())
    assert netlink.attributes(data) == wanted


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_refused(data: bytes) -> None:
    netlink.attributes(data)
    try:
        list(netlink.messages(data))
    except OSError as error:
        assert error.errno == errno.EBADMSG
