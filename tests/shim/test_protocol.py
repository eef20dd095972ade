"""Messages survive the way there and back, and nothing but messages gets in."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan import errors
from sampan.shim import packets, protocol, spawning
from sampan.shim.client import ShimConnection, ZygoteConnection

REQUESTS: list[protocol.Request] = [
    protocol.Start(1),
    protocol.Start(
        2,
        terminal=True,
        console_size=(24, 80),
        stdin_open=True,
        stdin_once=True,
        log=protocol.LogPolicy("/log", 1000, 3),
        network={"mode": "loopback"},
        fds=("rootfs", "mount:/data"),
    ),
    protocol.Attach(3, "client", early=bytes(range(256)), detach_keys=(16, 17), stdin=True, multiplex=True),
    protocol.Attach(4, "client", exec="e1", stdout=False),
    protocol.Exec(5, "e1", terminal=True, console_size=(1, 2), detach=True),
    protocol.Resize(6, 10, 20, "e1"),
    protocol.Kill(7, 9),
    protocol.State(8),
]
RESPONSES: list[protocol.Reply | protocol.Failure | protocol.Event] = [
    protocol.Reply(1, {"pid": 3}),
    protocol.Failure(2, "no", 127),
    protocol.Failure(3, "no"),
    protocol.Exited(137, True, "2026-01-01T00:00:00Z"),
    protocol.Released(),
    protocol.ExecExited("e1", 0),
    protocol.Detached("client", None),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.OP)
def test_requests_survive_the_way(request_: protocol.Request) -> None:
    assert protocol.decode_requests(protocol.encode_requests([request_])) == [request_]


@pytest.mark.parametrize("response", RESPONSES, ids=lambda response: type(response).__name__)
def test_responses_survive_the_way(response: protocol.Reply | protocol.Failure | protocol.Event) -> None:
    assert protocol.decode_response(protocol.encode_response(response)) == response


def test_results_survive_the_way() -> None:
    state = protocol.StateResult(protocol.Phase.RUNNING, 3, "t", {"e": protocol.ExecState(4, None)})
    assert protocol.StateResult.from_document(protocol.document_of(state)) == state


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"[]",
        b"{}",
        b'{"op":"dance","seq":1}',
        b'{"op":"kill","seq":1}',
        b'{"op":"kill","seq":true,"signal":9}',
        b'{"op":"kill","seq":1,"signal":"9"}',
        b'{"op":"start","seq":1,"console_size":[1]}',
        b'{"op":"start","seq":1,"fds":[1]}',
        b'{"op":"start","seq":1,"log":{"path":"/x","compress":true}}',
        b'{"op":"attach","seq":1,"client":"c","early":"?"}',
        b'{"op":"attach","seq":1,"client":"c","detach_keys":[256]}',
    ],
)
def test_what_is_no_request_is_refused(packet: bytes) -> None:
    with pytest.raises(errors.InvalidArgument):
        protocol.decode_requests(packet)


@given(st.binary())
def test_bytes_are_refused_or_read(packet: bytes) -> None:
    for decode in (protocol.decode_requests, protocol.decode_response, spawning.decode_spawn):
        try:
            decode(packet)
        except errors.InvalidArgument:
            pass


def test_descriptors_travel_with_their_request() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reader, writer = os.pipe()
    connection = ShimConnection(ours)
    with theirs, open(reader, "rb") as pipe:
        connection.send([protocol.Attach(1, "c")], [writer])
        os.close(writer)
        packet = packets.receive(theirs)
        assert packet is not None
        os.write(packet.fds[0], b"through")
        packet.close()
        assert pipe.read() == b"through"
        with pytest.raises(errors.InvalidArgument):
            connection.send([protocol.Attach(1, "c")])
        packets.send(theirs, protocol.encode_response(protocol.Reply(1, {})))
        assert connection.receive() == protocol.Reply(1, {})
        with pytest.raises(BlockingIOError):
            connection.receive()
    assert connection.receive() is None
    connection.close()


def test_spawning() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    zygote = ZygoteConnection(ours)
    with theirs:
        shim = zygote.spawn("c1", "/dir")
        packet = packets.receive(theirs)
        assert packet is not None and len(packet.fds) == 1
        packet.close()
        assert spawning.decode_spawn(packet.payload) == spawning.Spawn("c1", "/dir")
        assert shim.receive() is None
        shim.close()
        packets.send(theirs, spawning.encode_pid(12))
        assert zygote.receive() == spawning.Spawned(12)
        packets.send(theirs, spawning.encode_failure("no"))
        assert zygote.receive() == spawning.SpawnFailure("no")
    assert zygote.receive() is None
    zygote.close()
