"""The options of a volume of the `local` driver: what is mounted when a container uses it.

Owns dockerd's checks of `type`, `device`, `o` and `size`, and the reading of `o` as mount(8) reads it. Mounts
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sampan import errors
from sampan.linux import mounts
from sampan.wire import units

_KNOWN = ("type", "device", "o", "size")
# Option → what it makes no sense without.
_REQUIRED = {"device": ("type",), "type": ("device",), "o": ("device", "type")}

# Word → (does it clear?, flags of mount(2)).
_FLAGS: dict[str, tuple[bool, int]] = {
    "defaults": (False, 0),
    "ro": (False, mounts.MS_RDONLY),
    "rw": (True, mounts.MS_RDONLY),
    "suid": (True, mounts.MS_NOSUID),
    "nosuid": (False, mounts.MS_NOSUID),
    "dev": (True, mounts.MS_NODEV),
    "nodev": (False, mounts.MS_NODEV),
    "exec": (True, mounts.MS_NOEXEC),
    "noexec": (False, mounts.MS_NOEXEC),
    "sync": (False, mounts.MS_SYNCHRONOUS),
    "async": (True, mounts.MS_SYNCHRONOUS),
    "dirsync": (False, mounts.MS_DIRSYNC),
    "remount": (False, mounts.MS_REMOUNT),
    "mand": (False, mounts.MS_MANDLOCK),
    "nomand": (True, mounts.MS_MANDLOCK),
    "atime": (True, mounts.MS_NOATIME),
    "noatime": (False, mounts.MS_NOATIME),
    "diratime": (True, mounts.MS_NODIRATIME),
    "nodiratime": (False, mounts.MS_NODIRATIME),
    "relatime": (False, mounts.MS_RELATIME),
    "norelatime": (True, mounts.MS_RELATIME),
    "strictatime": (False, mounts.MS_STRICTATIME),
    "nostrictatime": (True, mounts.MS_STRICTATIME),
    "bind": (False, mounts.MS_BIND),
    "rbind": (False, mounts.MS_BIND | mounts.MS_REC),
    "unbindable": (False, mounts.MS_UNBINDABLE),
    "runbindable": (False, mounts.MS_UNBINDABLE | mounts.MS_REC),
    "private": (False, mounts.MS_PRIVATE),
    "rprivate": (False, mounts.MS_PRIVATE | mounts.MS_REC),
    "shared": (False, mounts.MS_SHARED),
    "rshared": (False, mounts.MS_SHARED | mounts.MS_REC),
    "slave": (False, mounts.MS_SLAVE),
    "rslave": (False, mounts.MS_SLAVE | mounts.MS_REC),
}
_KINDS_OF_PROPAGATION = mounts.MS_UNBINDABLE | mounts.MS_PRIVATE | mounts.MS_SHARED | mounts.MS_SLAVE


class DeviceMount(msgspec.Struct, frozen=True, kw_only=True):
    """Arguments of mount(2), in two steps: the kernel takes a change of propagation only by itself."""

    type: str
    device: str
    flags: int
    propagation: int
    data: str
    is_loop: bool
    """Whether `device` is a file, to be mounted through a loop device: mount(8), "loop"."""


def check(options: Mapping[str, str]) -> None:
    """Raises InvalidArgument, in dockerd's words, for options that no volume of this driver can have."""
    for name in options:
        if name not in _KNOWN:
            raise errors.InvalidArgument(f'invalid option: "{name}"')
    if "size" in options:
        try:
            size = units.ram_in_bytes(options["size"])
        except ValueError as error:
            raise errors.InvalidArgument(str(error)) from None
        if size > 0:
            raise errors.InvalidArgument("quota size requested but no quota support")
    for name, required in _REQUIRED.items():
        if name in options:
            for other in required:
                if other not in options:
                    raise errors.InvalidArgument(f'missing required option: "{other}"')


def device_mount(options: Mapping[str, str]) -> DeviceMount | None:
    """What checked options mount; None if they mount nothing."""
    if "device" not in options:
        return None
    flags, data, is_loop = 0, [], False
    for word in options.get("o", "").split(","):
        if word in _FLAGS:
            clears, bits = _FLAGS[word]
            flags = flags & ~bits if clears else flags | bits
        elif word == "loop":
            is_loop = True
        elif word:
            data.append(word)
    propagation = flags & _KINDS_OF_PROPAGATION
    return DeviceMount(
        type=options["type"],
        device=options["device"],
        flags=flags & ~_KINDS_OF_PROPAGATION,
        propagation=propagation | flags & mounts.MS_REC if propagation else 0,
        data=",".join(data),
        is_loop=is_loop,
    )
