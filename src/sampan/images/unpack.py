"""A layer's tar unpacked into a folder, whoever wrote the tar.

Owns what a member means as a file: names, parents, whiteouts, links, ownership, times. The folder is an empty
one that only this process sees; the tar is an enemy's. So:

- Every name is split by hand and its parent opened by openat2(2) below the folder, with RESOLVE_BENEATH: a
  way out by `..`, an absolute link or a magic link is refused by the kernel. Links inside the layer are
  followed, since distributions put `lib -> usr/lib` before `lib/x`. The last part of a name is never
  followed.
- A leading slash is stripped, as Docker does; `..` above the top is refused.
- `trusted.overlay.*` attributes speak to overlayfs, so those of a tar are stored escaped and come out as
  data.

Whiteouts become overlayfs's own (kernel documentation, filesystems/overlayfs.rst, "whiteouts and opaque
directories"). They hide what is below the layer, never what is in it (OCI image specification, layer.md).
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Sequence

from sampan import errors
from sampan.images.record import RecordWriter
from sampan.linux import files
from sampan.trees import walk
from sampan.trees.extraction import copy_content
from sampan.wire.tarstream import Entry, Kind, Segment, TarReader

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
AUFS = ".wh..wh."
"""Names that AUFS kept its books under; a tar that has them does not mean files."""

OPAQUE_XATTR = "trusted.overlay.opaque"
_OVERLAY_XATTRS = "trusted.overlay."
_ESCAPED_XATTRS = "trusted.overlay.overlay."
_BENEATH = files.RESOLVE_BENEATH | files.RESOLVE_NO_MAGICLINKS | files.RESOLVE_NO_XDEV
_NO_LINKS = _BENEATH | files.RESOLVE_NO_SYMLINKS
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_MAJOR, _MAX_MINOR = (1 << 12) - 1, (1 << 20) - 1
_SHOWN = 120
_MAX_TIME = (1 << 63) - 1
_OURS = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EROFS)
)
"""Errors that are this machine's fault and not the tar's."""

Path = tuple[str, ...]


def split_name(name: str) -> Path:
    """Return the parts of a member's name below the layer's root; () is the root itself."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not parts:
                raise errors.InvalidArgument(f'invalid tar: {_quoted(name)} is outside of "/"')
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return tuple(parts)


class Unpacker:
    """Unpacks one tar into one empty folder. `size` is the size of the layer, in Docker's way of counting."""

    def __init__(self, root_fd: int, shadow_fd: int, record: RecordWriter, lowers: Sequence[str]) -> None:
        """`shadow_fd`: a folder for content that later members hide; `lowers`: folders, top layer first."""
        self.size = 0
        self._root = root_fd
        self._shadow = shadow_fd
        self._record = record
        self._lowers = lowers
        self._root_path = os.readlink(f"/proc/self/fd/{root_fd}")
        self._contents: dict[str, int] = {}
        self._folder_times: dict[str, int] = {}
        self._whiteouts: set[str] = set()
        self._root_opaque = False
        self._removed = False
        # Members come folder by folder, so the last parent serves most of them.
        self._parent: tuple[Path, int, str] | None = None

    def unpack(self, reader: TarReader) -> None:
        """Unpack all members, then set the times of folders, which creating their files has changed."""
        name = "/"
        try:
            for entry in reader:
                name = entry.name
                self._member(entry, reader)
            self._finish()
        except OSError as error:
            raise failure(name, error) from error
        finally:
            self._forget_parent()

    # Members

    def _member(self, entry: Entry, reader: TarReader) -> None:
        if entry.kind == Kind.GLOBAL:
            return
        path = split_name(entry.name)
        if not path:
            self._root_member(entry)
            return
        if path[-1].startswith(WHITEOUT):
            self._whiteout(path, entry)
            return
        if any(part.startswith(AUFS) for part in path):
            return
        parent, where = self._open_parent(path[:-1])
        name, key = path[-1], _join(where, path[-1])
        if entry.kind == Kind.LINK:
            self._link(entry, parent, name, key)
            return
        exists = self._clear(parent, name, key, keep_folder=entry.kind == Kind.DIRECTORY)
        if entry.kind == Kind.FILE:
            self._file(entry, reader, parent, name, key)
        elif entry.kind == Kind.DIRECTORY:
            self._folder(entry, parent, name, key, exists)
        elif entry.kind == Kind.SYMLINK:
            os.symlink(entry.linkname, name, dir_fd=parent)
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
            self.size += len(os.fsencode(entry.linkname))
            self._dress(entry, parent, name)
        else:
            self._special(entry, parent, name)

    def _file(self, entry: Entry, reader: TarReader, parent: int, name: str, key: str) -> None:
        fd = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        try:
            segments = entry.segments if entry.segments is not None else (Segment(0, entry.size),)
            if entry.size:
                self._contents[key] = self._record.file(key, segments)
            for segment in segments:
                if segment.offset:
                    os.lseek(fd, segment.offset, os.SEEK_SET)
                copy_content(reader, fd, segment.length)
            if entry.segments is not None:
                os.ftruncate(fd, entry.full_size)
            os.fchown(fd, entry.uid, entry.gid)
            # After chown(2), which clears the set-id bits and capabilities.
            os.fchmod(fd, entry.mode)
            _set_xattrs(fd, entry)
            os.utime(fd, ns=_times(entry.mtime_ns))
        finally:
            os.close(fd)
        self.size += entry.full_size if entry.segments is not None else entry.size

    def _folder(self, entry: Entry, parent: int, name: str, key: str, exists: bool) -> None:
        if not exists:
            os.mkdir(name, 0o700, dir_fd=parent)
            if key in self._whiteouts:
                # The tar removed a folder of a lower layer and made a new one: nothing may shine through.
                self._whiteouts.discard(key)
                _set_opaque(parent, name)
        os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        os.chmod(name, entry.mode, dir_fd=parent)
        _set_xattrs(f"/proc/self/fd/{parent}/{name}", entry)
        self._folder_times[key] = entry.mtime_ns

    def _link(self, entry: Entry, parent: int, name: str, key: str) -> None:
        target = split_name(entry.linkname)
        if not target:
            raise errors.InvalidArgument(
                f"invalid tar: hard link {_quoted(entry.name)} to {_quoted(entry.linkname)}"
            )
        target_parent = self._open_folder(target[:-1])
        try:
            if _join(self._where(target_parent), target[-1]) == key:
                return
            self._clear(parent, name, key, keep_folder=False)
            os.link(target[-1], name, src_dir_fd=target_parent, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(target_parent)

    def _special(self, entry: Entry, parent: int, name: str) -> None:
        if entry.kind == Kind.FIFO:
            os.mkfifo(name, 0o600, dir_fd=parent)
        elif entry.kind in (Kind.CHARACTER, Kind.BLOCK):
            if not (0 <= entry.major <= _MAX_MAJOR and 0 <= entry.minor <= _MAX_MINOR):
                raise errors.InvalidArgument(
                    f"invalid tar: device number of {_quoted(entry.name)} out of range"
                )
            kind = stat.S_IFCHR if entry.kind == Kind.CHARACTER else stat.S_IFBLK
            os.mknod(name, kind | 0o600, os.makedev(entry.major, entry.minor), dir_fd=parent)
        else:
            # Docker's words; the number is the type flag's character.
            raise errors.InvalidArgument(f"unhandled tar header type {ord(entry.kind)}")
        os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        os.chmod(name, entry.mode, dir_fd=parent)
        self._dress(entry, parent, name)

    def _root_member(self, entry: Entry) -> None:
        if entry.kind != Kind.DIRECTORY:
            raise errors.InvalidArgument(f"invalid tar: {_quoted(entry.name)} is the root and not a folder")
        path = f"/proc/self/fd/{self._root}"
        os.chown(path, entry.uid, entry.gid)
        os.chmod(path, entry.mode)
        _set_xattrs(path, entry, follow=True)
        self._folder_times[""] = entry.mtime_ns

    def _dress(self, entry: Entry, parent: int, name: str) -> None:
        """Set what a link or a special file has besides owner and mode."""
        _set_xattrs(f"/proc/self/fd/{parent}/{name}", entry)
        os.utime(name, ns=_times(entry.mtime_ns), dir_fd=parent, follow_symlinks=False)

    def _finish(self) -> None:
        if self._root_opaque:
            self._hide_all_below()
        for key, mtime_ns in self._folder_times.items():
            try:
                fd = files.openat2(key or ".", _FOLDER, dir_fd=self._root, resolve=_NO_LINKS)
            except OSError:
                # A later member took the folder's place.
                continue
            try:
                os.utime(f"/proc/self/fd/{fd}", ns=_times(mtime_ns))
            finally:
                os.close(fd)
        if self._removed:
            self.size = walk.size(self._root_path)

    # What is in the way

    def _clear(self, parent: int, name: str, key: str, *, keep_folder: bool) -> bool:
        """Remove what an earlier member put under the name; True if a folder was there and is kept."""
        try:
            status = os.lstat(name, dir_fd=parent)
        except FileNotFoundError:
            return False
        if stat.S_ISDIR(status.st_mode):
            if keep_folder:
                return True
            self._keep_contents_below(key)
            self._forget_times_below(key)
            walk.remove_at(parent, name)
        elif key in self._contents:
            self._keep_content(parent, name, key)
        else:
            os.unlink(name, dir_fd=parent)
        if not keep_folder:
            self._whiteouts.discard(key)
        self._removed = True
        return False

    def _keep_content(self, parent: int, name: str, key: str) -> None:
        """Move a file away that the record refers to: its bytes are still a part of the tar."""
        os.rename(name, str(self._contents.pop(key)), src_dir_fd=parent, dst_dir_fd=self._shadow)

    def _keep_contents_below(self, folder: str) -> None:
        for key in [one for one in self._contents if one.startswith(folder + "/")]:
            where, _, name = key.rpartition("/")
            parent = self._open_folder(tuple(where.split("/")))
            try:
                self._keep_content(parent, name, key)
            finally:
                os.close(parent)

    # Whiteouts

    def _whiteout(self, path: Path, entry: Entry) -> None:
        if path[-1] == OPAQUE:
            if len(path) == 1:
                self._root_opaque = True
                return
            parent, _ = self._open_parent(path[:-1])
            os.setxattr(f"/proc/self/fd/{parent}", OPAQUE_XATTR, b"y")
            return
        if path[-1].startswith(AUFS):
            return
        name = path[-1][len(WHITEOUT) :]
        if name in ("", ".", ".."):
            raise errors.InvalidArgument(f"invalid tar: whiteout {_quoted(entry.name)}")
        parent, where = self._open_parent(path[:-1])
        self._hide(parent, name, _join(where, name))

    def _hide(self, parent: int, name: str, key: str) -> None:
        """Hide what lower layers have under a name; what this layer has there stays."""
        try:
            status = os.lstat(name, dir_fd=parent)
        except FileNotFoundError:
            os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent)
            self._whiteouts.add(key)
        else:
            if stat.S_ISDIR(status.st_mode):
                _set_opaque(parent, name)

    def _hide_all_below(self) -> None:
        """Make the root opaque: overlayfs has no attribute for that, so every lower name is hidden."""
        for lower in self._lowers:
            for name in os.listdir(lower):
                self._hide(self._root, name, name)

    # Parents

    def _open_parent(self, path: Path) -> tuple[int, str]:
        """Return a descriptor (not to be closed) and the real path of a folder, made if it is missing."""
        if self._parent is None or self._parent[0] != path:
            try:
                fd = self._open_folder(path)
            except (FileNotFoundError, NotADirectoryError):
                self._make_folders(path)
                fd = self._open_folder(path)
            self._forget_parent()
            self._parent = (path, fd, self._where(fd))
        return self._parent[1], self._parent[2]

    def _open_folder(self, path: Path) -> int:
        return files.openat2("/".join(path) or ".", _FOLDER, dir_fd=self._root, resolve=_BENEATH)

    def _where(self, fd: int) -> str:
        """Return the path of an open folder below the root, with all links followed."""
        return os.readlink(f"/proc/self/fd/{fd}")[len(self._root_path) + 1 :]

    def _make_folders(self, path: Path) -> None:
        for depth in range(len(path)):
            above = self._open_folder(path[:depth])
            try:
                self._make_folder(above, path[: depth + 1])
            finally:
                os.close(above)

    def _make_folder(self, above: int, path: Path) -> None:
        name, key = path[-1], _join(self._where(above), path[-1])
        hidden = key in self._whiteouts
        if hidden:
            os.unlink(name, dir_fd=above)
            self._whiteouts.discard(key)
        try:
            os.mkdir(name, 0o700, dir_fd=above)
        except FileExistsError:
            # A folder, or a link that openat2 follows next, or refuses.
            return
        os.chmod(name, 0o755, dir_fd=above)
        if hidden:
            _set_opaque(above, name)
        else:
            self._copy_folder_from_below(above, name, path, key)

    def _copy_folder_from_below(self, above: int, name: str, path: Path, key: str) -> None:
        """A folder that the tar only implies keeps the owner, mode and time that it has below."""
        for lower in self._lowers:
            lower_fd = os.open(lower, _FOLDER)
            try:
                fd = files.openat2("/".join(path), _FOLDER, dir_fd=lower_fd, resolve=_NO_LINKS)
            except FileNotFoundError:
                continue
            except OSError:
                # Hidden by a whiteout, or no folder: what is further down does not count.
                return
            finally:
                os.close(lower_fd)
            try:
                status = os.fstat(fd)
            finally:
                os.close(fd)
            os.chown(name, status.st_uid, status.st_gid, dir_fd=above, follow_symlinks=False)
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=above)
            self._folder_times[key] = status.st_mtime_ns
            return

    def _forget_parent(self) -> None:
        if self._parent is not None:
            os.close(self._parent[1])
            self._parent = None

    def _forget_times_below(self, folder: str) -> None:
        for key in [one for one in self._folder_times if one == folder or one.startswith(folder + "/")]:
            del self._folder_times[key]


def _quoted(name: str) -> str:
    """Show a name in one line of bearable length, whatever is in it."""
    shown = name if len(name) <= _SHOWN else name[:_SHOWN] + "…"
    return json.dumps(shown, ensure_ascii=not shown.isprintable())


def _join(where: str, name: str) -> str:
    return f"{where}/{name}" if where else name


def _times(mtime_ns: int) -> tuple[int, int]:
    # A file system's times end somewhere between 2106 and 2446; utimensat(2) clamps what fits its type.
    clamped = max(-_MAX_TIME, min(_MAX_TIME, mtime_ns))
    return clamped, clamped


def _set_opaque(parent: int, name: str) -> None:
    os.setxattr(f"/proc/self/fd/{parent}/{name}", OPAQUE_XATTR, b"y", follow_symlinks=False)


def _set_xattrs(target: int | str, entry: Entry, *, follow: bool = False) -> None:
    for name, value in entry.xattrs.items():
        if name.startswith(_OVERLAY_XATTRS):
            name = _ESCAPED_XATTRS + name[len(_OVERLAY_XATTRS) :]
        try:
            if isinstance(target, int):
                os.setxattr(target, name, value)
            else:
                os.setxattr(target, name, value, follow_symlinks=follow)
        except OSError as error:
            # As Docker does: a file system without them, or user attributes on a link, do not stop an image.
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise


def failure(name: str, error: OSError) -> errors.SampanError:
    """Say whose fault it is that a member could not be written."""
    if error.errno in _OURS:
        return errors.SampanError(f"cannot write the layer: {error.strerror}")
    if error.errno == errno.EXDEV:
        return errors.InvalidArgument(f"invalid tar: {_quoted(name)} leads through a link out of the layer")
    return errors.InvalidArgument(f"invalid tar: {_quoted(name)}: {os.strerror(error.errno or 0)}")
