"""Starts an engine in the background when there is none at the default socket.

Owns the one line that says so, and the wait until the engine answers. Only the default socket is served this
way: who names a host means that engine and no other.
"""

from __future__ import annotations

import os
import sys
import time

from sampan.cli.failure import ConnectFailure, Failure
from sampan.cli.http import Connection

WAIT_SECONDS = 30
LOG = "/var/log/sampan.log"


def start_engine(host: str) -> None:
    """Start `sampan daemon` for `host` and return when it answers. Raises Failure."""
    path = host.removeprefix("unix://")
    if os.geteuid() != 0:
        raise ConnectFailure(
            f"Cannot connect to the Sampan daemon at {host}. Is the sampan daemon running?\n"
            "Only root may start it: run this command as root, or have root run 'sampan daemon'."
        )
    os.write(2, f"sampan: no engine at {host}: starting one in the background\n".encode())
    log = _open_log()
    start = os.lseek(log, 0, os.SEEK_END)
    child = _spawn(log)
    deadline = time.monotonic() + WAIT_SECONDS
    while not _answers(path):
        ended = _reap(child)
        if ended is not None and not _answers(path):  # another call may have started one meanwhile
            raise Failure(f"sampan: the engine ended at its start:\n{_tail(log, start)}")
        if time.monotonic() > deadline:
            raise Failure(f"sampan: the engine does not answer after {WAIT_SECONDS} seconds: see {LOG}")
        time.sleep(0.01)


def _open_log() -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    try:
        return os.open(LOG, flags, 0o640)
    except OSError as error:
        raise Failure(f"sampan: cannot write the engine's log: {error}") from None


def _spawn(log: int) -> int:
    """The daemon in a session of its own, with nothing of ours but the log. Returns its process id."""
    null = os.open("/dev/null", os.O_RDONLY)
    arguments = [sys.executable, "-I", "-m", "sampan.daemon"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    actions = [
        (os.POSIX_SPAWN_DUP2, null, 0),
        (os.POSIX_SPAWN_DUP2, log, 1),
        (os.POSIX_SPAWN_DUP2, log, 2),
    ]
    try:
        return os.posix_spawn(sys.executable, arguments, environment, file_actions=actions, setsid=True)
    except OSError as error:
        raise Failure(f"sampan: cannot start the engine: {error}") from None
    finally:
        os.close(null)


def _reap(child: int) -> int | None:
    ended, status = os.waitpid(child, os.WNOHANG)
    return status if ended else None


def _answers(path: str) -> bool:
    try:
        connection = Connection(f"unix://{path}")
        response = connection.request("HEAD", "/_ping", ["Host: sampan"])
        connection.socket.close()
        return response.status == 200
    except (OSError, Failure):
        return False


def _tail(log: int, start: int) -> str:
    """What the engine said, at most its last words."""
    os.lseek(log, start, os.SEEK_SET)
    return os.read(log, 1 << 16).decode(errors="replace")[-2000:].rstrip("\n")
