"""cgroup v2: one tree, one folder per container.

A process is best born in it (`descriptor`, CLONE_INTO_CGROUP): 30 µs, where moving one can wait for an RCU
grace period.
"""

from __future__ import annotations

import errno
import os

from sampan import errors
from sampan.linux import signals
from sampan.runtime.cgroups import device_programs, folders, v2_limits
from sampan.runtime.cgroups.interface import CgroupView, Stats
from sampan.runtime.spec.resources import HugepageLimit, Resources

_FREEZE_SECONDS = 10.0

# cgroups(7): names of files, since Linux 4.15.
_DELEGATED = "/sys/kernel/cgroup/delegate"


class V2Cgroup:
    """`top` is the mount point of the tree, `below` the path from there, both without a slash at the end."""

    def __init__(self, path: str, top: str, below: str) -> None:
        self._path = path
        self._top = top
        self._below = below
        self.folder = f"{top}{below}"

    @property
    def path(self) -> str:
        return self._path

    @property
    def takes_newborns(self) -> bool:
        return True

    def exists(self) -> bool:
        return os.path.isdir(self.folder)

    def create(self) -> None:
        """Make the folder, with every controller enabled that there is, from the top down."""
        current = self._top
        for part in self._below.split("/"):
            if not part:
                continue
            _enable_controllers(current)
            current = f"{current}/{part}"
            try:
                os.mkdir(current, 0o755)
            except FileExistsError:
                pass

    def apply(self, resources: Resources) -> None:
        v2_limits.apply(self.folder, resources)
        if resources.devices:
            device_programs.attach(self.folder, resources.devices)

    def delegate(self, uid: int) -> None:
        """As the specification has it: the folder, and the files that the kernel names for this."""
        os.chown(self.folder, uid, -1)
        for name in folders.read(_DELEGATED).split():
            try:
                os.chown(f"{self.folder}/{name}", uid, -1)
            except FileNotFoundError:
                pass  # of a controller that is not enabled here

    def limit_hugepages(self, limit: HugepageLimit) -> None:
        v2_limits.limit_hugepages(self.folder, limit)

    def attach(self, pid: int) -> None:
        try:
            folders.write(f"{self.folder}/cgroup.procs", str(pid))
        except OSError as error:
            # An init such as systemd moves itself to a cgroup below and then enables controllers in this one,
            # which may hold no process any more ("no internal processes"): join it there.
            below = self._first_populated() if error.errno == errno.EBUSY else None
            if below is None:
                raise
            folders.write(f"{below}/cgroup.procs", str(pid))

    def _first_populated(self) -> str | None:
        waiting = folders.subfolders(self.folder)
        while waiting:
            folder = waiting.pop(0)
            if folders.read(f"{folder}/cgroup.procs").strip():
                return folder
            waiting += folders.subfolders(folder)
        return None

    def descriptor(self) -> int | None:
        return os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def entrances(self) -> list[int]:
        return []

    def pids(self) -> list[int]:
        return folders.pids(self.folder)

    def kill(self, signal: int = 9) -> None:
        if signal == signals.SIGKILL and self.kill_all():
            return
        frozen = self.exists() and not self.is_frozen()
        if frozen:
            self.freeze()
        try:
            for pid in self.pids():
                try:
                    os.kill(pid, signal)
                except ProcessLookupError:
                    pass
        finally:
            if frozen:
                self.thaw()

    def kill_all(self) -> bool:
        """cgroup.kill, since Linux 5.14: also what is being forked. False: this kernel does not have it."""
        try:
            folders.write(f"{self.folder}/cgroup.kill", "1")
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return not self.exists()
        return True

    def freeze(self) -> None:
        folders.write(f"{self.folder}/cgroup.freeze", "1")

        def frozen() -> bool:
            return folders.read_table(f"{self.folder}/cgroup.events").get("frozen") == 1

        if not folders.wait_until(frozen, _FREEZE_SECONDS):
            self.thaw()
            raise errors.Unavailable(f"unable to freeze {self._path}")

    def thaw(self) -> None:
        folders.write(f"{self.folder}/cgroup.freeze", "0")

    def is_frozen(self) -> bool:
        return bool(folders.read_number(f"{self.folder}/cgroup.freeze"))

    def oom_kill_count(self) -> int:
        return folders.read_table(f"{self.folder}/memory.events").get("oom_kill", 0)

    def stats(self) -> Stats:
        folder = self.folder
        cpu = folders.read_table(f"{folder}/cpu.stat")
        return Stats(
            memory_usage=folders.read_number(f"{folder}/memory.current"),
            memory_peak=folders.read_number(f"{folder}/memory.peak"),
            memory_limit=folders.read_number(f"{folder}/memory.max"),
            memory_details=folders.read_table(f"{folder}/memory.stat"),
            cpu_total=_nanoseconds(cpu.get("usage_usec")),
            cpu_user=_nanoseconds(cpu.get("user_usec")),
            cpu_system=_nanoseconds(cpu.get("system_usec")),
            cpu_periods=cpu.get("nr_periods", 0),
            cpu_throttled_periods=cpu.get("nr_throttled", 0),
            cpu_throttled_time=cpu.get("throttled_usec", 0) * 1000,
            pids_current=folders.read_number(f"{folder}/pids.current"),
            pids_limit=folders.read_number(f"{folder}/pids.max"),
            block_io=self._block_io(),
        )

    def _block_io(self) -> dict[str, dict[str, int]]:
        names = {"rbytes": "read", "wbytes": "write", "rios": "reads", "wios": "writes"}
        try:
            lines = folders.read(f"{self.folder}/io.stat").splitlines()
        except FileNotFoundError:
            return {}
        counters: dict[str, dict[str, int]] = {}
        for line in lines:
            device, *values = line.split()
            pairs = (value.partition("=") for value in values)
            counters[device] = {names[key]: int(number) for key, _, number in pairs if key in names}
        return counters

    def view(self) -> CgroupView:
        return CgroupView(2)

    def delete(self) -> None:
        folders.remove(self.folder)


def _nanoseconds(microseconds: int | None) -> int | None:
    return None if microseconds is None else microseconds * 1000


def _enable_controllers(folder: str) -> None:
    """Hand all controllers down to the children. What cannot be enabled will be missed only if it is to be
    limited.
    """
    available = folders.read(f"{folder}/cgroup.controllers").split()
    enabled = set(folders.read(f"{folder}/cgroup.subtree_control").split())
    missing = [name for name in available if name not in enabled]
    if not missing:
        return
    try:
        folders.write(f"{folder}/cgroup.subtree_control", " ".join(f"+{name}" for name in missing))
    except OSError:
        for name in missing:
            try:
                folders.write(f"{folder}/cgroup.subtree_control", f"+{name}")
            except OSError:
                pass
