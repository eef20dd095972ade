"""Mounts of file systems: one operation per entry of `mounts`.

All of them make a detached mount first, give it its attributes, and attach it to the descriptor of its
target. So nothing is ever visible in a state between, and no path is looked up after it was checked.
"""

from __future__ import annotations

import errno
import os

from sampan import errors
from sampan.linux import files, mounts
from sampan.records import dataclass
from sampan.runtime.gotext import go_error
from sampan.runtime.operations import Context, start_failed
from sampan.runtime.operations.copy_up import copy_tree
from sampan.runtime.spec import Mount, MountOptions

# File systems whose superblock is shared with the host, or has to be written before the container may not.
_PER_MOUNT_READ_ONLY = frozenset(("cgroup", "cgroup2", "tmpfs"))

# Mount points of an image that must be plain folders: see `Root.open_plain_directory`.
_PLAIN = frozenset(("/proc", "/sys", "/dev"))

WHOLE_TREE = files.AT_EMPTY_PATH | files.AT_RECURSIVE


@dataclass(frozen=True, slots=True)
class MountFilesystem:
    """Mount a new instance of a file system. A read-only tmpfs is so only after `MakeMountsReadOnly`."""

    mount: Mount
    label: str = ""  # SELinux's

    def describe(self) -> str:
        options = self.mount.options
        data = ",".join((*options.superblock, *options.data))
        return f"mount {self.mount.type} on {self.mount.destination}" + (f" ({data})" if data else "")

    def execute(self, context: Context) -> None:
        try:
            target = open_directory(context, self.mount)
            try:
                self._mount(context, target)
            finally:
                os.close(target)
        except OSError as error:
            raise mount_failed(self.mount, f"mount {self.mount.source}: {go_error(error)}") from error

    def _mount(self, context: Context, target: int) -> None:
        mount, data = self.mount, self.mount.options.data
        if mount.type != "proc":
            refuse_below_procfs(mount, target)
        if mount.type == "tmpfs":
            # Like runc: a tmpfs over a folder of the image has the folder's mode, unless it is given.
            data = (f"mode={os.fstat(target).st_mode & 0o7777:04o}", *data)
        # Files of procfs and sysfs have labels of their own.
        label = "" if mount.type in ("proc", "sysfs") else self.label
        detached = make_filesystem(mount, data, label)
        try:
            if mount.options.copy_up:
                copy_tree(target, detached)
            attach(detached, target, mount, may_be_written=mount.type == "tmpfs")
            remember(context, mount, detached)
        finally:
            os.close(detached)


@dataclass(frozen=True, slots=True)
class Remount:
    """Change the attributes of a mount that is there and, unless it is a bind, its file system's options."""

    mount: Mount

    def describe(self) -> str:
        return f"remount {self.mount.destination}"

    def execute(self, context: Context) -> None:
        try:
            target = context.root.open(self.mount.destination)
            try:
                options = self.mount.options
                if (options.superblock or options.data) and not options.bind:
                    _reconfigure(target, options)
                set_attributes(target, self.mount)
            finally:
                os.close(target)
        except OSError as error:
            raise mount_failed(self.mount, f"remount: {go_error(error)}") from error


@dataclass(frozen=True, slots=True)
class MakeMountsReadOnly:
    """Take back what was left writable until all mount points and devices were made in it."""

    destinations: tuple[str, ...]

    def describe(self) -> str:
        return f"make the mounts read-only {' '.join(self.destinations)}"

    def execute(self, context: Context) -> None:
        for destination in self.destinations:
            set_read_only(context.mounted[destination])


def make_filesystem(mount: Mount, data: tuple[str, ...], label: str = "") -> int:
    """A detached mount of a new instance."""
    filesystem = mounts.fsopen(mount.type)
    try:
        if mount.source:
            mounts.fsconfig_string(filesystem, "source", mount.source)
        if mount.options.read_only and mount.type not in _PER_MOUNT_READ_ONLY:
            mounts.fsconfig_flag(filesystem, "ro")
        if label:
            mounts.fsconfig_string(filesystem, "context", label)
        _configure(filesystem, mount.options.superblock, data)
        mounts.fsconfig_create(filesystem)
        return mounts.fsmount(filesystem)
    finally:
        os.close(filesystem)


def _configure(filesystem: int, flags: tuple[str, ...], data: tuple[str, ...]) -> None:
    for flag in flags:
        mounts.fsconfig_flag(filesystem, flag)
    for word in ",".join(data).split(","):
        key, equals, value = word.partition("=")
        if equals:
            mounts.fsconfig_string(filesystem, key, value)
        elif key:
            mounts.fsconfig_flag(filesystem, key)


def _reconfigure(target: int, options: MountOptions) -> None:
    filesystem = mounts.fspick(target)
    try:
        _configure(filesystem, options.superblock, options.data)
        mounts.fsconfig_reconfigure(filesystem)
    finally:
        os.close(filesystem)


def open_directory(context: Context, mount: Mount) -> int:
    """Open the folder to mount on, made if it is missing."""
    path = mount.destination
    if mount.type not in ("proc", "sysfs") and path not in _PLAIN:
        return context.root.make_directory(path)
    try:
        return context.root.open_plain_directory(path)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            kind = mount.type or "bind"
            why = f'filesystem "{kind}" must be mounted on ordinary directory'
            raise mount_failed(mount, why) from error
        raise


def refuse_below_procfs(mount: Mount, target: int) -> None:
    """The plan has looked at the names; here it shows where they lead."""
    if mounts.filesystem_magic(target) == mounts.PROC_SUPER_MAGIC:
        raise mount_failed(mount, f'"{mount.destination}" cannot be mounted because it is inside /proc')


def remember(context: Context, mount: Mount, detached: int) -> None:
    """Keep a descriptor of what is worked on later: what is masked in /proc and /sys is found through it."""
    path = mount.destination
    if path in ("/proc", "/sys") or (mount.type == "tmpfs" and mount.options.read_only):
        context.mounted[path] = os.dup(detached)


def attach(detached: int, target: int, mount: Mount, *, may_be_written: bool = False) -> None:
    """Attach a detached mount to what `target` is open on, with its attributes and propagation."""
    set_attributes(detached, mount, without=mounts.MOUNT_ATTR_RDONLY if may_be_written else 0)
    attach_over(detached, target)
    # Attaching to a shared parent makes a mount shared: so its propagation comes after.
    for propagation, recursive in mount.options.propagation:
        flags = WHOLE_TREE if recursive else files.AT_EMPTY_PATH
        mounts.mount_setattr("", dir_fd=detached, flags=flags, propagation=propagation)


def attach_over(source: int, target: int) -> None:
    """Attach a detached mount to what `target` is open on, as it is."""
    mounts.move_mount(source, "", target, mounts.MOVE_MOUNT_F_EMPTY_PATH | mounts.MOVE_MOUNT_T_EMPTY_PATH)


def set_attributes(fd: int, mount: Mount, *, without: int = 0) -> None:
    for attributes, flags in (
        (mount.options.attributes, files.AT_EMPTY_PATH),
        (mount.options.recursive_attributes, WHOLE_TREE),
    ):
        if attributes:
            mounts.mount_setattr(
                "",
                dir_fd=fd,
                flags=flags,
                attr_set=attributes.to_set & ~without,
                attr_clr=attributes.to_clear,
            )


def set_read_only(fd: int) -> None:
    mounts.mount_setattr("", dir_fd=fd, flags=files.AT_EMPTY_PATH, attr_set=mounts.MOUNT_ATTR_RDONLY)


def mount_failed(mount: Mount, why: str) -> errors.StartFailed:
    source = mount.source or mount.type
    return start_failed(f'error mounting "{source}" to rootfs at "{mount.destination}": {why}')
