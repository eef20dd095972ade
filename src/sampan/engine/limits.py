"""Limits on resources: dockerd's checks, warnings and messages (verifyPlatformContainerResources).

Owns what is wrong with a limit, and which ones this host cannot set; those are dropped with a warning, as
dockerd does, since a client that sees no warning may rely on the limit. Pure: the host comes as a value.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sampan import errors
from sampan.engine import host as hosts
from sampan.engine.host import Host
from sampan.engine.schema import HostConfig

_MINIMUM_MEMORY = 6 << 20
_UNMOUNTED = "or the cgroup is not mounted"


def check(config: HostConfig, host: Host) -> tuple[HostConfig, list[str]]:
    """The configuration with what the host cannot do taken out, and the warnings that say so."""
    warnings: list[str] = []
    for step in (_memory, _memory_policy, _cpu, _cpuset, _block_io):
        config = step(config, host, warnings)
    return config, warnings


def _changed(config: HostConfig, **changes: Any) -> HostConfig:
    return msgspec.structs.replace(config, **changes)


def _refuse_if(condition: object, message: str) -> None:
    if condition:
        raise errors.InvalidArgument(message)


def _memory(config: HostConfig, host: Host, warnings: list[str]) -> HostConfig:
    memory, swap, reservation = config.memory, config.memory_swap, config.memory_reservation
    _refuse_if(memory and memory < _MINIMUM_MEMORY, "Minimum memory limit allowed is 6MB")
    if memory > 0 and "memory" not in host.controllers:
        warnings.append(
            f"Your kernel does not support memory limit capabilities {_UNMOUNTED}. Limitation discarded."
        )
        memory, swap, reservation = 0, -1, 0
    if memory > 0 and swap != -1 and not host.swap_limit:
        warnings.append(
            f"Your kernel does not support swap limit capabilities {_UNMOUNTED}. Memory limited without swap."
        )
        swap = -1
    _refuse_if(
        memory > 0 and 0 < swap < memory,
        "Minimum memoryswap limit should be larger than memory limit, see usage",
    )
    _refuse_if(
        memory == 0 and swap > 0,
        "You should always set the Memory limit when using Memoryswap limit, see usage",
    )
    _refuse_if(0 < reservation < _MINIMUM_MEMORY, "Minimum memory reservation allowed is 6MB")
    _refuse_if(
        memory > 0 and reservation > memory,
        "Minimum memory limit can not be less than memory reservation limit, see usage",
    )
    return _changed(config, memory=memory, memory_swap=swap, memory_reservation=reservation)


def _memory_policy(config: HostConfig, host: Host, warnings: list[str]) -> HostConfig:
    swappiness, oom_kill_disable = config.memory_swappiness, config.oom_kill_disable
    if swappiness == -1:
        swappiness = None
    if swappiness is not None and host.cgroup_version == 2:
        warnings.append(
            f"Your kernel does not support memory swappiness capabilities {_UNMOUNTED}. "
            "Memory swappiness discarded."
        )
        swappiness = None
    if swappiness is not None and not 0 <= swappiness <= 100:
        raise errors.InvalidArgument(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if oom_kill_disable and host.cgroup_version == 2:
        warnings.append("Your kernel does not support OomKillDisable. OomKillDisable discarded.")
        oom_kill_disable = None
    if oom_kill_disable and config.memory == 0:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the "
            "system running out of resources."
        )
    pids = config.pids_limit
    if pids is not None and pids > 0 and "pids" not in host.controllers:
        warnings.append(
            f"Your kernel does not support PIDs limit capabilities {_UNMOUNTED}. PIDs limit discarded."
        )
        pids = None
    return _changed(
        config,
        memory_swappiness=swappiness,
        oom_kill_disable=oom_kill_disable,
        # 0 and everything below it mean: no limit (moby, postContainersCreate).
        pids_limit=pids if pids is not None and pids > 0 else None,
    )


def _cpu(config: HostConfig, host: Host, warnings: list[str]) -> HostConfig:
    nano, period, quota, shares = config.nano_cpus, config.cpu_period, config.cpu_quota, config.cpu_shares
    _refuse_if(nano > 0 and period > 0, "Conflicting options: Nano CPUs and CPU Period cannot both be set")
    _refuse_if(nano > 0 and quota > 0, "Conflicting options: Nano CPUs and CPU Quota cannot both be set")
    _refuse_if(
        nano < 0 or nano > host.processors * 1_000_000_000,
        f"Range of CPUs is from 0.01 to {host.processors}.00, "
        f"as there are only {host.processors} CPUs available",
    )
    has_cpu = "cpu" in host.controllers
    _refuse_if(
        nano > 0 and not has_cpu,
        f"NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler {_UNMOUNTED}",
    )
    if shares > 0 and not has_cpu:
        warnings.append(f"Your kernel does not support CPU shares {_UNMOUNTED}. Shares discarded.")
        shares = 0
    if (period or quota) and not has_cpu:
        warnings.append("Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.")
        period = quota = 0
    _refuse_if(
        period and not 1000 <= period <= 1_000_000,
        "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
    )
    _refuse_if(0 < quota < 1000, "CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if config.cpu_percent > 0:
        warnings.append("linux does not support CPU percent. Percent discarded.")
    _check_realtime(config, host)
    return _changed(config, cpu_shares=shares, cpu_period=period, cpu_quota=quota, cpu_percent=0)


def _check_realtime(config: HostConfig, host: Host) -> None:
    period, runtime = config.cpu_realtime_period, config.cpu_realtime_runtime
    _refuse_if(period > 0 and not host.realtime, "Your kernel does not support cgroup cpu real-time period")
    _refuse_if(runtime > 0 and not host.realtime, "Your kernel does not support cgroup cpu real-time runtime")
    _refuse_if(
        period > 0 and runtime > 0 and runtime > period,
        "cpu real-time runtime cannot be higher than cpu real-time period",
    )


def _cpuset(config: HostConfig, host: Host, warnings: list[str]) -> HostConfig:
    if (config.cpuset_cpus or config.cpuset_mems) and "cpuset" not in host.controllers:
        warnings.append(f"Your kernel does not support cpuset {_UNMOUNTED}. Cpuset discarded.")
        return _changed(config, cpuset_cpus="", cpuset_mems="")
    for kind, what, wanted, available in (
        ("cpus", "CPUs", config.cpuset_cpus, host.cpus),
        ("mems", "memory nodes", config.cpuset_mems, host.memory_nodes),
    ):
        try:
            asked = hosts.numbers(wanted)
        except errors.InvalidArgument as error:
            message = f"Invalid value {wanted} for cpuset {kind}: {error.message}"
            raise errors.InvalidArgument(message) from None
        _refuse_if(
            not asked <= hosts.numbers(available),
            f"Requested {what} are not available - requested {wanted}, available: {available}",
        )
    return config


_RATES = (
    ("blkio_device_read_bps", "BPS Block I/O read limit", "Block I/O BPS read limit"),
    ("blkio_device_write_bps", "BPS Block I/O write limit", "Block I/O BPS write limit"),
    ("blkio_device_read_iops", "IOPS Block read limit", "Block I/O IOPS read limit"),
    ("blkio_device_write_iops", "IOPS Block write limit", "Block I/O IOPS write limit"),
)


def _block_io(config: HostConfig, host: Host, warnings: list[str]) -> HostConfig:
    changes: dict[str, object] = {}

    def discard(field: str, what: str, consequence: str, empty: object) -> None:
        warnings.append(f"Your kernel does not support {what} {_UNMOUNTED}. {consequence} discarded.")
        changes[field] = empty

    if config.blkio_weight and not host.block_weight:
        discard("blkio_weight", "Block I/O weight", "Weight", 0)
    elif config.blkio_weight:
        _refuse_if(not 10 <= config.blkio_weight <= 1000, "Range of blkio weight is from 10 to 1000")
    if config.blkio_weight_device and not host.block_weight:
        discard("blkio_weight_device", "Block I/O weight_device", "Weight-device", [])
    _refuse_if(
        config.io_maximum_bandwidth or config.io_maximum_iops,
        "Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps",
    )
    if not {"blkio", "io"} & host.controllers:
        for field, what, consequence in _RATES:
            if getattr(config, field):
                discard(field, what, consequence, [])
    return _changed(config, **changes)
