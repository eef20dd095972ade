"""`stats`: what a container uses, as Docker's API tells it.

Owns the document (moby's container.StatsResponse) and where its numbers come from: the cgroup, /proc/stat and
the network namespace of the container's first process. One sample of one container takes 0.5 ms in a thread.
"""

from __future__ import annotations

import os
import time
from typing import Any

from sampan.runtime.cgroups import Cgroup, Stats
from sampan.wire import gotime

Document = dict[str, Any]

_BLKIO = (
    "io_service_bytes_recursive",
    "io_serviced_recursive",
    "io_queue_recursive",
    "io_service_time_recursive",
    "io_wait_time_recursive",
    "io_merged_recursive",
    "io_time_recursive",
    "sectors_recursive",
)
_NETWORK = ("bytes", "packets", "errors", "dropped")
_TICKS = os.sysconf("SC_CLK_TCK")
# user to softirq: guest time is in them already (proc_stat(5)).
_SYSTEM_FIELDS = 7


def sample(name: str, identifier: str, cgroup: Cgroup, pid: int) -> Document:
    """In a thread: one sample, without what was before it. `pid` is the container's first process."""
    stats = cgroup.stats()
    document = {
        "read": gotime.format_rfc3339(time.time_ns()),
        "preread": gotime.ZERO_TEXT,
        "pids_stats": _known({"current": stats.pids_current, "limit": stats.pids_limit}),
        "blkio_stats": _block_io(stats),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu(stats),
        "precpu_stats": _no_cpu(),
        "memory_stats": _memory(stats),
        "name": f"/{name}",
        "id": identifier,
    }
    networks = _networks(pid)
    if networks:
        document["networks"] = networks
    return document


def nothing(name: str, identifier: str) -> Document:
    """The sample of a container that does not run."""
    return {
        "read": gotime.ZERO_TEXT,
        "preread": gotime.ZERO_TEXT,
        "pids_stats": {},
        "blkio_stats": dict.fromkeys(_BLKIO),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _no_cpu(),
        "precpu_stats": _no_cpu(),
        "memory_stats": {},
        "name": f"/{name}",
        "id": identifier,
    }


def following(document: Document, before: Document | None) -> Document:
    """A sample with what the one before it said, from which clients compute a percentage."""
    if before is None:
        return document
    return document | {"preread": before["read"], "precpu_stats": before["cpu_stats"]}


def _known(numbers: dict[str, int | None]) -> dict[str, int]:
    return {name: number for name, number in numbers.items() if number is not None}


def _cpu(stats: Stats) -> Document:
    return {
        "cpu_usage": {
            "total_usage": stats.cpu_total or 0,
            "usage_in_kernelmode": stats.cpu_system or 0,
            "usage_in_usermode": stats.cpu_user or 0,
        },
        "system_cpu_usage": _system_time(),
        "online_cpus": os.sysconf("SC_NPROCESSORS_ONLN"),
        "throttling_data": {
            "periods": stats.cpu_periods,
            "throttled_periods": stats.cpu_throttled_periods,
            "throttled_time": stats.cpu_throttled_time,
        },
    }


def _no_cpu() -> Document:
    return {
        "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    }


def _system_time() -> int:
    """The time of all processors together, in nanoseconds."""
    with open("/proc/stat", "rb") as file:
        fields = file.readline().split()
    return sum(int(field) for field in fields[1 : 1 + _SYSTEM_FIELDS]) * gotime.NANOSECONDS // _TICKS


def _memory(stats: Stats) -> Document:
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    document = _known({"usage": stats.memory_usage, "max_usage": stats.memory_peak})
    details = dict(sorted(stats.memory_details.items()))
    return document | {"stats": details, "limit": min(stats.memory_limit or whole, whole)}


def _block_io(stats: Stats) -> Document:
    document: Document = {name: [] for name in _BLKIO}
    for device, numbers in sorted(stats.block_io.items()):
        major, _, minor = device.partition(":")
        for name, reads, writes in (
            ("io_service_bytes_recursive", "read", "write"),
            ("io_serviced_recursive", "reads", "writes"),
        ):
            for operation, key in (("Read", reads), ("Write", writes)):
                document[name].append(
                    {"major": int(major), "minor": int(minor), "op": operation, "value": numbers.get(key, 0)}
                )
    return document


def _networks(pid: int) -> Document:
    """Interface → counters, in the namespace of a process."""
    try:
        with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:
            lines = file.read().splitlines()[2:]
    except OSError:
        return {}  # it has just ended
    found = {}
    for line in lines:
        name, _, numbers = line.partition(":")
        fields = [int(field) for field in numbers.split()]
        if name.strip() != "lo" and len(fields) >= 12:
            received = {f"rx_{what}": number for what, number in zip(_NETWORK, fields[:4], strict=True)}
            sent = {f"tx_{what}": number for what, number in zip(_NETWORK, fields[8:12], strict=True)}
            found[name.strip()] = received | sent
    return found
