"""Id-mapped mounts (`idmap`, `ridmap`): sources of binds on which the files' owners are other ones.

Runs in the parent, before there is a new process: in a user namespace nobody may map a mount of a file system
that belongs to the host (mount_setattr(2), MOUNT_ATTR_IDMAP). The mapping itself is a user namespace that
nobody lives in. Loaded only for a config.json with such a mount.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from sampan.linux import files, mounts, processes
from sampan.runtime import idmaps
from sampan.runtime.gotext import go_error
from sampan.runtime.operations.mounts import mount_failed
from sampan.runtime.spec import IdMapping, Mount, Spec

_Mappings = tuple[tuple[IdMapping, ...], tuple[IdMapping, ...]]


def open_sources(
    spec: Spec, bundle: str, given: Mapping[str, int], user_namespace: int | None, stack: ExitStack
) -> dict[int, int]:
    """The sources of all such mounts, mapped, by their number in `mounts`; the stack closes them.

    `given`: destination -> the detached mount to use. `user_namespace`: the one that the container joins.
    """
    opened: dict[int, int] = {}
    namespaces: dict[_Mappings, int] = {}
    for number, mount in enumerate(spec.mounts):
        if not mount.is_id_mapped or mount.options.remount:
            continue
        mappings = (mount.uid_mappings, mount.gid_mappings)
        if not mount.uid_mappings:
            mappings = (spec.linux.uid_mappings, spec.linux.gid_mappings)
        if not mount.uid_mappings and user_namespace is not None:
            namespace = user_namespace
        elif mappings in namespaces:
            namespace = namespaces[mappings]
        else:
            namespace = namespaces[mappings] = make_user_namespace(*mappings)
            stack.callback(os.close, namespace)
        source = given.get(mount.destination)
        if source is None:
            source = _open(mount, bundle)
            stack.callback(os.close, source)
        _map(mount, source, namespace)
        opened[number] = source
    return opened


def _open(mount: Mount, bundle: str) -> int:
    path = os.path.join(bundle, mount.source)
    flags = mounts.OPEN_TREE_CLONE | (files.AT_RECURSIVE if mount.options.recursive_bind else 0)
    try:
        return mounts.open_tree(path, flags)
    except OSError as error:
        raise mount_failed(mount, f"stat {path}: {go_error(error)}") from error


def _map(mount: Mount, source: int, namespace: int) -> None:
    flags = files.AT_EMPTY_PATH | (files.AT_RECURSIVE if mount.options.idmap == "ridmap" else 0)
    try:
        mounts.mount_setattr(
            "", dir_fd=source, flags=flags, attr_set=mounts.MOUNT_ATTR_IDMAP, userns_fd=namespace
        )
    except OSError as error:
        why = f"failed to set MOUNT_ATTR_IDMAP on {mount.source}: {go_error(error)}"
        raise mount_failed(
            mount, f"{why} (maybe the filesystem used doesn't support idmap mounts on this kernel?)"
        ) from error


def make_user_namespace(uids: Sequence[IdMapping], gids: Sequence[IdMapping]) -> int:
    """A descriptor of a new user namespace with these mappings, in which there is no process."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    processes.set_dumpable(False)
    pid, pidfd = processes.clone3(processes.CLONE_NEWUSER)
    if pid == 0:
        # Only there as long as the maps are written: it waits for the end of the pipe.
        try:
            os.close(writer)
            os.read(reader, 1)
        finally:
            os._exit(0)
    os.close(reader)
    try:
        idmaps.write(pid, uids, gids)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(writer)
        os.waitpid(pid, 0)
        os.close(pidfd)
