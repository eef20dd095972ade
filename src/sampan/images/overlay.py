"""One overlay mount, detached: made of folders, given back as a descriptor.

Owns which kernel interface is used. From Linux 6.7 on layers are added one by one (`lowerdir+`), so neither
their number nor the length of their paths matters; older kernels get mount(2), whose one page of options is
filled with `/proc/self/fd/N` instead of paths. Never changes the working directory and never forks, so any
thread may call it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import ExitStack

from sampan import errors
from sampan.linux import mounts

MAX_LOWERS = 500
"""OVL_MAX_STACK of the kernel's fs/overlayfs."""
_MAX_STRING = 255
"""fsconfig(2) takes strings of 256 bytes, the closing NUL counted."""
_OPTIONS = (("index", "off"), ("metacopy", "off"), ("redirect_dir", "off"))
"""Docker's choice: what a container wrote are plain files that nothing else is needed to read."""


def mount(lowers: Sequence[str], upper: str | None = None, work: str | None = None, *, scratch: str) -> int:
    """Return a detached overlay mount of the folders, top first; without `upper` it is read-only.

    `scratch` is a folder where a mount point can be made for a moment.
    """
    if len(lowers) > MAX_LOWERS:
        raise errors.SampanError(f"too many layers: {len(lowers)}, the kernel's overlay takes {MAX_LOWERS}")
    with ExitStack() as stack:
        try:
            return _mount_by_parts(stack, lowers, upper, work)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
    with ExitStack() as stack:
        return _mount_by_page(stack, lowers, upper, work, scratch)


def _mount_by_parts(stack: ExitStack, lowers: Sequence[str], upper: str | None, work: str | None) -> int:
    context = mounts.fsopen("overlay")
    stack.callback(os.close, context)
    for lower in lowers:
        mounts.fsconfig_string(context, "lowerdir+", _short(stack, lower))
    if upper is not None and work is not None:
        mounts.fsconfig_string(context, "upperdir", _short(stack, upper))
        mounts.fsconfig_string(context, "workdir", _short(stack, work))
    for key, value in _OPTIONS:
        mounts.fsconfig_string(context, key, value)
    mounts.fsconfig_create(context)
    return mounts.fsmount(context, 0 if upper is not None else mounts.MOUNT_ATTR_RDONLY)


def _mount_by_page(
    stack: ExitStack, lowers: Sequence[str], upper: str | None, work: str | None, scratch: str
) -> int:
    options = [f"{key}={value}" for key, value in _OPTIONS]
    options.append("lowerdir=" + ":".join(_descriptor(stack, lower) for lower in lowers))
    if upper is not None and work is not None:
        options += [f"upperdir={_descriptor(stack, upper)}", f"workdir={_descriptor(stack, work)}"]
    flags = 0 if upper is not None else mounts.MS_RDONLY
    place = f"{scratch}/mount-{os.urandom(8).hex()}"
    os.mkdir(place, 0o700)
    stack.callback(os.rmdir, place)
    mounts.mount("overlay", place, "overlay", flags, ",".join(options))
    try:
        return mounts.open_tree(place, mounts.OPEN_TREE_CLONE | mounts.OPEN_TREE_CLOEXEC)
    finally:
        mounts.umount2(place, mounts.MNT_DETACH)


def part(root: int, path: str, *, scratch: str) -> int:
    """Return a detached mount of what is at `path` below a detached mount; OSError as `clone_beneath`."""
    try:
        return mounts.clone_beneath(root, path)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    # Before Linux 6.15 only what is mounted somewhere can be copied.
    place = f"{scratch}/mount-{os.urandom(8).hex()}"
    os.mkdir(place, 0o700)
    try:
        mounts.move_mount(root, place)
        try:
            return mounts.clone_beneath(root, path)
        finally:
            mounts.umount2(place, mounts.MNT_DETACH)
    finally:
        os.rmdir(place)


def _short(stack: ExitStack, path: str) -> str:
    return path if len(os.fsencode(path)) <= _MAX_STRING else _descriptor(stack, path)


def _descriptor(stack: ExitStack, path: str) -> str:
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return f"/proc/self/fd/{fd}"


def release(path: str) -> None:
    """Unmount what a killed process may have left mounted at a place of `_mount_by_page`."""
    if os.path.ismount(path):
        mounts.umount2(path, mounts.MNT_DETACH)
