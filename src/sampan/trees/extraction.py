"""A tar archive made into files, in a tree that is in use: what `cp` writes.

Owns what a member does to what is there already, and the attributes of the new files. Both the archive and
the tree may be an enemy's, so nothing is looked up twice: a folder comes from the function that the caller
gives, new files are made with O_EXCL in it, and their attributes are set by their descriptors. The last part
of a name is never followed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from sampan import errors
from sampan.trees import walk
from sampan.wire.tarstream import Entry, Kind, Segment, TarReader

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_MAJOR, _MAX_MINOR = (1 << 12) - 1, (1 << 20) - 1
_MAX_TIME = (1 << 63) - 1
_NO_XATTRS = (errno.ENOTSUP, errno.EPERM, errno.EINVAL)

Owner = tuple[int, int]
WHO_CALLS: Owner = (-1, -1)
"""Files belong to whoever extracts them, as chown(2) takes -1."""


class Extraction:
    """One archive, extracted into one folder."""

    def __init__(
        self,
        open_folder: Callable[[str], int],
        where: str,
        *,
        keeps_kinds: bool = True,
        owner: Owner | None = None,
        rename: Callable[[str], str] = str,
    ) -> None:
        """`open_folder` opens a folder below the one to extract to (O_PATH will do; "." is itself), by the
        caller's rules for links. `where` is how that one is called in messages.

        `keeps_kinds`: a folder is not replaced by a file, nor a file by a folder. `owner`: of all files,
        instead of the archive's. `rename` is applied to names and to targets of hard links.
        """
        self._open_folder = open_folder
        self._where = where
        self._keeps_kinds = keeps_kinds
        self._owner = owner
        self._rename = rename
        self._times: dict[str, int] = {}
        # Members come folder by folder, so the last parent serves most of them.
        self._parent: tuple[str, int] | None = None

    def run(self, reader: TarReader) -> None:
        """Extract all members. Raises InvalidArgument for an archive that cannot be, SampanError otherwise.

        What was extracted before an error stays.
        """
        name = ""
        try:
            for entry in reader:
                name = entry.name
                self._member(entry, reader)
            self._set_times()
        except OSError as error:
            raise errors.SampanError(f"{self._path(name)}: {_reason(error)}") from error
        finally:
            self._forget_parent()

    def _member(self, entry: Entry, reader: TarReader) -> None:
        if entry.kind == Kind.GLOBAL:
            return
        path = self._inside(entry.name, f'"{entry.name}" is outside of "{self._where}"')
        if not path:
            return  # the folder itself stays as it is
        above, _, name = path.rpartition("/")
        parent = self._open_parent(above)
        if entry.kind == Kind.LINK:
            self._link(entry, parent, name)
            return
        exists = self._make_room(entry, parent, name)
        if entry.kind == Kind.FILE:
            self._file(entry, reader, parent, name)
        elif entry.kind == Kind.DIRECTORY:
            self._folder(entry, parent, name, path, exists)
        elif entry.kind == Kind.SYMLINK:
            os.symlink(entry.linkname, name, dir_fd=parent)
            os.chown(name, *self._ids(entry), dir_fd=parent, follow_symlinks=False)
            os.utime(name, ns=_times(entry), dir_fd=parent, follow_symlinks=False)
        else:
            self._special(entry, parent, name)

    def _inside(self, name: str, refusal: str) -> str:
        parts: list[str] = []
        for part in self._rename(name).split("/"):
            if part == "..":
                if not parts:
                    raise errors.InvalidArgument(refusal)
                parts.pop()
            elif part not in ("", "."):
                parts.append(part)
        return "/".join(parts)

    def _make_room(self, entry: Entry, parent: int, name: str) -> bool:
        """Remove what has the member's name, unless both are folders; then True."""
        try:
            there = stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode)
        except FileNotFoundError:
            return False
        comes = entry.kind == Kind.DIRECTORY
        if there and comes:
            return True
        if self._keeps_kinds and there is not comes:
            one, other = ("directory", "non-directory") if there else ("non-directory", "directory")
            raise errors.InvalidArgument(
                f'cannot overwrite {one} "{self._path(entry.name)}" with {other} "{self._where}"'
            )
        walk.remove_at(parent, name)
        return False

    def _file(self, entry: Entry, reader: TarReader, parent: int, name: str) -> None:
        fd = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        try:
            segments = entry.segments if entry.segments is not None else (Segment(0, entry.size),)
            for segment in segments:
                if segment.offset:
                    os.lseek(fd, segment.offset, os.SEEK_SET)
                copy_content(reader, fd, segment.length)
            if entry.segments is not None:
                os.ftruncate(fd, entry.full_size)
            self._dress(entry, fd, fd)
            os.utime(fd, ns=_times(entry))
        finally:
            os.close(fd)

    def _folder(self, entry: Entry, parent: int, name: str, path: str, exists: bool) -> None:
        if not exists:
            os.mkdir(name, 0o700, dir_fd=parent)
        fd = os.open(name, walk.OPEN_FOLDER, dir_fd=parent)
        try:
            self._dress(entry, fd, fd)
        finally:
            os.close(fd)
        self._times[path] = entry.mtime_ns

    def _link(self, entry: Entry, parent: int, name: str) -> None:
        target = self._inside(
            entry.linkname, f'invalid hardlink "{self._path(entry.name)}" -> "{entry.linkname}"'
        )
        above, _, last = target.rpartition("/")
        source = self._open_folder(above or ".")
        try:
            found = os.lstat(last or ".", dir_fd=source)
            try:
                if os.path.samestat(found, os.lstat(name, dir_fd=parent)):
                    return  # one and the same, and to make room would remove it
            except FileNotFoundError:
                pass
            self._make_room(entry, parent, name)
            os.link(last, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _special(self, entry: Entry, parent: int, name: str) -> None:
        if entry.kind == Kind.FIFO:
            os.mkfifo(name, 0o600, dir_fd=parent)
        elif entry.kind in (Kind.CHARACTER, Kind.BLOCK):
            if not (0 <= entry.major <= _MAX_MAJOR and 0 <= entry.minor <= _MAX_MINOR):
                raise errors.InvalidArgument(f'device number of "{self._path(entry.name)}" out of range')
            kind = stat.S_IFCHR if entry.kind == Kind.CHARACTER else stat.S_IFBLK
            os.mknod(name, kind | 0o600, os.makedev(entry.major, entry.minor), dir_fd=parent)
        else:
            raise errors.InvalidArgument(f"unhandled tar header type {ord(entry.kind)}")
        fd = os.open(name, _LOOK, dir_fd=parent)
        try:
            self._dress(entry, fd, f"/proc/self/fd/{fd}")
            os.utime(f"/proc/self/fd/{fd}", ns=_times(entry))
        finally:
            os.close(fd)

    def _dress(self, entry: Entry, fd: int, target: int | str) -> None:
        """Owner, mode and attributes, in the order in which one does not undo another."""
        ids = self._ids(entry)
        if ids != WHO_CALLS:
            os.chown(target, *ids)
        os.chmod(target, entry.mode)
        for name, value in entry.xattrs.items():
            try:
                os.setxattr(f"/proc/self/fd/{fd}", name, value)
            except OSError as error:
                if error.errno not in _NO_XATTRS:
                    raise

    def _ids(self, entry: Entry) -> Owner:
        return self._owner if self._owner is not None else (entry.uid, entry.gid)

    # --- folders ---

    def _open_parent(self, path: str) -> int:
        """A descriptor, not to be closed, of a folder; made if it is missing."""
        if self._parent is None or self._parent[0] != path:
            fd = self._open_or_make(path)
            self._forget_parent()
            self._parent = (path, fd)
        return self._parent[1]

    def _open_or_make(self, path: str) -> int:
        try:
            return self._open_folder(path or ".")
        except FileNotFoundError:
            pass
        parts = path.split("/")
        for depth, name in enumerate(parts):
            above = self._open_folder("/".join(parts[:depth]) or ".")
            try:
                os.mkdir(name, 0o755, dir_fd=above)
                if self._owner is not None:
                    os.chown(name, *self._owner, dir_fd=above, follow_symlinks=False)
            except FileExistsError:
                pass
            finally:
                os.close(above)
        return self._open_folder(path)

    def _forget_parent(self) -> None:
        if self._parent is not None:
            os.close(self._parent[1])
            self._parent = None

    def _set_times(self) -> None:
        """Last of all: what is made in a folder changes its time."""
        for path, mtime_ns in self._times.items():
            try:
                fd = self._open_folder(path)
            except OSError:
                continue  # a later member, or somebody else, has taken its place
            try:
                os.utime(f"/proc/self/fd/{fd}", ns=(mtime_ns, mtime_ns))
            finally:
                os.close(fd)

    def _path(self, name: str) -> str:
        return os.path.normpath(f"{self._where}/{self._rename(name)}")


def copy_content(reader: TarReader, fd: int, length: int) -> None:
    """Write the next `length` bytes of the member at hand to a file."""
    while length:
        data = memoryview(reader.read(length))
        length -= len(data)
        while data:
            data = data[os.write(fd, data) :]


def _times(entry: Entry) -> tuple[int, int]:
    clamped = max(-_MAX_TIME, min(_MAX_TIME, entry.mtime_ns))
    return clamped, clamped


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()
