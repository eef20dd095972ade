"""What the host offers: processors, memory, cgroup controllers, kernel.

Owns reading these facts, once for each start of the engine (a few milliseconds, in a thread). Knows no
container.
"""

from __future__ import annotations

import os
import platform

from sampan import errors
from sampan.records import dataclass
from sampan.runtime.cgroups import Hierarchy, open_cgroups

_GOARCH = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Host:
    """Facts about the machine that do not change while the engine runs."""

    processors: int
    cpus: str
    """Those that a container may use, as cpuset writes them: "0-3"."""
    memory_nodes: str
    memory: int
    cgroup_version: int
    controllers: frozenset[str]
    swap_limit: bool
    block_weight: bool
    realtime: bool
    kernel: str
    machine: str
    operating_system: str
    os_version: str
    name: str

    @property
    def architecture(self) -> str:
        """GOARCH."""
        return _GOARCH.get(self.machine, self.machine)


def examine() -> Host:
    """Look at the host. Raises Unsupported if it has no cgroups."""
    hierarchy = open_cgroups()
    unified = hierarchy.mode == "v2"
    release = platform.freedesktop_os_release() if os.path.exists("/etc/os-release") else {}
    machine = os.uname()
    return Host(
        processors=os.cpu_count() or 1,
        cpus=_first_line(_cpuset_files(hierarchy, "cpus") + ["/sys/devices/system/cpu/online"]),
        memory_nodes=_first_line(_cpuset_files(hierarchy, "mems") + ["/sys/devices/system/node/online"])
        or "0",
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        cgroup_version=2 if unified else 1,
        controllers=hierarchy.controllers,
        swap_limit=unified or _has(hierarchy, "memory", "memory.memsw.limit_in_bytes"),
        block_weight=_has(hierarchy, "blkio", "blkio.weight", "blkio.bfq.weight")
        or "io" in hierarchy.controllers,
        realtime=_has(hierarchy, "cpu", "cpu.rt_period_us"),
        kernel=machine.release,
        machine=machine.machine,
        operating_system=release.get("PRETTY_NAME", "Linux"),
        os_version=release.get("VERSION_ID", ""),
        name=machine.nodename,
    )


def _cpuset_files(hierarchy: Hierarchy, kind: str) -> list[str]:
    if hierarchy.unified is not None and "cpuset" not in hierarchy.v1:
        return [f"{hierarchy.unified.mount_point}/cpuset.{kind}.effective"]
    mounted = hierarchy.v1.get("cpuset")
    return [] if mounted is None else [f"{mounted.mount_point}/cpuset.{kind}"]


def _has(hierarchy: Hierarchy, controller: str, *files: str) -> bool:
    """Whether a v1 controller has one of these files."""
    for name, mounted in hierarchy.v1.items():
        if controller in name.split(","):
            return any(os.path.exists(f"{mounted.mount_point}/{file}") for file in files)
    return False


def _first_line(paths: list[str]) -> str:
    """The first of these files that says something."""
    for path in paths:
        try:
            with open(path, encoding="ascii") as file:
                text = file.read().strip()
        except OSError:
            continue
        if text:
            return text
    return ""


def numbers(text: str) -> frozenset[int]:
    """The numbers of a cpuset list such as "0-3,7". Raises InvalidArgument in dockerd's words."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        low, dash, high = part.partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()):
            raise errors.InvalidArgument(f"invalid format: {part}")
        first, last = int(low), int(high) if dash else int(low)
        if last < first or last > 1 << 13:
            raise errors.InvalidArgument(f"invalid range: {part}")
        found.update(range(first, last + 1))
    return frozenset(found)
