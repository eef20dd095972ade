"""The daemon's pid file and the lock of its data root: no two daemons in one place.

The lock is what protects the state; the file tells init scripts and people whom to signal, as dockerd's does.
A file that is left from a dead daemon is replaced.
"""

from __future__ import annotations

import fcntl
import os

from sampan import errors


def write(path: str) -> None:
    """Write our pid to `path`. Raises Conflict in dockerd's words when another process holds it."""
    other = _read(path)
    if other is not None and other != os.getpid() and _is_alive(other):
        raise errors.Conflict(
            f"ensure sampan is not running or delete {path}: process with PID {other} is still running"
        )
    beside = f"{path}.{os.getpid()}"
    with open(beside, "w") as file:
        file.write(str(os.getpid()))
    os.rename(beside, path)


def remove(path: str) -> None:
    """Remove the pid file if it is still ours."""
    if _read(path) == os.getpid():
        os.unlink(path)


def _read(path: str) -> int | None:
    try:
        with open(path) as file:
            text = file.read(32).strip()
    except FileNotFoundError:
        return None
    return int(text) if text.isascii() and text.isdigit() else None


def _is_alive(pid: int) -> bool:
    """Whether `pid` runs (a zombie has ended already; its pid may be reused by anybody later)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state = file.read().rpartition(b")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in (b"Z", b"X")


def lock(directory: str) -> int:
    """Lock `directory` for this process; returns the descriptor that holds the lock until it is closed.

    Raises Conflict when another daemon has it. The kernel drops the lock when its holder dies, however it
    dies.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise errors.Conflict(f"another daemon is using {directory}") from None
    return descriptor
