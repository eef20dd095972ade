"""A volume whose content is elsewhere: its device, mounted on the volume's folder while it is used.

Owns the mount, in the engine's own mount namespace so that it outlives the engine with the containers that
use it, and dockerd's words for what the kernel does not mount.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

from sampan import errors
from sampan.linux import loop, mounts
from sampan.volumes.options import DeviceMount

_NETWORK_TYPES = ("nfs", "nfs4", "cifs")
_BIND_READ_ONLY = mounts.MS_BIND | mounts.MS_RDONLY

# Where Go's words for an error are not the C library's in lower case.
_GOS_WORDS = {errno.EINVAL: "invalid argument", errno.ENOTBLK: "block device required"}


def is_attached(path: str) -> bool:
    """Whether something is mounted on a volume's folder."""
    return _mount_id(path) != _mount_id(os.path.dirname(path))


def attach(mount: DeviceMount, path: str) -> None:
    """Mount a volume's device. Raises SampanError."""
    data = _with_address(mount)
    device, held = mount.device, -1
    try:
        if mount.is_loop:
            held, device = loop.attach(mount.device, read_only=bool(mount.flags & mounts.MS_RDONLY))
        mounts.mount(device, path, mount.type, mount.flags, data)
        try:
            if mount.propagation:
                mounts.mount(None, path, None, mount.propagation)
            if mount.flags & _BIND_READ_ONLY == _BIND_READ_ONLY:
                # The kernel ignores "read-only" when a bind is made.
                mounts.mount(None, path, None, mount.flags | mounts.MS_REMOUNT)
        except BaseException:
            detach(path)
            raise
    except OSError as error:
        number = error.errno or 0
        raise errors.SampanError(
            f"error while mounting volume '{path}': failed to mount local volume: "
            f"{_told(mount, path, data)}: " + (_GOS_WORDS.get(number) or os.strerror(number).lower())
        ) from None
    finally:
        if held >= 0:
            os.close(held)


def detach(path: str) -> None:
    """Unmount a volume's device; whoever has a copy of the mount keeps it. Raises OSError."""
    mounts.umount2(path, mounts.MNT_DETACH | mounts.UMOUNT_NOFOLLOW)


def _mount_id(path: str) -> int:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        return mounts.mount_id(fd)
    finally:
        os.close(fd)


def _told(mount: DeviceMount, path: str, data: str) -> str:
    """The call as dockerd tells it, but never a password."""
    words = ["password=********" if word.startswith("password=") else word for word in data.split(",")]
    flags = f", flags: 0x{mount.flags:x}" if mount.flags else ""
    return f"mount {mount.device}:{path}{flags}" + (f", data: {','.join(words)}" if data else "")


def _with_address(mount: DeviceMount) -> str:
    """The data of a network file system with the server's name resolved, which the kernel does not do."""
    if mount.type not in _NETWORK_TYPES:
        return mount.data
    words = mount.data.split(",")
    for index, word in enumerate(words):
        name = word.removeprefix("addr=")
        if name != word and name and not _is_address(name):
            try:
                found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            except OSError as error:
                raise errors.SampanError(
                    f"error resolving passed in network volume address: lookup {name}: {error.strerror}"
                ) from None
            words[index] = f"addr={found[0][4][0]}"
            break
    return ",".join(words)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
