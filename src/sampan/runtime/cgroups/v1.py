"""cgroup v1: one folder per hierarchy, and the controllers' files in them. On hybrid hosts, a v2 folder as
well.

The cost is in `attach`: the first write to a cgroup.procs after an idle gap waits 7-11 ms for an RCU grace
period. A process that enters by itself, by `entrances`, waits for nothing: 0.3 ms for all hierarchies.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from sampan import errors
from sampan.linux import signals
from sampan.runtime.cgroups import folders, v1_limits
from sampan.runtime.cgroups.interface import CgroupView, Stats, ViewedHierarchy
from sampan.runtime.cgroups.v2 import V2Cgroup
from sampan.runtime.spec.resources import Resources

_FREEZE_SECONDS = 10.0


class V1Cgroup:
    """`folders_by_name`: name of the hierarchy ("cpu,cpuacct", "systemd") -> (top folder, path below it).

    `options`: the same name -> the options of mount(8). `unified`: the folder in the v2 tree of a hybrid
    host.
    """

    def __init__(
        self,
        path: str,
        locations: Mapping[str, tuple[str, str]],
        options: Mapping[str, tuple[str, ...]],
        unified: V2Cgroup | None,
    ) -> None:
        self._path = path
        self._locations = dict(locations)
        self._options = options
        self._unified = unified
        self._by_controller = {
            controller: f"{top}{below}"
            for name, (top, below) in self._locations.items()
            for controller in name.split(",")
        }

    @property
    def path(self) -> str:
        return self._path

    def folder(self, controller: str) -> str:
        """The folder of a controller. Raises Unsupported if the host does not have it."""
        try:
            return self._by_controller[controller]
        except KeyError:
            raise errors.Unsupported(
                f"the cgroup controller {controller} is not available on this host"
            ) from None

    def has(self, controller: str) -> bool:
        return controller in self._by_controller

    def _folders(self) -> list[str]:
        return [f"{top}{below}" for top, below in self._locations.values()]

    @property
    def takes_newborns(self) -> bool:
        return False

    def exists(self) -> bool:
        return any(os.path.isdir(folder) for folder in self._folders())

    def create(self) -> None:
        for name, (top, below) in self._locations.items():
            made = folders.make(top, below)
            if "cpuset" in name.split(","):
                _fill_cpuset(top, below, made)
        if self._unified is not None:
            self._unified.create()

    def apply(self, resources: Resources) -> None:
        v1_limits.apply(self, resources, self._unified)

    def delegate(self, uid: int) -> None:
        """Nothing: who may write to a cgroup of v1 can give itself more than it was given."""

    def attach(self, pid: int) -> None:
        for folder in self._folders():
            folders.write(f"{folder}/cgroup.procs", str(pid))
        if self._unified is not None:
            self._unified.attach(pid)

    def descriptor(self) -> int | None:
        if self._unified is None:
            return None
        try:
            return self._unified.descriptor()
        except FileNotFoundError:
            self._unified.create()
            return self._unified.descriptor()

    def entrances(self) -> list[int]:
        opened: list[int] = []
        try:
            for folder in self._folders():
                opened.append(os.open(f"{folder}/tasks", os.O_WRONLY | os.O_CLOEXEC))
        except OSError:
            for fd in opened:
                os.close(fd)
            raise
        return opened

    def pids(self) -> list[int]:
        for controller in ("pids", "freezer", "devices", "memory"):
            if self.has(controller):
                return folders.pids(self.folder(controller))
        return folders.pids(self._folders()[0]) if self._locations else []

    def kill(self, signal: int = 9) -> None:
        can_freeze = self.has("freezer") and self.exists()
        thaw = can_freeze and (signal == signals.SIGKILL or not self.is_frozen())
        try:
            if signal == signals.SIGKILL and self._unified is not None and self._unified.kill_all():
                return
            # Frozen, the processes can neither fork nor flee; what is sent arrives when they are thawed.
            if can_freeze:
                self.freeze()
            for pid in self.pids():
                try:
                    os.kill(pid, signal)
                except ProcessLookupError:
                    pass
        finally:
            if thaw:
                self.thaw()

    def freeze(self) -> None:
        state = f"{self.folder('freezer')}/freezer.state"

        def frozen() -> bool:
            # A process that is just being forked can miss the first order: it has to be repeated.
            folders.write(state, "FROZEN")
            return folders.read(state).strip() == "FROZEN"

        if not folders.wait_until(frozen, _FREEZE_SECONDS):
            folders.write(state, "THAWED")
            raise errors.Unavailable(f"unable to freeze {self._path}")

    def thaw(self) -> None:
        folders.write(f"{self.folder('freezer')}/freezer.state", "THAWED")

    def is_frozen(self) -> bool:
        if not self.has("freezer"):
            return False
        try:
            return folders.read(f"{self.folder('freezer')}/freezer.state").strip() != "THAWED"
        except FileNotFoundError:
            return False

    def oom_kill_count(self) -> int:
        if not self.has("memory"):
            return 0
        return folders.read_table(f"{self.folder('memory')}/memory.oom_control").get("oom_kill", 0)

    def stats(self) -> Stats:
        memory = self._by_controller.get("memory", "/nonexistent")
        cpu = self._by_controller.get("cpu", "/nonexistent")
        accounting = self._by_controller.get("cpuacct", "/nonexistent")
        pids = self._by_controller.get("pids", "/nonexistent")
        throttling = folders.read_table(f"{cpu}/cpu.stat")
        limit = folders.read_number(f"{memory}/memory.limit_in_bytes")
        return Stats(
            memory_usage=folders.read_number(f"{memory}/memory.usage_in_bytes"),
            memory_peak=folders.read_number(f"{memory}/memory.max_usage_in_bytes"),
            # Without a limit it shows the greatest number of pages that a long can count.
            memory_limit=None if limit is None or limit >= 2**62 else limit,
            memory_details=folders.read_table(f"{memory}/memory.stat"),
            cpu_total=folders.read_number(f"{accounting}/cpuacct.usage"),
            cpu_user=folders.read_number(f"{accounting}/cpuacct.usage_user"),
            cpu_system=folders.read_number(f"{accounting}/cpuacct.usage_sys"),
            cpu_periods=throttling.get("nr_periods", 0),
            cpu_throttled_periods=throttling.get("nr_throttled", 0),
            cpu_throttled_time=throttling.get("throttled_time", 0),
            pids_current=folders.read_number(f"{pids}/pids.current"),
            pids_limit=folders.read_number(f"{pids}/pids.max"),
            block_io=self._block_io(),
        )

    def _block_io(self) -> dict[str, dict[str, int]]:
        counters: dict[str, dict[str, int]] = {}
        files = (("throttle.io_service_bytes", "read", "write"), ("throttle.io_serviced", "reads", "writes"))
        for file, reads, writes in files if self.has("blkio") else ():
            path = f"{self.folder('blkio')}/blkio.{file}"
            for line in folders.read(path).splitlines() if os.path.exists(path) else ():
                parts = line.split()
                if len(parts) == 3 and parts[1] in ("Read", "Write"):
                    device = counters.setdefault(parts[0], {})
                    device[reads if parts[1] == "Read" else writes] = int(parts[2])
        return counters

    def view(self) -> CgroupView:
        return CgroupView(
            1,
            tuple(
                ViewedHierarchy(name, self._options[name], f"{top}{below}")
                for name, (top, below) in self._locations.items()
            ),
        )

    def delete(self) -> None:
        for folder in self._folders():
            folders.remove(folder)
        if self._unified is not None:
            self._unified.delete()


def _fill_cpuset(top: str, below: str, made: list[str]) -> None:
    """A new cpuset is empty, and takes no process before it has CPUs and memory nodes: inherit its parent's.

    Also those that another process has just made and not yet filled: writing the same value twice does no
    harm.
    """
    current = top
    for part in below.split("/"):
        if not part:
            continue
        parent, current = current, f"{current}/{part}"
        for name in ("cpuset.cpus", "cpuset.mems"):
            if current in made or not folders.read(f"{current}/{name}").strip():
                folders.write(f"{current}/{name}", folders.read(f"{parent}/{name}").strip())
