"""Files as members of a tar archive: what `cp`, `export` and `commit` read.

Owns the order of members (by name, a folder before what is in it), hard links, and which attributes go into
an archive. A tree may belong to a process that changes it meanwhile, so:

- A file is opened for reading only after its descriptor has shown that it is a regular file: a device or a
  FIFO that takes its place is never opened.
- A member has exactly the size that its header says; what vanishes before it is opened is left out.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterator

from sampan.trees.walk import OPEN_FOLDER, Walk
from sampan.wire.tarstream import END_OF_ARCHIVE, Entry, Kind, encode_header, padding

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 18

_KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFCHR: Kind.CHARACTER,
    stat.S_IFBLK: Kind.BLOCK,
    stat.S_IFIFO: Kind.FIFO,
}
_XATTRS = ("user.", "security.capability")
"""The attributes that mean the same on another file system."""

NANOSECONDS = 10**9


class Packer:
    """Members of one archive: it remembers the files that have several names."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, int], str] = {}

    def tree(self, folder: int, name: str, member: str) -> Iterator[bytes]:
        """The file or the whole folder `name` of an open folder, as `member`; "" leaves the top one out.

        Yields pieces of some 256 KiB. Raises OSError.
        """
        return _joined(self._tree(folder, name, member))

    def one(self, folder: int, name: str, member: str) -> Iterator[bytes]:
        """One file, or a folder without what is in it."""
        fd = os.open(name, _LOOK, dir_fd=folder)
        try:
            yield from self._member(fd, member)
        finally:
            os.close(fd)

    def _tree(self, folder: int, name: str, member: str) -> Iterator[bytes]:
        top = os.open(name, _LOOK, dir_fd=folder)
        try:
            if member:
                yield from self._member(top, member)
            if not stat.S_ISDIR(os.fstat(top).st_mode):
                return
            below = os.open(".", OPEN_FOLDER, dir_fd=top)
        finally:
            os.close(top)
        prefixes = [member if member in ("", "/") else f"{member}/"]
        with Walk(below, _names_backwards) as walk:
            while True:
                child = walk.next_child()
                if child is None:
                    if walk.at_top:
                        return
                    walk.leave()
                    prefixes.pop()
                    continue
                inner = yield from self._child(walk.fd, child, prefixes[-1] + child)
                if inner is not None:
                    walk.enter(inner, child)
                    prefixes.append(f"{prefixes[-1]}{child}/")

    def _child(self, folder: int, name: str, member: str) -> Generator[bytes, None, int | None]:
        """One member; returns a descriptor if it is a folder to go on with."""
        try:
            fd = os.open(name, _LOOK, dir_fd=folder)
        except FileNotFoundError:
            return None
        try:
            yield from self._member(fd, member)
            return os.open(".", OPEN_FOLDER, dir_fd=fd) if stat.S_ISDIR(os.fstat(fd).st_mode) else None
        finally:
            os.close(fd)

    def _member(self, fd: int, member: str) -> Iterator[bytes]:
        status = os.fstat(fd)
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            return  # a socket, which is nothing without who listens at it
        linkname = os.readlink("", dir_fd=fd) if kind == Kind.SYMLINK else ""
        if kind == Kind.FILE and status.st_nlink > 1:
            identity = status.st_dev, status.st_ino
            linkname = self._names.setdefault(identity, member)
            if linkname != member:
                kind = Kind.LINK
            else:
                linkname = ""
        name = f"{member.rstrip('/')}/" if kind == Kind.DIRECTORY else member
        entry = _entry(fd, status, name, kind, linkname)
        yield encode_header(entry)
        if kind == Kind.FILE and status.st_size:
            yield from _content(fd, status.st_size)


def end() -> bytes:
    """What follows the last member."""
    return END_OF_ARCHIVE


def _names_backwards(fd: int) -> list[str]:
    return sorted(os.listdir(fd), reverse=True)


def _entry(fd: int, status: os.stat_result, name: str, kind: str, linkname: str) -> Entry:
    is_device = kind in (Kind.CHARACTER, Kind.BLOCK)
    return Entry(
        name=name,
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size if kind == Kind.FILE else 0,
        # Whole seconds, as Docker has them: fractions would double the headers.
        mtime_ns=status.st_mtime_ns // NANOSECONDS * NANOSECONDS,
        linkname=linkname,
        major=os.major(status.st_rdev) if is_device else 0,
        minor=os.minor(status.st_rdev) if is_device else 0,
        xattrs=_xattrs(fd) if kind in (Kind.FILE, Kind.DIRECTORY) else {},
    )


def _xattrs(fd: int) -> dict[str, bytes]:
    path = f"/proc/self/fd/{fd}"
    try:
        return {name: os.getxattr(path, name) for name in os.listxattr(path) if name.startswith(_XATTRS)}
    except OSError:
        return {}  # a file system without them, or a file whose they are no more


def _content(fd: int, size: int) -> Iterator[bytes]:
    """Exactly `size` bytes and their padding, whatever happens to the file meanwhile."""
    left = size
    reading = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        while left:
            data = os.read(reading, min(left, _CHUNK))
            if not data:
                break
            left -= len(data)
            yield data
    finally:
        os.close(reading)
    while left:
        zeros = bytes(min(left, _CHUNK))
        left -= len(zeros)
        yield zeros
    yield padding(size)


def _joined(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Small pieces put together: each one costs its receiver as much as a big one."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _CHUNK:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)
