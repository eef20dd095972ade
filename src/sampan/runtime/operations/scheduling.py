"""When and where the process runs, and from which nodes its memory comes.

Loaded only for a config.json that speaks of these. All of it takes effect at once, and is inherited.
"""

from __future__ import annotations

import errno
import os

from sampan.linux import scheduling
from sampan.records import dataclass
from sampan.runtime.gotext import go_error
from sampan.runtime.operations import Context, start_failed
from sampan.runtime.spec.memory_policy import MemoryPolicy
from sampan.runtime.spec.scheduling import IoPriority, Scheduler


@dataclass(frozen=True, slots=True)
class SetScheduler:
    """Only in the cgroup: its controllers decide whether a real-time policy is allowed."""

    scheduler: Scheduler

    def describe(self) -> str:
        wanted = self.scheduler
        return f"set the scheduling policy {wanted.policy} (nice {wanted.nice}, priority {wanted.priority})"

    def execute(self, context: Context) -> None:
        wanted = self.scheduler
        try:
            scheduling.sched_setattr(
                wanted.policy,
                flags=wanted.flags,
                nice=wanted.nice,
                priority=wanted.priority,
                runtime=wanted.runtime,
                deadline=wanted.deadline,
                period=wanted.period,
            )
        except OSError as error:
            raise start_failed(f"error setting scheduler: {go_error(error)}") from error


@dataclass(frozen=True, slots=True)
class SetIoPriority:
    priority: IoPriority

    def describe(self) -> str:
        return f"set the I/O class {self.priority.io_class} and priority {self.priority.priority}"

    def execute(self, context: Context) -> None:
        try:
            scheduling.ioprio_set(self.priority.io_class, self.priority.priority)
        except OSError as error:
            raise start_failed(f"failed to set io priority: {go_error(error)}") from error


@dataclass(frozen=True, slots=True)
class SetCpuAffinity:
    """For an exec: a cpuset may be changed, or entered, only while the process runs where it should."""

    cpus: tuple[int, ...]

    def describe(self) -> str:
        return f"run on the processors {' '.join(map(str, self.cpus))}"

    def execute(self, context: Context) -> None:
        try:
            os.sched_setaffinity(0, self.cpus)
        except OSError as error:
            raise start_failed(f"error setting CPU affinity: {go_error(error)}") from error


@dataclass(frozen=True, slots=True)
class SetMemoryPolicy:
    policy: MemoryPolicy

    def describe(self) -> str:
        nodes = " ".join(map(str, self.policy.nodes))
        return f"set the memory policy {self.policy.mode:#x} for the nodes {nodes}"

    def execute(self, context: Context) -> None:
        try:
            scheduling.set_mempolicy(self.policy.mode, self.policy.nodes)
        except OSError as error:
            hint = " (this kernel has no NUMA)" if error.errno == errno.ENOSYS else ""
            raise start_failed(f"error setting memory policy: {go_error(error)}{hint}") from error
