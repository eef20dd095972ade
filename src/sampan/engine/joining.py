"""Containers whose namespaces others join: `--network`, `--ipc` and `--pid container:NAME`.

Owns the way into a running container from outside: its namespaces and what is mounted in it, by the pid of
its first process, which may end at any moment. Blocking: called in threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from sampan import errors
from sampan.engine.record import Record, Status
from sampan.linux import mounts, namespaces, processes
from sampan.records import dataclass

_T = TypeVar("_T")

_FILES = {"network": "net", "pid": "pid", "ipc": "ipc", "mount": "mnt"}

_CLONE = mounts.OPEN_TREE_CLONE | mounts.OPEN_TREE_CLOEXEC


@dataclass(frozen=True, slots=True)
class Peer:
    """A container whose namespace is joined, as it was when the start began."""

    record: Record
    status: Status


def check(kind: str, owner: Record, *, is_running: bool) -> None:
    """Raises Conflict or InvalidArgument, in dockerd's words, for a container that cannot be joined."""
    if kind != "ipc":
        if not is_running:
            raise _not_running(kind, owner.id)
        return
    if not is_running:
        raise errors.Conflict(f"can't join IPC of container {owner.id}: container {owner.id} is not running")
    if owner.host_config.ipc_mode != "shareable":
        raise errors.InvalidArgument(
            f"can't join IPC of container {owner.id}: non-shareable IPC "
            "(hint: use IpcMode:shareable for the donor container)"
        )


def path(peer: Peer, kind: str) -> str:
    return f"/proc/{peer.status.pid}/ns/{_FILES[kind]}"


def open_namespace(peer: Peer, kind: str) -> int:
    """The namespace of another container's first process. Raises Conflict if that has ended."""
    fd = _open(peer, path(peer, kind), os.O_RDONLY)
    if fd is None:
        raise _not_running(kind, peer.record.id)
    return fd


def open_root(peer: Peer) -> int | None:
    """The root folder as the container's first process has it, with all that is mounted there (O_PATH).

    None if that process has ended.
    """
    return _open(peer, f"/proc/{peer.status.pid}/root", os.O_PATH | os.O_DIRECTORY)


def clone_mount(peer: Peer, place: str) -> int:
    """A detached copy of what is mounted at `place` in a container, without what is mounted below it."""
    namespace = open_namespace(peer, "mount")
    try:
        # open_tree(2) clones only mounts of the caller's own namespace.
        return namespaces.in_namespace(
            processes.CLONE_NEWNS, namespace, lambda: mounts.open_tree(place, _CLONE)
        )
    finally:
        os.close(namespace)


def in_own_mounts(function: Callable[[], _T]) -> _T:
    """Call a function in a new mount namespace, a copy of the engine's of which nothing shows outside."""

    def work() -> _T:
        mounts.mount(None, "/", flags=mounts.MS_REC | mounts.MS_PRIVATE)
        return function()

    return namespaces.in_namespace(processes.CLONE_NEWNS, None, work)


def _open(peer: Peer, name: str, flags: int) -> int | None:
    try:
        fd = os.open(name, flags | os.O_CLOEXEC)
        try:
            # The pid of a container that has ended meanwhile may be somebody else's: the cgroup tells.
            with open(f"/proc/{peer.status.pid}/cgroup", encoding="utf-8", errors="replace") as file:
                if peer.record.id in file.read():
                    return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
    except (FileNotFoundError, ProcessLookupError):
        pass
    return None


def _not_running(kind: str, identifier: str) -> errors.Conflict:
    return errors.Conflict(f"cannot join {kind} of a non running container: {identifier}")
