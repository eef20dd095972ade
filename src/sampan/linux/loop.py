"""Loop devices: a file as a block device.

Owns the ioctls of /dev/loop-control and /dev/loopN. A device that is made here goes by itself when the last
mount of it does: loop(4), LO_FLAGS_AUTOCLEAR.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os

# include/uapi/linux/loop.h
_LOOP_CONFIGURE = 0x4C0A
_LOOP_CTL_GET_FREE = 0x4C82
_LO_FLAGS_READ_ONLY = 1
_LO_FLAGS_AUTOCLEAR = 4

# Between asking for a free device and taking it, somebody else may.
_ATTEMPTS = 64


class _Info(ctypes.Structure):
    """struct loop_info64."""

    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("device", "inode", "rdevice", "offset", "sizelimit")),
        *((name, ctypes.c_uint32) for name in ("number", "encrypt_type", "encrypt_key_size", "flags")),
        ("file_name", ctypes.c_char * 64),
        ("crypt_name", ctypes.c_char * 64),
        ("encrypt_key", ctypes.c_char * 32),
        ("init", ctypes.c_uint64 * 2),
    )


class _Config(ctypes.Structure):
    """struct loop_config."""

    _fields_ = (
        ("fd", ctypes.c_uint32),
        ("block_size", ctypes.c_uint32),
        ("info", _Info),
        ("reserved", ctypes.c_uint64 * 8),
    )


def attach(path: str, *, read_only: bool = False) -> tuple[int, str]:
    """Make a file a block device. Returns the device, open, and its path.

    Mount it before the descriptor is closed: from then on only the mount holds it. Raises OSError.
    """
    mode = os.O_RDONLY if read_only else os.O_RDWR
    file = os.open(path, mode | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS):
            device_path = f"/dev/loop{_free()}"
            device = os.open(device_path, mode | os.O_CLOEXEC)
            try:
                _configure(device, file, path, read_only)
                return device, device_path
            except BaseException as error:
                os.close(device)
                if not (isinstance(error, OSError) and error.errno == errno.EBUSY):
                    raise
    finally:
        os.close(file)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)


def _free() -> int:
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        return fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
    finally:
        os.close(control)


def _configure(device: int, file: int, path: str, read_only: bool) -> None:
    config = _Config(fd=file)
    config.info.flags = _LO_FLAGS_AUTOCLEAR | (_LO_FLAGS_READ_ONLY if read_only else 0)
    config.info.file_name = os.fsencode(path)[:63]
    fcntl.ioctl(device, _LOOP_CONFIGURE, config)
