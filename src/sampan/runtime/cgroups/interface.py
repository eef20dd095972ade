"""What every version of cgroups can do, and the values it gives back."""

from __future__ import annotations

from sampan.records import dataclass, field
from sampan.runtime.spec.resources import Resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object


@dataclass(frozen=True, slots=True)
class ViewedHierarchy:
    """One v1 hierarchy, as a container is to see it: `name` of the folder, `options` of mount(8), `path` on
    the host.
    """

    name: str
    options: tuple[str, ...]
    path: str


@dataclass(frozen=True, slots=True)
class CgroupView:
    """What has to be mounted on a container's /sys/fs/cgroup. Version 2 has but one hierarchy, and needs no
    more.
    """

    version: int
    hierarchies: tuple[ViewedHierarchy, ...] = ()


@dataclass(frozen=True, slots=True)
class Stats:
    """Counters of one cgroup, in bytes and nanoseconds. None: the host has no such controller, or no limit is
    set.
    """

    memory_usage: int | None = None
    memory_peak: int | None = None
    memory_limit: int | None = None
    memory_details: dict[str, int] = field(default_factory=dict)  # memory.stat
    cpu_total: int | None = None
    cpu_user: int | None = None
    cpu_system: int | None = None
    cpu_periods: int = 0
    cpu_throttled_periods: int = 0
    cpu_throttled_time: int = 0
    pids_current: int | None = None
    pids_limit: int | None = None
    # "8:0" -> {"read": bytes, "write": bytes, "reads": operations, "writes": operations}
    block_io: dict[str, dict[str, int]] = field(default_factory=dict)


class Cgroup(Protocol):
    """One cgroup. Every method may be called again; OSErrors name the file."""

    @property
    def path(self) -> str:
        """As it was asked for: "/sampan/0123…"."""

    @property
    def takes_newborns(self) -> bool:
        """Whether a process that is born in it is wholly inside: so `create` and `apply` have to come before
        the process. If not, it has `entrances` as well.
        """

    def exists(self) -> bool: ...

    def create(self) -> None: ...

    def apply(self, resources: Resources) -> None:
        """Set limits. Raises InvalidArgument or Unsupported for one that this host cannot set."""

    def delegate(self, uid: int) -> None:
        """Give the cgroup to a user of the host, who may then make others below and move processes there.

        Only cgroup v2 is made for that; on v1 nothing happens.
        """

    def attach(self, pid: int) -> None:
        """Move a process here. May wait 7-11 ms for an RCU grace period: see `entrances`."""

    def descriptor(self) -> int | None:
        """For CLONE_INTO_CGROUP: a new descriptor, the caller's to close; None if there is no v2 tree."""

    def entrances(self) -> list[int]:
        """What a process has to go through that was born at `descriptor`: it writes "0" to each of these.

        New descriptors, the caller's to close. The process must have no second thread. A thread that moves
        itself is the one case in which the kernel does not wait (kernel/cgroup/cgroup.c,
        cgroup_procs_write_start); so this is for speed alone, and `attach` has the same effect.
        """

    def pids(self) -> list[int]:
        """All processes in the cgroup and below."""

    def kill(self, signal: int = 9) -> None:
        """Signal all of them, including those that are being forked meanwhile."""

    def freeze(self) -> None:
        """Returns when all processes are stopped."""

    def thaw(self) -> None: ...

    def is_frozen(self) -> bool: ...

    def stats(self) -> Stats: ...

    def oom_kill_count(self) -> int: ...

    def view(self) -> CgroupView: ...

    def delete(self) -> None:
        """Remove it; waits for processes that are just ending. Nothing happens if there is none."""
