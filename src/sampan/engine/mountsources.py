"""Where the mounts of a container come from: each source as a descriptor of a detached mount.

Owns their opening: a path of the host, a volume, an image, or a part of one of the two. What a descriptor
stands for can no longer be changed by whoever owns the path. Blocking: called in threads.
"""

from __future__ import annotations

import errno
import os

from sampan import errors
from sampan.engine.mountpoints import MountPoint
from sampan.images.store import ImageStore
from sampan.linux import files, mounts

_CLONE = mounts.OPEN_TREE_CLONE | mounts.OPEN_TREE_CLOEXEC


def open_source(images: ImageStore, container_id: str, point: MountPoint) -> int:
    """A descriptor, the caller's to close, for a mount that is not a tmpfs.

    Raises SampanError, in dockerd's words, for a source that is not there.
    """
    try:
        if point.type == "image":
            return images.open_mounted(container_id, point.image, point.subpath)
        if point.subpath:
            return _open_part(point)
    except OSError as error:
        raise _cannot_access(point, error) from None
    return _open_whole(point)


def _open_whole(point: MountPoint) -> int:
    flags = _CLONE | (files.AT_RECURSIVE if point.recursive else 0)
    try:
        return mounts.open_tree(point.source, flags)
    except FileNotFoundError:
        if not point.create_source:
            raise errors.InvalidArgument(
                f'invalid mount config for type "bind": bind source path does not exist: {point.source}'
            ) from None
    try:
        os.makedirs(point.source, 0o755, exist_ok=True)
    except OSError as error:
        raise errors.SampanError(
            f"error while creating mount source path '{point.source}': mkdir {error.filename}: "
            f"{os.strerror(error.errno or 0).lower()}"
        ) from None
    return mounts.open_tree(point.source, flags)


def _open_part(point: MountPoint) -> int:
    """A part of a volume. Other containers write to it, so no link in it leads out of it."""
    root = os.open(point.source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return mounts.clone_beneath(root, point.subpath)
    finally:
        os.close(root)


def _cannot_access(point: MountPoint, error: OSError) -> errors.SampanError:
    base = point.source or point.name
    if error.errno == errno.EXDEV:
        return errors.SampanError(
            f'path concatenation escapes the base directory, base: "{base}", subpath: "{point.subpath}"'
        )
    path = f"{base}/{point.subpath}"
    told = os.strerror(error.errno or 0).lower()
    return errors.SampanError(f"cannot access path {path}: lstat {path}: {told}")
