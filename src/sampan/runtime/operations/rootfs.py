"""The root file system: attached first, made the root last, and nothing of the host left behind it."""

from __future__ import annotations

import os

from sampan.linux import files, mounts
from sampan.records import dataclass
from sampan.runtime.confined import Root
from sampan.runtime.gotext import go_error
from sampan.runtime.operations import Context, start_failed
from sampan.runtime.operations.mounts import set_read_only


@dataclass(frozen=True, slots=True)
class PrepareNamespace:
    """Decide what mounts and unmounts of the host and of the container tell each other."""

    propagation: int
    recursive: bool

    def describe(self) -> str:
        return "set the propagation of the new mount namespace"

    def execute(self, context: Context) -> None:
        flags = self.propagation | (mounts.MS_REC if self.recursive else 0)
        mounts.mount("", "/", "", flags, "")


@dataclass(frozen=True, slots=True)
class AttachRootfs:
    """Mount the root: the detached mount that was given, or a bind of the bundle's `root.path`."""

    path: str

    def describe(self) -> str:
        return f"mount {self.path} as the root file system"

    def execute(self, context: Context) -> None:
        path = os.path.join(context.bundle, self.path)
        detached = context.rootfs
        try:
            place = path if os.path.isdir(path) else context.bundle
            _make_private(place)
            if detached is None:
                flags = mounts.OPEN_TREE_CLONE | mounts.OPEN_TREE_CLOEXEC | files.AT_RECURSIVE
                detached = mounts.open_tree(path, flags)
            # pivot_root(2): neither the new root nor its parent may be shared; ours must not show on the host
            # either. Like runc's, the clone of a slave stays one.
            mounts.mount_setattr("", dir_fd=detached, flags=files.AT_EMPTY_PATH, propagation=mounts.MS_SLAVE)
            mounts.move_mount(detached, place, flags=mounts.MOVE_MOUNT_F_EMPTY_PATH)
        except OSError as error:
            raise start_failed(
                f"error preparing rootfs: {error.filename or path}: {go_error(error)}"
            ) from error
        os.fchdir(detached)
        context.attached_root = Root(detached)


def _make_private(path: str) -> None:
    """Take the mount that holds `path` out of its peer group, if rootfsPropagation has left it in one."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        mount_id = mounts.mount_id(fd)
    finally:
        os.close(fd)
    for entry in mounts.read_mountinfo("/proc/self/mountinfo"):
        if entry.mount_id == mount_id and entry.is_shared:
            mounts.mount("", entry.mount_point, "", mounts.MS_PRIVATE, "")


@dataclass(frozen=True, slots=True)
class PivotRoot:
    """Make the rootfs the root, and let go of everything else."""

    def describe(self) -> str:
        return "pivot_root and detach the host's mounts"

    def execute(self, context: Context) -> None:
        old_root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fchdir(context.root.fd)
        # pivot_root(2), NOTES: so the old root ends up on top of the new one, and needs no folder.
        mounts.pivot_root(".", ".")
        # "." is still the new root here, and its mounts must keep their propagation.
        os.fchdir(old_root)
        os.close(old_root)
        # The unmount must not travel to the host.
        mounts.mount("", ".", "", mounts.MS_SLAVE | mounts.MS_REC, "")
        mounts.umount2(".", mounts.MNT_DETACH)
        os.chdir("/")


@dataclass(frozen=True, slots=True)
class SetRootPropagation:
    """`linux.rootfsPropagation`, as the container sees it."""

    propagation: int
    recursive: bool

    def describe(self) -> str:
        return "set the propagation of the root file system"

    def execute(self, context: Context) -> None:
        mounts.mount("", "/", "", self.propagation | (mounts.MS_REC if self.recursive else 0), "")


@dataclass(frozen=True, slots=True)
class MakeRootReadOnly:
    def describe(self) -> str:
        return "make the root file system read-only"

    def execute(self, context: Context) -> None:
        set_read_only(context.root.fd)
