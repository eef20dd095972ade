"""Pseudo-terminals: pty(7), and the ioctls of ioctl_tty(2) that Python's `os`, `termios` and `tty` lack."""

from __future__ import annotations

import fcntl
import os
import struct

# include/uapi/asm-generic/ioctls.h
_TIOCSCTTY = 0x540E
_TIOCGWINSZ = 0x5413
_TIOCSWINSZ = 0x5414
_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441


def open_pty(multiplexer: str = "/dev/ptmx") -> tuple[int, int]:
    """A new terminal as (master, slave), both close-on-exec."""
    master = os.open(multiplexer, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        unlock(master)
        return master, peer_of(master)
    except OSError:
        os.close(master)
        raise


def unlock(master: int) -> None:
    """Let the slave be opened: TIOCSPTLCK(2const)."""
    _ioctl("TIOCSPTLCK", master, _TIOCSPTLCK, struct.pack("i", 0))


def peer_of(master: int) -> int:
    """Open the slave without trusting a path to it: TIOCGPTPEER(2const)."""
    try:
        return fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise _named("TIOCGPTPEER", error) from None


def set_controlling_terminal(fd: int) -> None:
    """Make this terminal the one of the session, whose leader calls: TIOCSCTTY(2const)."""
    try:
        fcntl.ioctl(fd, _TIOCSCTTY, 0)
    except OSError as error:
        raise _named("TIOCSCTTY", error) from None


def set_window_size(fd: int, rows: int, columns: int) -> None:
    """Resize; the foreground processes get SIGWINCH: TIOCSWINSZ(2const)."""
    _ioctl("TIOCSWINSZ", fd, _TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def window_size(fd: int) -> tuple[int, int]:
    """(rows, columns): TIOCGWINSZ(2const)."""
    rows, columns, _, _ = struct.unpack("HHHH", _ioctl("TIOCGWINSZ", fd, _TIOCGWINSZ, bytes(8)))
    return rows, columns


def _ioctl(operation: str, fd: int, number: int, argument: bytes) -> bytes:
    try:
        return fcntl.ioctl(fd, number, argument)
    except OSError as error:
        raise _named(operation, error) from None


def _named(operation: str, error: OSError) -> OSError:
    assert error.errno is not None
    return OSError(error.errno, f"ioctl({operation}): {os.strerror(error.errno)}")
