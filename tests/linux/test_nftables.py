"""nftables: whole rule sets by nft(8), single elements by our own messages; nft(8) is the judge of both."""

from __future__ import annotations

import errno
import select
import socket
import struct
import subprocess
from collections.abc import Iterator

import pytest

from sampan.linux import conntrack, nftables
from sampan.linux.conntrack import Connection
from sampan.linux.nfnetlink import NFPROTO_INET, Change, Element, NftablesMonitor, NftablesSocket
from sampan.linux.rtnetlink import RouteSocket

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("own_network")]

TABLE = """\
table inet t {
    map m { type inet_proto . inet_service : ipv4_addr . inet_service; }
    set s { type inet_service; }
}
"""


@pytest.fixture
def nft(own_network: None) -> Iterator[NftablesSocket]:
    nftables.apply(TABLE)
    with NftablesSocket() as nft:
        yield nft


def entry(port: int, target: int = 80) -> Element:
    value = socket.inet_aton("10.1.2.3") + struct.pack("!H2x", target)
    return Element("m", struct.pack("!B3xH2x", socket.IPPROTO_TCP, port), value)


def listed() -> str:
    return " ".join(
        subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout.split()
    )


def test_a_transaction_is_done_whole_or_not_at_all() -> None:
    with pytest.raises(OSError, match=r"/dev/stdin:2:\d+-\d+: Error: ") as caught:
        nftables.apply("table inet one {}\ndelete table inet other\n")
    assert caught.value.errno == errno.ENOENT
    assert listed() == ""
    with pytest.raises(OSError, match="syntax error") as caught:
        nftables.apply("table inet one { chain }")
    assert caught.value.errno == errno.EINVAL


def test_elements_are_what_nft_says(nft: NftablesSocket) -> None:
    nft.add_elements(NFPROTO_INET, "t", [entry(8080), entry(8081, 443), Element("s", struct.pack("!H", 22))])
    assert "elements = { tcp . 8080 : 10.1.2.3 . 80, tcp . 8081 : 10.1.2.3 . 443 }" in listed()
    assert "elements = { 22 }" in listed()
    nft.delete_elements(NFPROTO_INET, "t", [entry(8080)])
    assert "elements = { tcp . 8081 : 10.1.2.3 . 443 }" in listed()


def test_adding_twice_is_adding_once(nft: NftablesSocket) -> None:
    nft.add_elements(NFPROTO_INET, "t", [entry(8080)])
    nft.add_elements(NFPROTO_INET, "t", [entry(8080)])
    with pytest.raises(FileExistsError, match="add nft elements"):
        nft.add_elements(NFPROTO_INET, "t", [entry(8081), entry(8080, 81)])
    assert "elements = { tcp . 8080 : 10.1.2.3 . 80 }" in listed()


def test_what_is_not_there(nft: NftablesSocket) -> None:
    nft.add_elements(NFPROTO_INET, "t", [entry(8080)])
    with pytest.raises(FileNotFoundError):
        nft.delete_elements(NFPROTO_INET, "t", [entry(8080), entry(8081)])
    assert "8080" in listed(), "all or none"
    with pytest.raises(FileNotFoundError):
        nft.add_elements(NFPROTO_INET, "other", [entry(8080)])
    with pytest.raises(FileNotFoundError):
        nft.add_elements(NFPROTO_INET, "t", [Element("other", b"\0" * 8, b"\0" * 8)])
    assert nft.table_exists(NFPROTO_INET, "t")
    assert not nft.table_exists(NFPROTO_INET, "other")
    nft.add_elements(NFPROTO_INET, "t", [])


def test_thousands_in_one_batch(nft: NftablesSocket) -> None:
    many = [entry(port) for port in range(10_000, 20_000)]
    nft.add_elements(NFPROTO_INET, "t", many)
    assert listed().count("10.1.2.3") == len(many)
    nft.delete_elements(NFPROTO_INET, "t", many)
    assert "elements" not in listed()


def test_changes_are_heard() -> None:
    monitor = NftablesMonitor()
    assert monitor.changes() == []
    nftables.apply("table ip filter { chain FORWARD { type filter hook forward priority 0; counter; }; }")
    select.select([monitor], [], [], 5)
    heard = monitor.changes()
    assert heard is not None
    assert Change(2, "filter", "FORWARD", removed=False) in heard
    nftables.apply("flush ruleset")
    select.select([monitor], [], [], 5)
    heard = monitor.changes()
    assert heard is not None
    assert Change(2, "filter", "", removed=True) in heard
    monitor.close()


def test_tracked_connections_are_forgotten() -> None:
    nftables.apply("table ip t { chain c { type filter hook output priority 0; ct state new accept; }; }")
    with RouteSocket() as route:
        route.set_up("lo")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"", ("127.0.0.1", 5353))
        client.sendto(b"", ("127.0.0.1", 5354))
    seen: list[Connection] = []

    def unwanted(connection: Connection) -> bool:
        seen.append(connection)
        return connection.destination_port == 5353

    assert conntrack.forget(unwanted) == 1
    assert Connection(socket.IPPROTO_UDP, "127.0.0.1", 5353, "127.0.0.1") in seen
    assert conntrack.forget(unwanted) == 0
