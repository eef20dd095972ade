"""Streams and attached clients, played with pipes and socket pairs instead of a process."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.runtime.launch import Stdio
from sampan.shim.attach import STDERR, STDIN, STDOUT, AttachedClient, DetachKeys
from sampan.shim.logfile import LogFile, open_log
from sampan.shim.loop import Loop
from sampan.shim.pipes import Pipes
from sampan.shim.streams import Streams
from sampan.wire.attach import Demultiplexer
from sampan.wire.jsonlog import decode

BOTH = frozenset({STDOUT, STDERR})
ALL = frozenset({STDIN, STDOUT, STDERR})
CTRL_P_Q = b"\x10\x11"


def close_stdio(ends: Stdio) -> None:
    for fd in (ends.stdin, ends.stdout, ends.stderr):
        os.close(fd)


class Stage:
    """One process' streams; the test plays the process and the clients."""

    def __init__(self, log: LogFile | None = None) -> None:
        self.loop = Loop()
        self.detached: list[str] = []
        self.streams = Streams(self.loop, lambda client: self.detached.append(client.name))
        self.streams.log = log
        self.ends: Stdio | None = None
        self.sockets: list[socket.socket] = []

    def close(self) -> None:
        self.streams.close()
        for client in list(self.streams.clients):
            client.close()
        if self.ends is not None:
            close_stdio(self.ends)
        for sock in self.sockets:
            sock.close()

    def start(self, *, stdin_open: bool = True, stdin_once: bool = True) -> Stdio:
        pipes = Pipes(stdin_open=stdin_open, discard=False)
        self.ends = pipes.theirs
        self.streams.begin(pipes.ours, terminal=False, stdin_once=stdin_once)
        return pipes.theirs

    def attach(
        self,
        wanted: frozenset[int] = ALL,
        *,
        name: str = "client",
        multiplex: bool = False,
        detach_keys: bytes = b"",
        early: bytes = b"",
    ) -> socket.socket:
        ours, theirs = socket.socketpair()
        client = AttachedClient(
            self.loop,
            self.streams,
            theirs,
            name=name,
            streams=wanted,
            multiplex=multiplex,
            detach_keys=detach_keys,
            early=early,
        )
        self.streams.join(client)
        ours.setblocking(False)
        self.sockets.append(ours)
        return ours

    def run(self, done: Callable[[], bool], seconds: float = 10.0) -> None:
        """Run the loop until `done`."""
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, "nothing happens"
            timer = self.loop.call_after(0.01, lambda: None)
            self.loop.run_round()
            timer.cancel()

    def idle(self) -> None:
        """Let happen whatever can happen."""
        for _ in range(20):
            timer = self.loop.call_after(0, lambda: None)
            self.loop.run_round()
            timer.cancel()


def received(client: socket.socket) -> bytes:
    data = b""
    try:
        while piece := client.recv(1 << 20):
            data += piece
    except (BlockingIOError, ConnectionResetError):
        pass
    return data


def is_closed(client: socket.socket) -> bool:
    """Whether the shim has closed this client, cleanly; drops what was not received yet."""
    try:
        while client.recv(1 << 20):
            pass
    except BlockingIOError:
        return False
    return True


def read(fd: int) -> bytes:
    os.set_blocking(fd, False)
    try:
        return os.read(fd, 1 << 20)
    except BlockingIOError:
        return b"(nothing)"


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


def test_output_goes_to_each_client_in_its_form(stage: Stage, tmp_path: Path) -> None:
    stage.streams.log = LogFile(*open_log(str(tmp_path / "log")))
    raw, framed = stage.attach(), stage.attach(multiplex=True)
    only_stderr = stage.attach(frozenset({STDERR}))
    process = stage.start()
    os.write(process.stdout, b"out\n")
    os.write(process.stderr, b"err\n")
    stage.idle()
    late = stage.attach()
    os.write(process.stdout, b"more")
    stage.idle()
    stage.streams.close()
    stage.streams.log.close()
    stage.streams.log = None
    assert sorted(received(raw).splitlines()) == [b"err", b"more", b"out"]
    pieces = list(Demultiplexer().feed(received(framed)))
    assert b"".join(data for stream, data in pieces if stream == STDOUT) == b"out\nmore"
    assert b"".join(data for stream, data in pieces if stream == STDERR) == b"err\n"
    assert received(only_stderr) == b"err\n"
    assert received(late) == b"more"
    assert all(is_closed(client) for client in (raw, framed, only_stderr, late))
    entries = [decode(line) for line in (tmp_path / "log").read_bytes().splitlines()]
    assert sorted((entry.text, entry.stream) for entry in entries) == [
        (b"err\n", "stderr"),
        (b"more", "stdout"),
        (b"out\n", "stdout"),
    ]


def test_a_slow_client_holds_up_the_process_and_loses_nothing(stage: Stage) -> None:
    fast, slow = stage.attach(BOTH), stage.attach(BOTH)
    process = stage.start()
    os.set_blocking(process.stdout, False)
    sent, got_fast, got_slow = 0, b"", b""
    stalled = 0
    while stalled < 3:
        try:
            sent += os.write(process.stdout, b"%07d\n" % (sent // 8) * 1024)
            stalled = 0
        except BlockingIOError:
            stalled += 1
        stage.idle()
        got_fast += received(fast)
    # Pipe, queue and socket buffer are full: the rest waits in the process.
    assert 256 * 1024 < sent < 2 * 1024 * 1024
    while len(got_slow) < sent or len(got_fast) < sent:
        got_slow += received(slow)
        stage.idle()
        got_fast += received(fast)
    assert got_slow == got_fast


def test_a_dead_process_waits_for_no_client(stage: Stage) -> None:
    stuck = stage.attach(BOTH)
    process = stage.start()
    os.set_blocking(process.stdout, False)
    sent = stalled = 0
    while stalled < 3:
        try:
            sent += os.write(process.stdout, b"x" * 4096)
            stalled = 0
        except BlockingIOError:
            stalled += 1
        stage.idle()
    close_stdio(process)
    stage.ends = None
    stage.streams.drain()
    assert stage.streams.ended
    stage.streams.close()
    assert stage.streams.clients, "its queue is not sent yet"
    got = b""
    while len(got) < sent:
        got += received(stuck)
        stage.idle()
    assert is_closed(stuck)
    assert not stage.streams.clients


def test_a_client_that_goes_away_is_forgotten(stage: Stage) -> None:
    gone, stays = stage.attach(BOTH), stage.attach(BOTH)
    process = stage.start()
    gone.close()
    os.write(process.stdout, b"x" * 10)
    stage.run(lambda: len(stage.streams.clients) == 1)
    os.write(process.stdout, b"y" * 10)
    stage.idle()
    assert received(stays) == b"x" * 10 + b"y" * 10


def test_a_stuck_client_that_goes_away_frees_the_process(stage: Stage) -> None:
    stuck = stage.attach(BOTH)
    process = stage.start()
    os.set_blocking(process.stdout, False)
    stalled = 0
    while stalled < 3:
        try:
            os.write(process.stdout, b"x" * 65536)
            stalled = 0
        except BlockingIOError:
            stalled += 1
        stage.idle()
    stuck.close()
    stage.run(lambda: not stage.streams.clients)
    stage.idle()
    assert os.write(process.stdout, b"x" * 65536) == 65536


def test_half_close_closes_stdin_once(stage: Stage) -> None:
    client = stage.attach(early=b"early ", multiplex=True)
    client.send(b"before ")
    process = stage.start()
    stage.idle()
    assert read(process.stdin) == b"early before "
    client.shutdown(socket.SHUT_WR)
    stage.idle()
    assert read(process.stdin) == b""
    os.write(process.stdout, b"still here")
    stage.idle()
    assert received(client)[8:] == b"still here"


def test_half_close_ends_the_attach_when_stdin_stays_open(stage: Stage) -> None:
    process = stage.start(stdin_once=False)
    client = stage.attach()
    client.send(b"one")
    client.shutdown(socket.SHUT_WR)
    stage.idle()
    assert is_closed(client)
    assert read(process.stdin) == b"one"
    assert read(process.stdin) == b"(nothing)"


def test_half_close_of_a_client_without_stdin_means_nothing(stage: Stage) -> None:
    client = stage.attach(BOTH)
    process = stage.start()
    client.shutdown(socket.SHUT_WR)
    stage.idle()
    os.write(process.stdout, b"x")
    stage.idle()
    assert received(client) == b"x"
    assert read(process.stdin) == b"(nothing)"


def test_input_of_a_client_that_died_arrives_whole(stage: Stage) -> None:
    process = stage.start()
    client = stage.attach()
    client.setblocking(True)
    sent = 150_000
    client.sendall(b"i" * sent)
    client.close()
    got = 0
    while (data := read(process.stdin)) != b"":
        got += len(data) if data != b"(nothing)" else 0
        stage.idle()
    assert got == sent


def test_input_for_a_process_that_closed_its_stdin(stage: Stage) -> None:
    process = stage.start()
    client = stage.attach()
    os.dup2(process.stdout, process.stdin)
    client.send(b"x")
    stage.idle()
    client.close()
    stage.run(lambda: not stage.streams.clients)


def test_without_stdin_input_is_left_alone(stage: Stage) -> None:
    client = stage.attach()
    client.send(b"x")
    process = stage.start(stdin_open=False)
    stage.idle()
    os.write(process.stdout, b"y")
    stage.idle()
    assert received(client) == b"y"
    stage.streams.close()
    assert is_closed(client), "not a reset"


def test_detach_keys_on_a_terminal(stage: Stage) -> None:
    master, slave = os.openpty()
    os.set_blocking(slave, False)
    fds = {"console": master, "stdin": os.dup(master)}
    stage.streams.begin(fds, terminal=True, stdin_once=False)
    first, second = stage.attach(name="first", detach_keys=CTRL_P_Q), stage.attach(name="second")
    first.send(b"a\x10b\n")
    stage.idle()
    assert os.read(slave, 100) == b"a\x10b\n"
    received(first), received(second)
    first.send(b"\x10")
    first.send(b"\x11ignored")
    stage.idle()
    assert stage.detached == ["first"]
    assert is_closed(first)
    second.send(b"c\n")
    stage.idle()
    assert os.read(slave, 100) == b"c\n"
    stage.streams.resize(11, 22)
    assert os.get_terminal_size(slave) == (22, 11)
    os.write(slave, b"last")
    os.close(slave)
    stage.run(lambda: stage.streams.ended)
    stage.streams.close()
    assert b"last" in received(second)


def test_detach_keys_mean_nothing_without_a_terminal(stage: Stage) -> None:
    client = stage.attach(detach_keys=CTRL_P_Q)
    process = stage.start()
    client.send(CTRL_P_Q)
    stage.idle()
    assert read(process.stdin) == CTRL_P_Q
    assert not stage.detached


@given(
    st.lists(st.sampled_from([b"a", b"b", b"aab", b"x"]), max_size=20), st.sampled_from([b"aab", b"ab", b"b"])
)
def test_detach_keys_are_found_as_in_the_whole_input(pieces: list[bytes], keys: bytes) -> None:
    finder, passed, found = DetachKeys(keys), b"", False
    for piece in pieces:
        through, found = finder.feed(piece)
        passed += through
        if found:
            break
    data = b"".join(pieces)
    assert found == (keys in data)
    if found:
        assert passed == data[: data.index(keys)]
    else:
        held = next(n for n in range(len(keys), -1, -1) if data.endswith(keys[:n]))
        assert passed == data[: len(data) - held]
