"""Finding out how this host has mounted its cgroups: v1, hybrid (v1 and a v2 tree beside it), or v2."""

from __future__ import annotations

from sampan import errors
from sampan.linux import mounts
from sampan.records import dataclass
from sampan.runtime.cgroups import folders
from sampan.runtime.cgroups.interface import Cgroup
from sampan.runtime.cgroups.v1 import V1Cgroup
from sampan.runtime.cgroups.v2 import V2Cgroup

# Options of a v1 superblock that name no controller.
_GENERIC_OPTIONS = frozenset(
    ("rw", "ro", "none", "xattr", "clone_children", "noprefix", "favordynmods", "nofavordynmods")
)


@dataclass(frozen=True, slots=True)
class _Mounted:
    """One hierarchy: where it is mounted, and which part of it."""

    mount_point: str
    root: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """The cgroup file systems of the host. `v1`: by the name of the folder that a container sees
    ("cpu,cpuacct").
    """

    v1: dict[str, _Mounted]
    unified: _Mounted | None

    @property
    def mode(self) -> str:
        if not self.v1:
            return "v2"
        return "v1" if self.unified is None else "hybrid"

    @property
    def controllers(self) -> frozenset[str]:
        """All that can be limited on this host."""
        found = {controller for name in self.v1 for controller in name.split(",")}
        if self.unified is not None:
            found.update(folders.read(f"{self.unified.mount_point}/cgroup.controllers").split())
        return frozenset(found)

    def cgroup(self, path: str) -> Cgroup:
        """The cgroup of this path: from the top if it is absolute, else from the caller's own one (like
        runc).
        """
        if ".." in path.split("/"):
            raise errors.InvalidArgument(f'cgroup path {path} contains ".."')
        if not path.strip("/."):
            # It would be deleted with the container.
            raise errors.InvalidArgument(f'"{path}" is no cgroup path for a container')
        own = {} if path.startswith("/") else _own_paths()
        unified = None
        if self.unified is not None:
            unified = V2Cgroup(path, self.unified.mount_point, _below(self.unified, own.get("", "/"), path))
        if not self.v1:
            assert unified is not None
            return unified
        locations = {
            name: (mounted.mount_point, _below(mounted, own.get(_first(name), "/"), path))
            for name, mounted in self.v1.items()
        }
        return V1Cgroup(path, locations, {name: entry.options for name, entry in self.v1.items()}, unified)


def open_cgroups(mountinfo: str = "/proc/self/mountinfo") -> Hierarchy:
    """Read the mount table. Raises Unsupported if the host has no cgroups mounted."""
    v1: dict[str, _Mounted] = {}
    unified = None
    for entry in mounts.read_mountinfo(mountinfo):
        if not (entry.mount_point == "/sys/fs/cgroup" or entry.mount_point.startswith("/sys/fs/cgroup/")):
            continue
        if entry.filesystem == "cgroup2":
            unified = unified or _Mounted(entry.mount_point, entry.root)
        elif entry.filesystem == "cgroup":
            options = tuple(
                option
                for option in entry.super_options.split(",")
                if option not in _GENERIC_OPTIONS and not option.startswith(("release_agent=", "cpuset_"))
            )
            # The folder's name is the one that programs look for: "cpu,cpuacct" or "systemd".
            name = ",".join(option.removeprefix("name=") for option in options)
            mount_options = ("none", *options) if options[0].startswith("name=") else options
            v1.setdefault(name, _Mounted(entry.mount_point, entry.root, mount_options))
    if not v1 and unified is None:
        raise errors.Unsupported("no cgroup file system is mounted below /sys/fs/cgroup")
    return Hierarchy(v1, unified)


def _own_paths() -> dict[str, str]:
    """Controller -> cgroup of this process; "" is the v2 tree (proc_pid_cgroup(5))."""
    paths: dict[str, str] = {}
    for line in folders.read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller.removeprefix("name=")] = path
    return paths


def _first(name: str) -> str:
    return name.partition(",")[0]


def _below(mounted: _Mounted, own: str, path: str) -> str:
    """Path of a cgroup below the mount point, which may show but a part of the hierarchy."""
    if path.startswith("/"):
        base = ""
    elif own == mounted.root or own.startswith(mounted.root.rstrip("/") + "/"):
        base = own[len(mounted.root.rstrip("/")) :]
    else:
        base = ""
    parts = [part for part in (*base.split("/"), *path.split("/")) if part not in ("", ".")]
    return "".join(f"/{part}" for part in parts)
