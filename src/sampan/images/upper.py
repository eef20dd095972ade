"""What a container has written: its upper folder of an overlay against what is below.

Owns the meaning of an upper folder (kernel documentation, filesystems/overlayfs.rst: whiteouts, opaque
folders, copies) as changes in Docker's sense, and as the tar of a layer (OCI image specification, layer.md).
Both folders may belong to a container that runs. No link in them is followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from sampan.images.layers import Change, ChangeKind
from sampan.images.unpack import OPAQUE_XATTR, WHITEOUT
from sampan.linux import files
from sampan.trees import packing
from sampan.trees.walk import OPEN_FOLDER, Walk
from sampan.wire.tarstream import Entry, encode_header

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = files.RESOLVE_BENEATH | files.RESOLVE_NO_SYMLINKS | files.RESOLVE_NO_MAGICLINKS


def changes(upper: int, lower: int) -> list[Change]:
    """What differs, by path. `upper` and `lower` are descriptors of folders, which stay open.

    A folder in which something has changed has changed itself; of a folder that is gone, nothing but its own
    name is told. A file that was copied up and is as it was below has not changed.
    """
    found: dict[str, ChangeKind] = {}
    for path, status in _walk(upper):
        below = _status(lower, path)
        if _is_whiteout(status):
            if below is not None:
                found[path] = ChangeKind.DELETED
        elif below is None:
            found[path] = ChangeKind.ADDED
        elif _differs(status, below):
            found[path] = ChangeKind.MODIFIED
        if below is not None and stat.S_ISDIR(status.st_mode) and _is_opaque(upper, path):
            for name in _names(lower, path):
                child = f"{path}/{name}"
                if _status(upper, child) is None:
                    found[child] = ChangeKind.DELETED
    for path in list(found):
        while path := path.rpartition("/")[0]:
            found.setdefault(path, ChangeKind.MODIFIED)
    return [Change(kind, path) for path, kind in sorted(found.items(), key=lambda item: item[0].split("/"))]


def layer_tar(upper: int, lower: int) -> Iterator[bytes]:
    """The changes as the uncompressed tar of a layer."""
    packer = packing.Packer()
    for change in changes(upper, lower):
        above, _, name = change.path.rpartition("/")
        if change.kind is ChangeKind.DELETED:
            yield encode_header(Entry(name=f"{above}/{WHITEOUT}{name}".lstrip("/"), mode=0))
            continue
        try:
            folder = files.openat2(above.lstrip("/") or ".", _LOOK, dir_fd=upper, resolve=_NO_LINKS)
        except FileNotFoundError:
            continue  # the container is at work
        try:
            yield from packer.one(folder, name, change.path.lstrip("/"))
        except FileNotFoundError:
            continue
        finally:
            os.close(folder)
    yield packing.end()


def _walk(upper: int) -> Iterator[tuple[str, os.stat_result]]:
    """Each path below the folder with what it is, a folder before what is in it."""
    where = [""]
    with Walk(os.open(".", OPEN_FOLDER, dir_fd=upper), os.listdir) as walk:
        while True:
            name = walk.next_child()
            if name is None:
                if walk.at_top:
                    return
                walk.leave()
                where.pop()
                continue
            try:
                status = os.lstat(name, dir_fd=walk.fd)
                path = f"{where[-1]}/{name}"
                yield path, status
                if stat.S_ISDIR(status.st_mode):
                    walk.enter(os.open(name, OPEN_FOLDER, dir_fd=walk.fd), name)
                    where.append(path)
            except (FileNotFoundError, NotADirectoryError):
                continue  # the container is at work


def _status(folder: int, path: str) -> os.stat_result | None:
    try:
        fd = files.openat2(path.lstrip("/"), _LOOK, dir_fd=folder, resolve=_NO_LINKS)
    except OSError:
        return None
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def _names(folder: int, path: str) -> list[str]:
    try:
        fd = files.openat2(path.lstrip("/"), OPEN_FOLDER, dir_fd=folder, resolve=_NO_LINKS)
    except OSError:
        return []
    try:
        return os.listdir(fd)
    finally:
        os.close(fd)


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _is_opaque(folder: int, path: str) -> bool:
    fd = files.openat2(path.lstrip("/"), OPEN_FOLDER, dir_fd=folder, resolve=_NO_LINKS)
    try:
        return os.getxattr(fd, OPAQUE_XATTR) == b"y"
    except OSError:
        return False
    finally:
        os.close(fd)


def _differs(status: os.stat_result, below: os.stat_result) -> bool:
    """moby's pkg/archive: size and time of a folder say nothing of the folder itself."""
    if (status.st_mode, status.st_uid, status.st_gid) != (below.st_mode, below.st_uid, below.st_gid):
        return True
    if stat.S_ISDIR(status.st_mode):
        return False
    return (status.st_size, status.st_mtime_ns, status.st_rdev) != (
        below.st_size,
        below.st_mtime_ns,
        below.st_rdev,
    )
