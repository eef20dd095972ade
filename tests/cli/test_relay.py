"""The loop between the user's streams and a hijacked connection, in its own process over a socket pair."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from sampan.cli.terminal import DEFAULT_KEYS, DetachKeys, parse_detach_keys
from tests.cli.fake_engine import ROOT

PROGRAM = f"""
import sys, _socket
sys.path.insert(0, {str(ROOT / "src")!r})
from sampan.cli.relay import Relay
options = dict(stdin=False, multiplexed=False)
options.update(eval(sys.argv[2]))
Relay(_socket.socket(fileno=int(sys.argv[1])), b"", **options).run()
"""


class Session:
    """A relay process and the engine's end of its connection."""

    def __init__(self, **options: object) -> None:
        self.engine, client = socket.socketpair()
        self.engine.settimeout(20)
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", PROGRAM, str(client.fileno()), repr(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[client.fileno()],
        )
        client.close()

    def finish(self, data: bytes = b"") -> tuple[bytes, bytes]:
        out, err = self.process.communicate(data or None, timeout=20)
        self.engine.close()
        assert self.process.returncode == 0, err
        return out, err


def read_all(end: socket.socket) -> bytes:
    found = b""
    while block := end.recv(65536):
        found += block
    return found


def test_end_of_input_closes_half() -> None:
    session = Session(stdin=True)
    assert session.process.stdin is not None
    session.process.stdin.write(b"abc")
    session.process.stdin.close()
    session.process.stdin = None
    assert read_all(session.engine) == b"abc"
    session.engine.sendall(b"the answer comes after it")
    session.engine.close()
    assert session.finish()[0] == b"the answer comes after it"


def test_input_and_output_do_not_wait_for_each_other() -> None:
    """The engine reads nothing until it has written more than the socket and the pipe hold."""
    import threading

    session = Session(stdin=True)
    size = 4_000_000

    def engine() -> None:
        session.engine.sendall(b"o" * size)
        read_all(session.engine)
        session.engine.close()

    thread = threading.Thread(target=engine)
    thread.start()
    out, _ = session.finish(b"i" * size)
    thread.join()
    assert len(out) == size


def test_streams_are_taken_apart() -> None:
    session = Session(multiplexed=True)
    for byte in b"\x01\0\0\0\0\0\0\x02hi\x02\0\0\0\0\0\0\x02no\x03\0\0\0\0\0\0\x01!\x01\0\0\0\0\0\0\0":
        session.engine.sendall(bytes([byte]))
    session.engine.close()
    assert session.finish() == (b"hi", b"no!")


def test_streams_that_are_not_attached_are_dropped() -> None:
    session = Session(multiplexed=True, stderr=False)
    session.engine.sendall(b"\x01\0\0\0\0\0\0\x02hi\x02\0\0\0\0\0\0\x02no")
    session.engine.close()
    assert session.finish() == (b"hi", b"")


def test_input_alone_ends_with_the_input() -> None:
    session = Session(stdin=True, stdout=False, stderr=False)
    assert session.finish(b"abc") == (b"", b"")
    assert session.process.returncode == 0


def test_an_engine_that_closes_early_ends_it() -> None:
    session = Session(stdin=True)
    session.engine.sendall(b"bye")
    session.engine.close()
    assert session.process.stdout is not None
    assert session.process.stdout.read() == b"bye"
    session.process.communicate(timeout=20)
    assert session.process.returncode == 0


@pytest.mark.parametrize(
    ("pieces", "sent", "detached"),
    [
        ([b"abc"], b"abc", False),
        ([b"a\x10\x11b"], b"a", True),
        ([b"a\x10", b"\x11"], b"a", True),
        ([b"\x10", b"x"], b"\x10x", False),
        ([b"\x10\x10\x11"], b"\x10\x10\x11", False),
        ([b"\x10"], b"", False),
        ([b"\x11\x10"], b"\x11", False),
    ],
)
def test_detach_keys(pieces: list[bytes], sent: bytes, detached: bool) -> None:
    keys = DetachKeys(DEFAULT_KEYS)
    out = b""
    done = False
    for piece in pieces:
        part, done = keys.feed(piece)
        out += part
    assert (out, done) == (sent, detached)


def test_detach_keys_are_parsed() -> None:
    assert parse_detach_keys("ctrl-p,ctrl-q") == DEFAULT_KEYS
    assert parse_detach_keys("a,ctrl-@,ctrl-[,ctrl-_") == b"a\x00\x1b\x1f"
    for wrong in ("ctrl-", "xy", "ctrl-1", "", "ctrl-P"):
        with pytest.raises(ValueError, match="Unknown character"):
            parse_detach_keys(wrong)


def test_signals_arrive_in_the_loop() -> None:
    """A signal interrupts nothing and is seen by the loop, while output goes on."""
    import signal

    program = PROGRAM.replace(
        "Relay(_socket",
        "from sampan.cli.signals import SignalPipe, signal_name\n"
        "import os\n"
        "pipe = SignalPipe([10]); pipe.__enter__()\n"
        "options.update(signals=pipe, on_signal=lambda n: os.write(1, signal_name(n).encode()))\n"
        "os.write(1, b'>')\n"
        "Relay(_socket",
    )
    engine, client = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program, str(client.fileno()), "{}"],
        stdout=subprocess.PIPE,
        pass_fds=[client.fileno()],
    )
    client.close()
    assert process.stdout is not None
    assert os.read(process.stdout.fileno(), 1) == b">"
    process.send_signal(signal.SIGUSR1)
    assert os.read(process.stdout.fileno(), 4) == b"USR1"
    engine.sendall(b"after")
    engine.close()
    assert process.communicate(timeout=20)[0] == b"after"
