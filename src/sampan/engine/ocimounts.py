"""Docker's mounts as `mounts` of the OCI specification: the defaults, the user's own, and their order. Pure.

Owns what a user's mount takes away from the defaults, and what `--read-only` and `--privileged` change
(moby's daemon/oci_linux.go, withMounts).
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from sampan.engine.mountpoints import DEFAULT_PROPAGATION, MountPoint, merge_tmpfs_options
from sampan.engine.schema import HostConfig

Document = dict[str, Any]

# Where `--init` shows the init program.
INIT = "/sbin/docker-init"

# POSIX shared memory, which goes with the IPC namespace (shm_overview(7)).
SHM = "/dev/shm"

_PROTECTED = ("nosuid", "noexec", "nodev")

_STAY_WRITABLE = frozenset(("/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"))


def build(
    config: HostConfig, points: Sequence[MountPoint], files: Mapping[str, str], init: str | None
) -> list[Document]:
    """`files`: destination → path of a file that the engine keeps for it (/etc/hosts and so on)."""
    own = [_user_mount(point) for point in points]
    own += [_tmpfs(path, words) for path, words in (config.tmpfs or {}).items()]
    options = ["rbind", "ro", "rprivate"] if config.readonly_rootfs else ["rbind", "rprivate"]
    taken = {mount["destination"] for mount in own}
    own += [_bind(path, source, options) for path, source in files.items() if path not in taken]
    if (config.ipc_mode == "host" or config.ipc_mode.startswith("container:")) and SHM not in taken:
        own.append(_bind(SHM, SHM, ["rbind", "rprivate"]))
    if init is not None:
        own.append(_bind(INIT, init, ["bind", "ro", "rprivate"]))
    # Parents before children: moby sorts by the number of a path's parts, and keeps the order otherwise.
    own.sort(key=lambda mount: posixpath.normpath(mount["destination"]).count("/"))
    return [*_defaults(config, {mount["destination"] for mount in own}), *own]


def needs_shared_root(points: Sequence[MountPoint]) -> str:
    """`linux.rootfsPropagation` that the propagation of the binds needs, or the empty string."""
    wanted = {point.propagation for point in points if point.type == "bind"}
    if wanted & {"shared", "rshared"}:
        return "shared"
    return "rslave" if wanted & {"slave", "rslave"} else ""


def _defaults(config: HostConfig, taken: set[str]) -> list[Document]:
    """Docker's default mounts, without those that the user's replace."""
    shared_memory = (*_PROTECTED, "mode=1777", f"size={config.shm_size}")
    mounts = [
        _mount("/proc", "proc", "proc", _PROTECTED),
        _mount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
        _mount(
            "/dev/pts",
            "devpts",
            "devpts",
            ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        ),
        _mount("/sys", "sysfs", "sysfs", (*_PROTECTED, "ro")),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", ("ro", *_PROTECTED)),
        _mount("/dev/mqueue", "mqueue", "mqueue", _PROTECTED),
        _mount("/dev/shm", "tmpfs", "shm", shared_memory),
    ]
    return [_adjusted(mount, config) for mount in mounts if _is_kept(mount["destination"], config, taken)]


def _is_kept(destination: str, config: HostConfig, taken: set[str]) -> bool:
    if destination in taken or (destination.startswith("/dev/") and "/dev" in taken):
        return False
    return not (destination == "/dev/shm" and config.ipc_mode == "none")


def _adjusted(mount: Document, config: HostConfig) -> Document:
    """A default mount as `--privileged` and `--read-only` want it."""
    options = list(mount["options"])
    if config.privileged and "ro" in options:
        options.remove("ro")
    if config.readonly_rootfs and mount["destination"] not in _STAY_WRITABLE and "ro" not in options:
        options.append("ro")
    return mount | {"options": options}


def _user_mount(point: MountPoint) -> Document:
    if point.type == "tmpfs":
        return _tmpfs(point.destination, ",".join(point.tmpfs_options))
    options = ["rbind" if point.recursive else "bind"]
    if not point.writable:
        options.append("rro" if point.read_only_recursive and point.recursive else "ro")
    if point.propagation:
        options.append(point.propagation)
    # An image has no path: the shim gets a descriptor of each source, and the name is for who reads this.
    return _bind(point.destination, point.source or point.name, options)


def _tmpfs(destination: str, words: str) -> Document:
    options = [*("noexec", "nosuid", "nodev"), DEFAULT_PROPAGATION, *filter(None, words.split(","))]
    return _mount(destination, "tmpfs", "tmpfs", merge_tmpfs_options(options))


def _bind(destination: str, source: str, options: Sequence[str]) -> Document:
    return _mount(destination, "bind", source, options)


def _mount(destination: str, kind: str, source: str, options: Sequence[str]) -> Document:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}
