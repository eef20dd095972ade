"""Trees of files that others filled: removed and measured by descriptors, however deep they are.

Owns the `Walk` over a folder, and two uses of it, `remove` and `size`. It neither recurses nor keeps a
descriptor for each level, so a container that nests a million folders costs time only. It does not follow
links, and the way back up is checked: a process that moves a folder away under the walk does not lead it out
of the tree. It may block on the disk.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(path: str) -> None:
    """Remove a file or a whole folder; what is not there is removed already."""
    parent, name = os.path.split(path)
    try:
        parent_fd = os.open(parent, OPEN_FOLDER)
    except FileNotFoundError:
        return
    try:
        remove_at(parent_fd, name)
    finally:
        os.close(parent_fd)


def remove_at(parent_fd: int, name: str) -> None:
    """Remove what has this name in an open folder."""
    folder = _unlink_or_enter(parent_fd, name)
    if folder is None:
        return
    with Walk(folder, _unlink_files) as walk:
        while True:
            child = walk.next_child()
            if child is None:
                if walk.at_top:
                    break
                os.rmdir(walk.leave(), dir_fd=walk.fd)
                continue
            below = _unlink_or_enter(walk.fd, child)
            if below is not None:
                walk.enter(below, child)
    os.rmdir(name, dir_fd=parent_fd)


def size(path: str) -> int:
    """Sum up the sizes of files and links, each inode once: what Docker calls the size of a layer."""
    seen: set[tuple[int, int]] = set()
    total = 0

    def add_files(fd: int) -> list[str]:
        nonlocal total
        folders = []
        with os.scandir(fd) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    # The container that this belongs to may be running.
                    continue
                if stat.S_ISDIR(status.st_mode):
                    folders.append(entry.name)
                elif status.st_nlink == 1 or (status.st_dev, status.st_ino) not in seen:
                    total += status.st_size
                    if status.st_nlink > 1:
                        seen.add((status.st_dev, status.st_ino))
        return folders

    try:
        folder = os.open(path, OPEN_FOLDER)
    except FileNotFoundError:
        return 0
    with Walk(folder, add_files) as walk:
        while True:
            child = walk.next_child()
            if child is None:
                if walk.at_top:
                    return total
                walk.leave()
                continue
            try:
                below = os.open(child, OPEN_FOLDER, dir_fd=walk.fd)
            except OSError:
                continue
            walk.enter(below, child)


class Walk:
    """A depth-first walk with one descriptor. It closes the one that it begins with."""

    def __init__(self, fd: int, visit: Callable[[int], list[str]]) -> None:
        """`visit` is called for each folder and returns the names that `next_child` gives, last one first."""
        self.fd = fd
        self._visit = visit
        self._path: list[tuple[str, tuple[int, int]]] = []
        self._pending: list[list[str]] = []

    def __enter__(self) -> Walk:
        try:
            self._pending.append(self._visit(self.fd))
        except BaseException:
            os.close(self.fd)
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self.fd)

    @property
    def at_top(self) -> bool:
        """Whether this is the folder that the walk began with."""
        return not self._path

    def next_child(self) -> str | None:
        """Return the next name in this folder, or None at its end."""
        return self._pending[-1].pop() if self._pending[-1] else None

    def enter(self, below: int, name: str) -> None:
        """Go down into a folder of this one, by its descriptor."""
        self._path.append((name, _identity(self.fd)))
        os.close(self.fd)
        self.fd = below
        self._pending.append(self._visit(below))

    def leave(self) -> str:
        """Go back up; returns the name of the folder that was left."""
        name, expected = self._path.pop()
        above = os.open("..", OPEN_FOLDER, dir_fd=self.fd)
        os.close(self.fd)
        self.fd = above
        self._pending.pop()
        if _identity(above) != expected:
            raise OSError(errno.ESTALE, f"a folder was moved under a walk: {name}")
        return name


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _unlink_or_enter(parent_fd: int, name: str) -> int | None:
    """Remove what is no folder; return a descriptor of what is one."""
    try:
        return os.open(name, OPEN_FOLDER, dir_fd=parent_fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        # ENOTDIR of a file, ELOOP of a link (both by O_NOFOLLOW | O_DIRECTORY).
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        os.unlink(name, dir_fd=parent_fd)
        return None


def _unlink_files(fd: int) -> list[str]:
    folders = []
    with os.scandir(fd) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=fd)
    return folders
