"""Mounts: the old call and the new mount API, attributes, propagation, and reading what is mounted.

Owns mount(2) to mount_setattr(2) and the format of mountinfo. A detached mount is a descriptor here, always
close-on-exec: it vanishes with its last descriptor unless it is moved somewhere.
"""

from __future__ import annotations

import ctypes
import os

from sampan.linux.files import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_RECURSIVE,
    RESOLVE_BENEATH,
    RESOLVE_NO_MAGICLINKS,
    openat2,
)
from sampan.linux.syscalls import NUMBERS, c_string, checked, oserror, syscall
from sampan.records import dataclass

# include/uapi/linux/mount.h
MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_SYNCHRONOUS = 0x10
MS_REMOUNT = 0x20
MS_MANDLOCK = 0x40
MS_DIRSYNC = 0x80
MS_NOSYMFOLLOW = 0x100
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_SILENT = 0x8000
MS_UNBINDABLE = 0x20000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000
MS_RELATIME = 0x200000
MS_STRICTATIME = 0x1000000
MS_LAZYTIME = 0x2000000

MNT_FORCE = 0x1
MNT_DETACH = 0x2
MNT_EXPIRE = 0x4
UMOUNT_NOFOLLOW = 0x8

OPEN_TREE_CLONE = 0x1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC

MOVE_MOUNT_F_SYMLINKS = 0x01
MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOVE_MOUNT_T_SYMLINKS = 0x10
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOVE_MOUNT_SET_GROUP = 0x100
MOVE_MOUNT_BENEATH = 0x200

MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_NOEXEC = 0x08
MOUNT_ATTR__ATIME = 0x70
MOUNT_ATTR_RELATIME = 0x00
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000

_FSOPEN_CLOEXEC = 0x1
_FSMOUNT_CLOEXEC = 0x1
_FSCONFIG_SET_FLAG = 0
_FSCONFIG_SET_STRING = 1
_FSCONFIG_SET_FD = 5
_FSCONFIG_CMD_CREATE = 6
_FSCONFIG_CMD_RECONFIGURE = 7
_FSPICK_CLOEXEC = 0x1
_FSPICK_EMPTY_PATH = 0x8

# include/uapi/linux/magic.h
BPF_FS_MAGIC = 0xCAFE4A11
CGROUP2_SUPER_MAGIC = 0x63677270
CGROUP_SUPER_MAGIC = 0x27E0EB
DEVPTS_SUPER_MAGIC = 0x1CD1
EROFS_SUPER_MAGIC_V1 = 0xE0F5E1E2
NSFS_MAGIC = 0x6E736673
OVERLAYFS_SUPER_MAGIC = 0x794C7630
PROC_SUPER_MAGIC = 0x9FA0
SYSFS_MAGIC = 0x62656572
TMPFS_MAGIC = 0x01021994


def mount(
    source: str | None, target: str, fstype: str | None = None, flags: int = 0, data: str | None = None
) -> None:
    """Mount, bind, move, remount or change propagation, as the flags say: mount(2)."""
    texts = (c_string(text or "") for text in (source, target, fstype))
    checked(syscall(NUMBERS["mount"], *texts, flags, c_string(data) if data else None), "mount", target)


def umount2(target: str, flags: int = 0) -> None:
    """Take a mount away: umount2(2)."""
    checked(syscall(NUMBERS["umount2"], c_string(target), flags), "umount2", target)


def pivot_root(new: str, old: str) -> None:
    """Make the mount at `new` the root, and put the old root at `old` (both may be "."): pivot_root(2)."""
    checked(syscall(NUMBERS["pivot_root"], c_string(new), c_string(old)), "pivot_root", new)


def fsopen(fstype: str) -> int:
    """Begin to make a file system: fsopen(2)."""
    return checked(syscall(NUMBERS["fsopen"], c_string(fstype), _FSOPEN_CLOEXEC), f"fsopen {fstype}")


def fsconfig_string(fd: int, key: str, value: str) -> None:
    """Set an option that has a value: fsconfig(2). Overlay's "lowerdir+" (Linux 6.7) appends."""
    if syscall(NUMBERS["fsconfig"], fd, _FSCONFIG_SET_STRING, c_string(key), c_string(value), 0) < 0:
        raise _context_error(fd, f"fsconfig {key}={value}")


def fsconfig_flag(fd: int, key: str) -> None:
    """Set an option that is a word alone: fsconfig(2)."""
    if syscall(NUMBERS["fsconfig"], fd, _FSCONFIG_SET_FLAG, c_string(key), None, 0) < 0:
        raise _context_error(fd, f"fsconfig {key}")


def fsconfig_fd(fd: int, key: str, value: int) -> None:
    """Set an option to an open file, such as overlay's "lowerdir+" (Linux 6.13): fsconfig(2)."""
    if syscall(NUMBERS["fsconfig"], fd, _FSCONFIG_SET_FD, c_string(key), None, value) < 0:
        raise _context_error(fd, f"fsconfig {key}=<descriptor {value}>")


def fsconfig_create(fd: int) -> None:
    """Create the file system from the options set so far: fsconfig(2)."""
    if syscall(NUMBERS["fsconfig"], fd, _FSCONFIG_CMD_CREATE, None, None, 0) < 0:
        raise _context_error(fd, "fsconfig create")


def fspick(fd: int) -> int:
    """Begin to reconfigure the file system that `fd` (the root of a mount) is on: fspick(2)."""
    flags = _FSPICK_CLOEXEC | _FSPICK_EMPTY_PATH
    return checked(syscall(NUMBERS["fspick"], fd, b"", flags), "fspick")


def fsconfig_reconfigure(fd: int) -> None:
    """Give the file system picked by `fspick` the options set so far: fsconfig(2)."""
    if syscall(NUMBERS["fsconfig"], fd, _FSCONFIG_CMD_RECONFIGURE, None, None, 0) < 0:
        raise _context_error(fd, "fsconfig reconfigure")


def _context_error(fd: int, operation: str) -> OSError:
    """The error of fsconfig, with the messages that the file system has left at its descriptor."""
    number = ctypes.get_errno()
    messages = []
    try:
        while message := os.read(fd, 4096):
            # "e overlay: ..." is an error, "w ..." a warning, "i ..." for information.
            messages.append(os.fsdecode(message).strip()[2:])
    except OSError:
        pass  # ENODATA: that was the last one
    ctypes.set_errno(number)
    return oserror(operation, detail="; ".join(messages))


def fsmount(fd: int, attributes: int = 0) -> int:
    """A detached mount (MOUNT_ATTR_*) of the file system made by now, as an O_PATH descriptor: fsmount(2)."""
    return checked(syscall(NUMBERS["fsmount"], fd, _FSMOUNT_CLOEXEC, attributes), "fsmount")


def open_tree(path: str, flags: int, dir_fd: int = AT_FDCWD) -> int:
    """Open a mount, or with OPEN_TREE_CLONE a detached copy of it: open_tree(2).

    AT_RECURSIVE copies the mounts below as well; AT_EMPTY_PATH takes `dir_fd` itself.
    """
    flags |= OPEN_TREE_CLOEXEC
    return checked(syscall(NUMBERS["open_tree"], dir_fd, c_string(path), flags), "open_tree", path)


def clone_beneath(root: int, path: str) -> int:
    """A detached copy of what is at `path` below a folder, with the mounts below it.

    Raises OSError; EXDEV if a link leads out of the folder. Before Linux 6.15, EINVAL where `root` is on a
    detached mount itself.
    """
    found = openat2(path, os.O_PATH, dir_fd=root, resolve=RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
    try:
        return open_tree("", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE, found)
    finally:
        os.close(found)


def move_mount(
    from_fd: int,
    to_path: str,
    to_dir_fd: int = AT_FDCWD,
    flags: int = MOVE_MOUNT_F_EMPTY_PATH,
    from_path: str = "",
) -> None:
    """Attach a detached mount, or move one: move_mount(2)."""
    moved = syscall(NUMBERS["move_mount"], from_fd, c_string(from_path), to_dir_fd, c_string(to_path), flags)
    checked(moved, "move_mount", to_path)


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def mount_setattr(
    path: str,
    *,
    dir_fd: int = AT_FDCWD,
    flags: int = 0,
    attr_set: int = 0,
    attr_clr: int = 0,
    propagation: int = 0,
    userns_fd: int | None = None,
) -> None:
    """Change attributes and propagation of a mount, or (AT_RECURSIVE) of a tree as a whole: mount_setattr(2).

    One of the access time modes is set by clearing MOUNT_ATTR__ATIME along with it. `userns_fd` is for
    MOUNT_ATTR_IDMAP.
    """
    attributes = _MountAttributes(attr_set, attr_clr, propagation, userns_fd or 0)
    size = ctypes.sizeof(attributes)
    done = syscall(NUMBERS["mount_setattr"], dir_fd, c_string(path), flags, ctypes.byref(attributes), size)
    checked(done, "mount_setattr", path)


def filesystem_magic(fd: int) -> int:
    """What kind of file system a descriptor is on (*_MAGIC); O_PATH will do: fstatfs(2)."""
    buffer = (ctypes.c_uint64 * 15)()  # struct statfs: 120 bytes, f_type first
    checked(syscall(NUMBERS["fstatfs"], fd, buffer), "fstatfs")
    return buffer[0]


_STATX_MNT_ID = 0x1000
_STATX_SIZE, _STX_MNT_ID = 256, 0x90


def mount_id(fd: int) -> int:
    """The id, as in mountinfo, of the mount that a descriptor is on: statx(2), STATX_MNT_ID (Linux 5.8)."""
    buffer = (ctypes.c_uint8 * _STATX_SIZE)()
    checked(syscall(NUMBERS["statx"], fd, b"", AT_EMPTY_PATH, _STATX_MNT_ID, buffer), "statx")
    return int.from_bytes(buffer[_STX_MNT_ID : _STX_MNT_ID + 8], "little")


@dataclass(frozen=True, slots=True)
class MountInfo:
    """A line of /proc/PID/mountinfo: proc_pid_mountinfo(5)."""

    mount_id: int
    parent_id: int
    device: int
    root: str
    mount_point: str
    options: tuple[str, ...]
    propagation: tuple[str, ...]  # the optional fields: "shared:1", "master:2", "unbindable"
    filesystem: str
    source: str
    super_options: str  # in one piece: what a comma means in it is the file system's business

    @property
    def is_shared(self) -> bool:
        """Whether mounts below it appear in other namespaces: mount_namespaces(7)."""
        return any(field.startswith("shared:") for field in self.propagation)


def read_mountinfo(path: str = "/proc/self/mountinfo") -> list[MountInfo]:
    """The mounts of a mount namespace, parents before their children."""
    with open(path, "rb", buffering=0) as file:
        return [parse_mountinfo_line(line) for line in file.read().splitlines()]


def parse_mountinfo_line(line: bytes) -> MountInfo:
    """One line, without its end. Blanks, tabs, newlines and backslashes in a path are octal escapes in it."""
    fields = os.fsdecode(line).split(" ")
    end = fields.index("-", 6)
    major, _, minor = fields[2].partition(":")
    return MountInfo(
        mount_id=int(fields[0]),
        parent_id=int(fields[1]),
        device=os.makedev(int(major), int(minor)),
        root=_unescaped(fields[3]),
        mount_point=_unescaped(fields[4]),
        options=tuple(fields[5].split(",")),
        propagation=tuple(fields[6:end]),
        filesystem=_unescaped(fields[end + 1]),
        source=_unescaped(fields[end + 2]),
        super_options=_unescaped(fields[end + 3]),
    )


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    first, *rest = text.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)
