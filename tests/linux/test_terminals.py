from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator

import pytest

from sampan.linux import terminals
from tests.linux.children import in_child


@pytest.fixture
def pty() -> Iterator[tuple[int, int]]:
    master, slave = terminals.open_pty()
    yield master, slave
    os.close(master)
    os.close(slave)


def test_a_pair_talks(pty: tuple[int, int]) -> None:
    master, slave = pty
    os.write(slave, b"hello\n")
    assert os.read(master, 100) == b"hello\r\n"
    assert not os.get_inheritable(master) and not os.get_inheritable(slave)


def test_a_locked_terminal_has_no_peer() -> None:
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        with pytest.raises(OSError, match="TIOCGPTPEER"):
            terminals.peer_of(master)
        terminals.unlock(master)
        os.close(terminals.peer_of(master))
    finally:
        os.close(master)


def test_the_size_is_seen_at_the_other_end(pty: tuple[int, int]) -> None:
    master, slave = pty
    terminals.set_window_size(master, 50, 132)
    assert terminals.window_size(slave) == (50, 132)
    assert os.get_terminal_size(slave) == (132, 50)


def test_a_controlling_terminal_delivers_signals(pty: tuple[int, int]) -> None:
    master, slave = pty

    def child() -> str:
        os.setsid()
        terminals.set_controlling_terminal(slave)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGWINCH})
        fd = os.open("/dev/tty", os.O_RDWR)
        assert os.tcgetpgrp(fd) == os.getpid()
        os.write(master, b"\x03")
        first = signal.sigwait({signal.SIGINT})
        terminals.set_window_size(master, 10, 20)
        return f"{first.name} {signal.sigwait({signal.SIGWINCH}).name}"

    assert in_child(child) == "SIGINT SIGWINCH"


def test_what_is_no_terminal_is_refused() -> None:
    fd = os.memfd_create("file")
    try:
        for operation in (
            lambda: terminals.set_window_size(fd, 1, 1),
            lambda: terminals.window_size(fd),
            lambda: terminals.set_controlling_terminal(fd),
            lambda: terminals.unlock(fd),
        ):
            with pytest.raises(OSError, match=r"ioctl\(TIOC") as caught:
                operation()
            assert caught.value.errno == errno.ENOTTY
    finally:
        os.close(fd)
