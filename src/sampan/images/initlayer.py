"""The mount points that a container needs and an image may lack: Docker's "init layer".

Owns the list and how each is made. The names are an image's, so each is opened by openat2(2) with
RESOLVE_IN_ROOT below a mount of the image: a link of the image leads to where the container would see it
lead, never outside. What is there already stays, but for links in the place of the files that are mounted
over, and `/etc/mtab`: those Docker replaces too (moby, daemon/initlayer).
"""

from __future__ import annotations

import errno
import os
import stat

from sampan.linux import files

FOLDERS = ("dev/pts", "dev/shm", "proc", "sys")
FILES = (".dockerenv", "etc/resolv.conf", "etc/hosts", "etc/hostname", "dev/console")
LINKS = (("etc/mtab", "/proc/mounts"),)

_IN_ROOT = files.RESOLVE_IN_ROOT | files.RESOLVE_NO_MAGICLINKS
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def populate(root_fd: int) -> None:
    """Make what is missing below a mounted root."""
    for path in FOLDERS:
        os.close(_enter(root_fd, path))
    for path in FILES:
        folder, name = os.path.split(path)
        fd = _enter(root_fd, folder)
        try:
            _make_file(fd, name)
        finally:
            os.close(fd)
    for path, target in LINKS:
        folder, name = os.path.split(path)
        fd = _enter(root_fd, folder)
        try:
            _make_link(fd, name, target)
        finally:
            os.close(fd)


def _enter(root_fd: int, path: str) -> int:
    """Open a folder below the root, after making what is missing of it."""
    fd = os.open(".", _FOLDER, dir_fd=root_fd)
    parts = path.split("/") if path else []
    for depth, name in enumerate(parts, 1):
        try:
            below = _open_or_make(root_fd, fd, "/".join(parts[:depth]), name)
        finally:
            os.close(fd)
        fd = below
    return fd


def _open_or_make(root_fd: int, above: int, path: str, name: str) -> int:
    try:
        return files.openat2(path, _FOLDER, dir_fd=root_fd, resolve=_IN_ROOT)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
    # Missing, a file, or a link to nowhere: in its place comes a folder, as Docker makes one.
    _unlink(above, name)
    os.mkdir(name, 0o755, dir_fd=above)
    os.chmod(name, 0o755, dir_fd=above)
    return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=above)


def _make_file(fd: int, name: str) -> None:
    try:
        if not stat.S_ISLNK(os.lstat(name, dir_fd=fd).st_mode):
            return
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        pass
    new = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o755, dir_fd=fd)
    try:
        os.fchmod(new, 0o755)
    finally:
        os.close(new)


def _make_link(fd: int, name: str, target: str) -> None:
    try:
        if os.readlink(name, dir_fd=fd) == target:
            return
    except OSError as error:
        # EINVAL: there is something, and it is no link.
        if error.errno not in (errno.ENOENT, errno.EINVAL):
            raise
    try:
        _unlink(fd, name)
    except IsADirectoryError:
        return
    os.symlink(target, name, dir_fd=fd)


def _unlink(fd: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        pass
