"""The file system of a container as its processes see it: root, volumes, binds and the engine's own files.

Owns how to get at it. While a container runs, its first process shows it, with tmpfs and all. When it does
not, the same mounts are made in a mount namespace of their own, which exists as long as its view: nothing is
mounted on the host. Paths are resolved by `sampan.runtime.confined` alone. Nothing of the container is ever
executed or loaded. Blocking: called in threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack

from sampan.engine import joining, mountsources, preparation, volumes
from sampan.engine.joining import Peer
from sampan.engine.mountpoints import MountPoint
from sampan.engine.record import Record, Status
from sampan.engine.services import Services
from sampan.linux import files, mounts
from sampan.runtime.confined import Root, is_directory

_CLONE = mounts.OPEN_TREE_CLONE | mounts.OPEN_TREE_CLOEXEC


class View:
    """`root` is valid until `close`."""

    def __init__(self, root: int, held: ExitStack) -> None:
        self.root = Root(root)
        self._held = held

    def close(self) -> None:
        self._held.close()


def of_running(record: Record, status: Status) -> View | None:
    """None if its first process has ended."""
    fd = joining.open_root(Peer(record, status))
    if fd is None:
        return None
    held = ExitStack()
    held.callback(os.close, fd)
    return View(fd, held)


def of_stopped(services: Services, record: Record) -> View:
    """Nobody may start the container while the view is open: both would write to one layer.

    Raises SampanError for a volume or bind that is not there.
    """
    with ExitStack() as held:
        volumes.attach(services, record)
        held.callback(volumes.release, services, record)
        root = services.images.mount(record.id)
        held.callback(os.close, root)
        namespace = joining.in_own_mounts(lambda: _build(services, record, root))
        held.callback(os.close, namespace)
        return View(root, held.pop_all())


def image_part(services: Services, record: Record, status: Status) -> int:
    """A descriptor, the caller's to close, of the root file system without what is mounted in it."""
    if status.state.has_processes:
        return joining.clone_mount(Peer(record, status), "/")
    return services.images.open_root(record.id)


def _build(services: Services, record: Record, root: int) -> int:
    """Put the root and all mounts in their places; returns the descriptor of the namespace."""
    mounts.move_mount(root, services.settings.bundles_root)
    view = Root(root)
    for point in sorted(record.points, key=_depth):
        if point.type != "tmpfs":
            source = mountsources.open_source(services.images, record.id, point)
            _place(view, point.destination, source, writable=point.writable)
    for destination, path in preparation.etc_files(services.settings, record.id).items():
        if os.path.exists(path) and all(point.destination != destination for point in record.points):
            _place(view, destination, mounts.open_tree(path, _CLONE), writable=True)
    return os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)


def _depth(point: MountPoint) -> int:
    return point.destination.count("/")


def _place(root: Root, destination: str, source: int, *, writable: bool) -> None:
    """Mount `source`, and close it. A missing place is made, as at a start."""
    try:
        if not writable:
            flags = files.AT_EMPTY_PATH | files.AT_RECURSIVE
            mounts.mount_setattr("", dir_fd=source, flags=flags, attr_set=mounts.MOUNT_ATTR_RDONLY)
        make: Callable[[str], int] = root.make_directory if is_directory(source) else root.make_file
        place = make(destination)
        try:
            flags = mounts.MOVE_MOUNT_F_EMPTY_PATH | mounts.MOVE_MOUNT_T_EMPTY_PATH
            mounts.move_mount(source, "", place, flags)
        finally:
            os.close(place)
    finally:
        os.close(source)
