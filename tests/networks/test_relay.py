"""The relay from IPv6 to IPv4: whole streams, ends and failures, many clients."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from sampan.linux.rtnetlink import RouteSocket
from sampan.networks.relay import Relay
from tests.networks.stage import PATIENCE, Stage

pytestmark = pytest.mark.root


@pytest.fixture
def relay(stage: Stage) -> Iterator[Relay]:
    relay = Relay()
    yield relay
    relay.close()


@pytest.fixture
def door(relay: Relay) -> Iterator[socket.socket]:
    """Leads to 127.0.0.1:80 of the host, where tests put their servers."""
    with socket.socket(socket.AF_INET6) as door:
        door.bind(("::1", 8080))
        relay.serve(door, ("127.0.0.1", 80))
        yield door


@pytest.mark.usefixtures("door")
def test_a_long_stream_arrives_whole_in_both_directions(stage: Stage) -> None:
    stage.tcp_server(None, 80)
    sent = os.urandom(20_000_000)
    with socket.create_connection(("::1", 8080), PATIENCE) as client:

        def send() -> None:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        received = b"".join(iter(lambda: client.recv(1_000_000), b""))
        sender.join()
    _, _, echo = received.partition(b"\n")
    assert hashlib.sha256(echo).digest() == hashlib.sha256(sent).digest()


@pytest.mark.usefixtures("door")
def test_a_server_that_answers_after_the_clients_end() -> None:
    with (
        socket.create_server(("127.0.0.1", 80)) as listener,
        socket.create_connection(("::1", 8080), PATIENCE) as client,
    ):
        server, _ = listener.accept()
        with server:
            client.sendall(b"question")
            client.shutdown(socket.SHUT_WR)
            assert server.recv(100) == b"question"
            assert server.recv(100) == b""
            server.sendall(b"answer")
        assert client.recv(100) == b"answer"
        assert client.recv(100) == b""


@pytest.mark.usefixtures("door")
def test_nobody_listens_in_the_container() -> None:
    with socket.create_connection(("::1", 8080), PATIENCE) as client:
        assert client.recv(100) == b""


@pytest.mark.usefixtures("door")
def test_a_hundred_clients_at_once(stage: Stage) -> None:
    stage.tcp_server(None, 80)
    clients = [socket.create_connection(("::1", 8080), PATIENCE) for _ in range(100)]
    for number, client in enumerate(clients):
        client.sendall(b"%d" % number)
        client.shutdown(socket.SHUT_WR)
    for number, client in enumerate(clients):
        with client:
            answer = b"".join(iter(lambda: client.recv(100), b""))  # noqa: B023
            assert answer == b"127.0.0.1\n%d" % number


def test_stopping_ends_what_came_in(relay: Relay, door: socket.socket, stage: Stage) -> None:
    stage.tcp_server(None, 80)
    with socket.create_connection(("::1", 8080), PATIENCE) as client:
        assert client.recv(100)
        relay.stop(door)
        assert client.recv(100) == b""
    relay.stop(door)


def test_the_answer_comes_from_the_address_that_was_asked(relay: Relay, stage: Stage) -> None:
    """A UDP socket on all addresses would answer by its first one, and the client would not listen to
    that."""
    neighbour = stage.neighbour()
    for other in ("fd00:1::8", "fd00:1::9"):
        with RouteSocket() as route:
            route.add_address("lan1", f"{other}/64")
    stage.udp_server(None, 53)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as door:
        door.bind(("::", 5353))
        relay.serve(door, ("127.0.0.1", 53))
        with neighbour, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
            client.settimeout(PATIENCE)
            for asked in ("fd00:1::1", "fd00:1::8", "fd00:1::9"):
                client.sendto(b"hello", (asked, 5353))
                answer, address = client.recvfrom(100)
                assert (answer, address[0]) == (b"127.0.0.1", asked)
        relay.stop(door)
