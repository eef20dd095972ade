"""The shim's files in DIR: its socket, its pid, the exit record, and what it has to complain about.

Owns their writing and removal; their names and lifetimes stand in `protocol`. Never opens a text file: an
`io` stack of its own would be the largest thing in an idle shim.
"""

from __future__ import annotations

import os

from sampan.linux import sockets as socket
from sampan.shim import protocol


def claim(directory: str, pid: int) -> int:
    """Become the shim of DIR; returns the listening socket's descriptor.

    There is one shim at a time: what is there is from one that was killed.
    """
    for name in (protocol.SOCKET_NAME, protocol.EXIT_NAME):
        _remove(f"{directory}/{name}")
    # By the folder's descriptor: the path may be longer than the 107 bytes of sun_path (unix(7)).
    directory_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        listener.bind(f"/proc/self/fd/{directory_fd}/{protocol.SOCKET_NAME}")
        os.chmod(protocol.SOCKET_NAME, 0o600, dir_fd=directory_fd)
        listener.listen()
    finally:
        os.close(directory_fd)
    write(directory, protocol.PID_NAME, b"%d\n" % pid)
    return listener.detach()


def release(directory: str) -> None:
    """Leave DIR to another shim."""
    _remove(f"{directory}/{protocol.SOCKET_NAME}")
    _remove(f"{directory}/{protocol.PID_NAME}")


def write(directory: str, name: str, data: bytes) -> None:
    """Write a file whole or not at all, also for a reader that comes in between."""
    path = f"{directory}/{name}"
    _append(f"{path}.new", data, os.O_TRUNC)
    os.rename(f"{path}.new", path)


def complain(directory: str, text: str) -> None:
    """Write to DIR/shim.log what went wrong in the shim itself; there is nobody else to tell."""
    try:
        _append(f"{directory}/{protocol.ERROR_NAME}", text.encode("utf-8", "replace"), os.O_APPEND)
    except OSError:
        pass


def _append(path: str, data: bytes, flag: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flag, 0o600)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
