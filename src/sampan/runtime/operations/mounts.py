"""Mounts: one operation per entry of `mounts`, and the two kinds of cgroup mount.

All of them make a detached mount first, give it its attributes, and attach it to the descriptor of its
target. So nothing is ever visible in a state between, and no path is looked up after it was checked.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from sampan import errors
from sampan.linux import files, mounts
from sampan.runtime import confined
from sampan.runtime.gotext import go_error
from sampan.runtime.operations import Context, start_failed
from sampan.runtime.operations.copy_up import copy_tree
from sampan.runtime.spec import Attributes, Mount

# File systems whose superblock is shared with the host or has no read-only state of its own: "ro" is the
# mount's.
_PER_MOUNT_READ_ONLY = frozenset(("proc", "sysfs", "cgroup", "cgroup2", "mqueue", "devpts", "tmpfs"))

# Mount points of an image that must be plain folders: see `Root.open_plain_directory`.
_PLAIN = frozenset(("/proc", "/sys", "/dev"))


@dataclass(frozen=True, slots=True)
class MountFilesystem:
    """Mount a new instance of a file system."""

    mount: Mount

    def describe(self) -> str:
        options = self.mount.options
        data = ",".join((*options.superblock, *options.data))
        return f"mount {self.mount.type} on {self.mount.destination}" + (f" ({data})" if data else "")

    def execute(self, context: Context) -> None:
        target = -1
        try:
            target = _target_directory(context, self.mount)
            if self.mount.type != "proc" and mounts.filesystem_magic(target) == mounts.PROC_SUPER_MAGIC:
                raise start_failed(f'"{self.mount.destination}" cannot be mounted because it is inside /proc')
            data = self.mount.options.data
            if self.mount.type == "tmpfs":
                # Like runc: a tmpfs over a folder of the image has the folder's mode, unless it is given.
                data = (f"mode={os.fstat(target).st_mode & 0o7777:04o}", *data)
            detached = make_filesystem(self.mount, data)
            try:
                if self.mount.options.copy_up:
                    copy_tree(target, detached)
                attach(detached, target, self.mount)
                _remember(context, self.mount, detached)
            finally:
                os.close(detached)
        except OSError as error:
            raise mount_failed(self.mount, self.mount.type, error) from error
        finally:
            if target >= 0:
                os.close(target)


@dataclass(frozen=True, slots=True)
class BindMount:
    """Make a file or folder of the host, or what the caller has opened of it, appear in the container."""

    mount: Mount
    stays_shared: bool  # without a word about propagation, keep what the source has

    def describe(self) -> str:
        kind = "rbind" if self.mount.options.recursive_bind else "bind"
        return f"{kind} {self.mount.source} on {self.mount.destination}"

    def execute(self, context: Context) -> None:
        target = -1
        try:
            detached, owned = self._source(context)
            try:
                if confined.is_directory(detached):
                    target = _target_directory(context, self.mount)
                else:
                    target = context.root.make_file(self.mount.destination)
                _check_procfs(self.mount, detached, target)
                if not self.mount.options.propagation and not self.stays_shared:
                    # The clone of a shared mount is shared with the host: what the container mounts would
                    # show there.
                    mounts.mount_setattr("", dir_fd=detached, flags=_WHOLE_TREE, propagation=mounts.MS_SLAVE)
                attach(detached, target, self.mount)
                _remember(context, self.mount, detached)
            finally:
                if owned:
                    os.close(detached)
        except OSError as error:
            raise mount_failed(self.mount, f"{self.mount.source}:{self.mount.destination}", error) from error
        finally:
            if target >= 0:
                os.close(target)

    def _source(self, context: Context) -> tuple[int, bool]:
        given = context.mount_sources.get(self.mount.destination)
        if given is not None:
            return given, False
        flags = mounts.OPEN_TREE_CLONE | mounts.OPEN_TREE_CLOEXEC
        if self.mount.options.recursive_bind:
            flags |= files.AT_RECURSIVE
        return mounts.open_tree(os.path.join(context.bundle, self.mount.source), flags), True


@dataclass(frozen=True, slots=True)
class Remount:
    """Change the attributes of what is mounted already."""

    mount: Mount

    def describe(self) -> str:
        return f"remount {self.mount.destination}"

    def execute(self, context: Context) -> None:
        try:
            target = context.root.open(self.mount.destination)
            try:
                set_attributes(target, self.mount)
            finally:
                os.close(target)
        except OSError as error:
            raise mount_failed(self.mount, self.mount.destination, error) from error


_WHOLE_TREE = files.AT_EMPTY_PATH | files.AT_RECURSIVE


def make_filesystem(mount: Mount, data: tuple[str, ...]) -> int:
    """A detached mount of a new instance, with its attributes set."""
    filesystem = mounts.fsopen(mount.type)
    try:
        if mount.source:
            mounts.fsconfig_string(filesystem, "source", mount.source)
        for flag in mount.options.superblock:
            mounts.fsconfig_flag(filesystem, flag)
        if mount.options.read_only and mount.type not in _PER_MOUNT_READ_ONLY:
            mounts.fsconfig_flag(filesystem, "ro")
        for word in ",".join(data).split(","):
            key, equals, value = word.partition("=")
            if equals:
                mounts.fsconfig_string(filesystem, key, value)
            elif key:
                mounts.fsconfig_flag(filesystem, key)
        mounts.fsconfig_create(filesystem)
        return mounts.fsmount(filesystem, mount.options.attributes.to_set)
    finally:
        os.close(filesystem)


def _target_directory(context: Context, mount: Mount) -> int:
    path = mount.destination.rstrip("/") or "/"
    if mount.type not in ("proc", "sysfs") and path not in _PLAIN:
        return context.root.make_directory(path)
    try:
        return context.root.open_plain_directory(path)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            kind = mount.type or "bind"
            raise start_failed(f'filesystem "{kind}" must be mounted on ordinary directory') from error
        raise


def _check_procfs(mount: Mount, source: int, target: int) -> None:
    """The plan has looked at the names; here it shows where they lead."""
    if mount.destination.rstrip("/") == "/proc":
        if mounts.filesystem_magic(source) != mounts.PROC_SUPER_MAGIC:
            raise start_failed('"/proc" cannot be mounted because it is not of type proc')
    elif (
        not mount.destination.startswith("/proc/")
        and mounts.filesystem_magic(target) == mounts.PROC_SUPER_MAGIC
    ):
        raise start_failed(f'"{mount.destination}" cannot be mounted because it is inside /proc')


def _remember(context: Context, mount: Mount, detached: int) -> None:
    """Keep a descriptor of the container's /proc and /sys: what is masked there is found through it."""
    path = mount.destination.rstrip("/")
    if path in ("/proc", "/sys"):
        context.mounted[path] = os.dup(detached)


def attach(detached: int, target: int, mount: Mount) -> None:
    """Attach a detached mount to what `target` is open on, with the attributes and propagation that were
    asked for.
    """
    set_attributes(detached, mount)
    mounts.move_mount(detached, "", target, mounts.MOVE_MOUNT_F_EMPTY_PATH | mounts.MOVE_MOUNT_T_EMPTY_PATH)
    # Attaching to a shared parent makes a mount shared: so its propagation comes after.
    for propagation, recursive in mount.options.propagation:
        flags = files.AT_EMPTY_PATH | (files.AT_RECURSIVE if recursive else 0)
        mounts.mount_setattr("", dir_fd=detached, flags=flags, propagation=propagation)


def set_attributes(fd: int, mount: Mount) -> None:
    for attributes, flags in (
        (mount.options.attributes, files.AT_EMPTY_PATH),
        (mount.options.recursive_attributes, _WHOLE_TREE),
    ):
        if attributes:
            mounts.mount_setattr(
                "", dir_fd=fd, flags=flags, attr_set=attributes.to_set, attr_clr=attributes.to_clear
            )


def set_read_only(fd: int, *, recursive: bool = False) -> None:
    attributes = Attributes(to_set=mounts.MOUNT_ATTR_RDONLY)
    flags = _WHOLE_TREE if recursive else files.AT_EMPTY_PATH
    mounts.mount_setattr("", dir_fd=fd, flags=flags, attr_set=attributes.to_set)


def mount_failed(mount: Mount, what: str, error: OSError) -> errors.StartFailed:
    source = mount.source or mount.type
    return start_failed(
        f'error mounting "{source}" to rootfs at "{mount.destination}": mount {what}: {go_error(error)}'
    )
