"""`process.scheduler`, `ioPriority` and `execCPUAffinity` of config.json: when and where a process runs.

Loaded only for a config.json that has one of them.
"""

from __future__ import annotations

from sampan.records import dataclass
from sampan.runtime.spec.fields import UINT64_MAX, Fields
from sampan.runtime.spec.numbers import parse_numbers

# include/uapi/linux/sched.h
_OTHER, _FIFO, _RR, _BATCH, _DEADLINE = 0, 1, 2, 3, 6
POLICIES = {
    "SCHED_OTHER": _OTHER,
    "SCHED_FIFO": _FIFO,
    "SCHED_RR": _RR,
    "SCHED_BATCH": _BATCH,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": _DEADLINE,
}
FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
# include/uapi/linux/ioprio.h
IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}

# The most processors that any kernel is built for (CONFIG_NR_CPUS).
_MAX_CPUS = 8192


@dataclass(frozen=True, slots=True)
class Scheduler:
    """Arguments of sched_setattr(2); times in nanoseconds."""

    policy: int
    flags: int = 0
    nice: int = 0
    priority: int = 0
    runtime: int = 0
    deadline: int = 0
    period: int = 0


@dataclass(frozen=True, slots=True)
class IoPriority:
    io_class: int
    priority: int


@dataclass(frozen=True, slots=True)
class CpuAffinity:
    """For an exec alone: where it runs before it enters the cgroup, and after. Empty: as it comes."""

    initial: tuple[int, ...] = ()
    final: tuple[int, ...] = ()


def parse_scheduler(fields: Fields) -> Scheduler:
    name = fields.word("policy", POLICIES)
    policy = POLICIES[name]
    flags = 0
    for flag in fields.words("flags", FLAGS):
        flags |= FLAGS[flag]
    nice = fields.integer("nice", -(2**31), 2**31 - 1) or 0
    if policy in (_OTHER, _BATCH) and not -20 <= nice <= 19:
        raise fields.fail("nice", f"must be between -20 and 19 with {name}")
    priority = fields.integer("priority", -(2**31), 2**31 - 1) or 0
    if priority and policy not in (_FIFO, _RR):
        raise fields.fail("priority", "can only be specified for SCHED_FIFO or SCHED_RR")
    if priority < 0:
        raise fields.fail("priority", "must not be negative")
    times = [fields.unsigned(key, UINT64_MAX) or 0 for key in ("runtime", "deadline", "period")]
    if any(times) and policy != _DEADLINE:
        raise fields.fail("runtime", "deadline and period can only be specified for SCHED_DEADLINE")
    return Scheduler(policy, flags, nice, priority, *times)


def parse_io_priority(fields: Fields) -> IoPriority:
    io_class = IO_CLASSES[fields.word("class", IO_CLASSES)]
    return IoPriority(io_class, fields.integer("priority", 0, 7) or 0)


def parse_cpu_affinity(fields: Fields) -> CpuAffinity:
    return CpuAffinity(_cpus(fields, "initial"), _cpus(fields, "final"))


def _cpus(fields: Fields, key: str) -> tuple[int, ...]:
    try:
        return parse_numbers(fields.string(key), _MAX_CPUS)
    except ValueError as error:
        raise fields.fail(key, f"is not a list of processors: {error}") from None
