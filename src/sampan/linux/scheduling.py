"""When a process may run and where its memory lies: sched_setattr, ioprio_set and set_mempolicy.

Owns these calls and their structures. All act on the calling thread, and last over execve.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable

from sampan.linux.syscalls import NUMBERS, checked, syscall

# include/uapi/linux/ioprio.h
_IOPRIO_WHO_PROCESS = 1
_IOPRIO_CLASS_SHIFT = 13

# The greatest number of nodes of any kernel (CONFIG_NODES_SHIFT=10).
MAX_NODES = 1024


class _SchedulerAttributes(ctypes.Structure):
    """struct sched_attr (SCHED_ATTR_SIZE_VER1, Linux 5.3)"""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
        ("util_min", ctypes.c_uint32),
        ("util_max", ctypes.c_uint32),
    )


def sched_setattr(
    policy: int,
    *,
    flags: int = 0,
    nice: int = 0,
    priority: int = 0,
    runtime: int = 0,
    deadline: int = 0,
    period: int = 0,
) -> None:
    """Set the scheduling policy, with times in nanoseconds: sched_setattr(2)."""
    attributes = _SchedulerAttributes(0, policy, flags, nice, priority, runtime, deadline, period)
    attributes.size = ctypes.sizeof(attributes)
    checked(syscall(NUMBERS["sched_setattr"], 0, ctypes.byref(attributes), 0), "sched_setattr")


def ioprio_set(io_class: int, priority: int) -> None:
    """Set the class (1 real time, 2 best effort, 3 idle) and priority of input and output: ioprio_set(2)."""
    value = io_class << _IOPRIO_CLASS_SHIFT | priority
    checked(syscall(NUMBERS["ioprio_set"], _IOPRIO_WHO_PROCESS, 0, value), "ioprio_set")


def set_mempolicy(mode: int, nodes: Iterable[int]) -> None:
    """Set the NUMA memory policy; `mode` holds the mode and its flags: set_mempolicy(2)."""
    mask = 0
    for node in nodes:
        if node >= MAX_NODES:
            raise OSError(errno.EINVAL, f"set_mempolicy: {os.strerror(errno.EINVAL)}")
        mask |= 1 << node
    # The kernel looks at one bit less than it is told of (set_mempolicy(2), BUGS), and takes no empty mask.
    size = 0 if mask == 0 else MAX_NODES + 1
    # Whole words, of which the last holds the one bit more.
    words = mask.to_bytes(MAX_NODES // 8 + 8, "little") if mask else None
    checked(syscall(NUMBERS["set_mempolicy"], mode, words, size), "set_mempolicy")
