"""Opening files so that a hostile tree cannot lead elsewhere, and closing what must not be inherited.

Owns openat2, close_range and memfd seals. Every descriptor is close-on-exec.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os

from sampan.linux.syscalls import NUMBERS, c_string, checked, oserror, syscall

# include/uapi/linux/fcntl.h
AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

# include/uapi/linux/openat2.h
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
RESOLVE_CACHED = 0x20

# include/uapi/linux/close_range.h
CLOSE_RANGE_UNSHARE = 0x02
CLOSE_RANGE_CLOEXEC = 0x04
LAST_DESCRIPTOR = 0xFFFFFFFF

# A rename or mount anywhere on the machine while ".." is resolved makes the kernel give up with EAGAIN.
_ATTEMPTS = 128


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def openat2(path: str | bytes, flags: int, *, dir_fd: int = AT_FDCWD, mode: int = 0, resolve: int = 0) -> int:
    """Open a path under the rules of `resolve` (RESOLVE_*): openat2(2)."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    name = c_string(path)
    for _ in range(_ATTEMPTS):
        fd = syscall(NUMBERS["openat2"], dir_fd, name, ctypes.byref(how), ctypes.sizeof(how))
        if fd >= 0:
            return fd
        if ctypes.get_errno() != errno.EAGAIN or resolve & RESOLVE_CACHED:
            break
    raise oserror("openat2", path)


def open_in_root(root_fd: int, path: str | bytes, flags: int, *, mode: int = 0, resolve: int = 0) -> int:
    """Open a path as a process with that root would, but for the magic links of /proc: openat2(2)."""
    return openat2(
        path, flags, dir_fd=root_fd, mode=mode, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve
    )


def close_range(first: int, last: int = LAST_DESCRIPTOR, flags: int = 0) -> None:
    """Close `first` to `last`, or with CLOSE_RANGE_CLOEXEC have execve do it: close_range(2)."""
    checked(syscall(NUMBERS["close_range"], first, last, flags), f"close_range {first}-{last}")


def memfd_seal(fd: int) -> None:
    """Make a memfd (MFD_ALLOW_SEALING) unchangeable for good: fcntl(2), "File Sealing"."""
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    try:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except OSError as error:
        assert error.errno is not None
        raise OSError(error.errno, f"fcntl(F_ADD_SEALS): {os.strerror(error.errno)}") from None


def syncfs(fd: int) -> None:
    """Wait until everything written to the file system that `fd` is on has reached the disk: syncfs(2)."""
    checked(syscall(NUMBERS["syncfs"], fd), "syncfs")
