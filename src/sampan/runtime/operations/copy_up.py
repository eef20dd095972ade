"""`tmpcopyup`: a tmpfs that begins with what it covers.

Copies through descriptors only, from a folder of the image to a detached mount; follows no symlink.
"""

from __future__ import annotations

import os

_S_IFMT, _S_IFDIR, _S_IFREG, _S_IFLNK = 0o170000, 0o040000, 0o100000, 0o120000
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_tree(source: int, target: int) -> None:
    """Copy the entries of one folder, given by descriptors (which may be O_PATH), into another."""
    reader = os.open(".", _FOLDER, dir_fd=source)
    try:
        for name in os.listdir(reader):
            _copy_entry(name, reader, target)
    finally:
        os.close(reader)


def _copy_entry(name: str, source: int, target: int) -> None:
    found = os.stat(name, dir_fd=source, follow_symlinks=False)
    kind = found.st_mode & _S_IFMT
    if kind == _S_IFLNK:
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    elif kind == _S_IFDIR:
        os.mkdir(name, 0o700, dir_fd=target)
        inner_source = os.open(name, _FOLDER, dir_fd=source)
        try:
            inner_target = os.open(name, _FOLDER, dir_fd=target)
            try:
                copy_tree(inner_source, inner_target)
            finally:
                os.close(inner_target)
        finally:
            os.close(inner_source)
    elif kind == _S_IFREG:
        _copy_file(name, source, target)
    else:
        os.mknod(name, found.st_mode, found.st_rdev, dir_fd=target)
    os.chown(name, found.st_uid, found.st_gid, dir_fd=target, follow_symlinks=False)
    if kind != _S_IFLNK:
        # After chown, which clears the set-id bits.
        os.chmod(name, found.st_mode & 0o7777, dir_fd=target)
    os.utime(name, ns=(found.st_atime_ns, found.st_mtime_ns), dir_fd=target, follow_symlinks=False)


def _copy_file(name: str, source: int, target: int) -> None:
    reader = os.open(name, _READ, dir_fd=source)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        writer = os.open(name, flags, 0o600, dir_fd=target)
        try:
            while os.sendfile(writer, reader, None, 1 << 24):
                pass
        finally:
            os.close(writer)
    finally:
        os.close(reader)
