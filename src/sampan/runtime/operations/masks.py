"""What a container must not see or change in /proc and /sys."""

from __future__ import annotations

import errno
import os

from sampan.linux import files, mounts
from sampan.records import dataclass
from sampan.runtime import confined
from sampan.runtime.gotext import go_error
from sampan.runtime.operations import Context, start_failed
from sampan.runtime.operations.mounts import attach_over, set_read_only

_NULL = os.makedev(1, 3)
_CLONE = mounts.OPEN_TREE_CLONE | mounts.OPEN_TREE_CLOEXEC | files.AT_EMPTY_PATH


@dataclass(frozen=True, slots=True)
class MaskPaths:
    """Cover files with /dev/null and folders with an empty, read-only tmpfs. What does not exist needs no
    cover.
    """

    paths: tuple[str, ...]

    def describe(self) -> str:
        return f"mask {' '.join(self.paths)}"

    def execute(self, context: Context) -> None:
        empty = -1
        try:
            for path in self.paths:
                target = _open(context, path)
                if target is None:
                    continue
                try:
                    if not confined.is_directory(target):
                        _cover(context.null, target)
                    elif empty < 0:
                        empty = _empty_folder()
                        # Attached first and cloned then: kernels before 6.15 do not clone a detached mount.
                        attach_over(empty, target)
                    else:
                        _cover(empty, target)
                except OSError as error:
                    raise start_failed(f"can't mask path {path}: {go_error(error)}") from error
                finally:
                    os.close(target)
        finally:
            if empty >= 0:
                os.close(empty)


@dataclass(frozen=True, slots=True)
class MakePathsReadOnly:
    paths: tuple[str, ...]

    def describe(self) -> str:
        return f"make read-only {' '.join(self.paths)}"

    def execute(self, context: Context) -> None:
        for path in self.paths:
            target = _open(context, path)
            if target is None:
                continue
            try:
                clone = mounts.open_tree("", _CLONE | files.AT_RECURSIVE, dir_fd=target)
                try:
                    set_read_only(clone)
                    attach_over(clone, target)
                finally:
                    os.close(clone)
            except OSError as error:
                raise start_failed(f"can't make {path} read-only: {go_error(error)}") from error
            finally:
                os.close(target)


@dataclass(frozen=True, slots=True)
class VerifyMounts:
    """Make sure that /proc and /sys are, by name, what was mounted and masked.

    Who shares a volume with the container could have renamed their folders meanwhile (CVE-2019-19921).
    """

    def describe(self) -> str:
        return "verify /proc and /sys"

    def execute(self, context: Context) -> None:
        for path in ("/proc", "/sys"):
            fd = context.mounted.get(path)
            if fd is None:
                continue
            found = context.root.open(path, os.O_PATH, files.RESOLVE_NO_SYMLINKS)
            try:
                same = mounts.mount_id(found) == mounts.mount_id(fd)
            finally:
                os.close(found)
            if not same:
                raise start_failed(f"{path} was changed while the container was set up")


def open_null() -> int:
    """The host's /dev/null, verified: it is what covers the masked files (CVE-2025-31133)."""
    fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    found = os.fstat(fd)
    if found.st_rdev != _NULL or found.st_mode & 0o170000 != 0o020000:
        os.close(fd)
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), "/dev/null")
    return fd


def _open(context: Context, path: str) -> int | None:
    """Open a path below the very procfs or sysfs that was mounted, or else below the root."""
    top, _, rest = path.lstrip("/").partition("/")
    try:
        mounted = context.mounted.get("/" + top)
        if mounted is None or not rest:
            return context.root.open(path)
        return confined.Root(mounted).open(rest)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise start_failed(f"can't open {path}: {go_error(error)}") from error


def _empty_folder() -> int:
    filesystem = mounts.fsopen("tmpfs")
    try:
        mounts.fsconfig_string(filesystem, "source", "tmpfs")
        mounts.fsconfig_flag(filesystem, "ro")
        mounts.fsconfig_create(filesystem)
        return mounts.fsmount(filesystem, mounts.MOUNT_ATTR_RDONLY)
    finally:
        os.close(filesystem)


def _cover(source: int, target: int) -> None:
    clone = mounts.open_tree("", _CLONE, dir_fd=source)
    try:
        attach_over(clone, target)
    finally:
        os.close(clone)
