"""Docker's limits as `linux.resources` of the OCI specification. Pure.

The numbers of block devices come from the caller, who has looked at the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sampan.engine.devices import parse_rule
from sampan.engine.schema import HostConfig, ThrottleDevice

Document = dict[str, Any]
Numbers = Mapping[str, tuple[int, int]]

# `--cpus` is a share of this period (https://docs.kernel.org/scheduler/sched-bwc.html).
_CPUS_PERIOD = 100_000


def build(config: HostConfig, rules: Sequence[Document], blocks: Numbers) -> Document:
    """`rules` are the device rules before those of `--device-cgroup-rule`; `blocks`: path → major, minor."""
    resources: Document = {
        "devices": [*rules, *(parse_rule(text) for text in config.device_cgroup_rules or ())]
    }
    for name, part in (
        ("memory", _memory(config)),
        ("cpu", _cpu(config)),
        ("blockIO", _block_io(config, blocks)),
    ):
        if part:
            resources[name] = part
    if config.pids_limit:
        resources["pids"] = {"limit": config.pids_limit}
    return resources


def _positive(**values: int) -> Document:
    return {name: value for name, value in values.items() if value > 0}


def _memory(config: HostConfig) -> Document:
    memory = _positive(limit=config.memory, reservation=config.memory_reservation, swap=config.memory_swap)
    if config.memory_swappiness is not None:
        memory["swappiness"] = config.memory_swappiness
    if config.oom_kill_disable:
        memory["disableOOMKiller"] = True
    return memory


def _cpu(config: HostConfig) -> Document:
    cpu = _positive(
        shares=config.cpu_shares,
        period=config.cpu_period,
        realtimePeriod=config.cpu_realtime_period,
        realtimeRuntime=config.cpu_realtime_runtime,
    )
    if config.cpu_quota:
        cpu["quota"] = config.cpu_quota
    if config.nano_cpus > 0:
        cpu |= {"period": _CPUS_PERIOD, "quota": config.nano_cpus * _CPUS_PERIOD // 1_000_000_000}
    if config.cpuset_cpus:
        cpu["cpus"] = config.cpuset_cpus
    if config.cpuset_mems:
        cpu["mems"] = config.cpuset_mems
    return cpu


def _block_io(config: HostConfig, blocks: Numbers) -> Document:
    block_io = _positive(weight=config.blkio_weight)
    if config.blkio_weight_device:
        block_io["weightDevice"] = [
            _numbered(device.path, blocks) | {"weight": device.weight}
            for device in config.blkio_weight_device
        ]
    for name, devices in (
        ("throttleReadBpsDevice", config.blkio_device_read_bps),
        ("throttleWriteBpsDevice", config.blkio_device_write_bps),
        ("throttleReadIOPSDevice", config.blkio_device_read_iops),
        ("throttleWriteIOPSDevice", config.blkio_device_write_iops),
    ):
        if devices:
            block_io[name] = [_numbered(device.path, blocks) | {"rate": device.rate} for device in devices]
    return block_io


def _numbered(path: str, blocks: Numbers) -> Document:
    major, minor = blocks[path]
    return {"major": major, "minor": minor}


def block_paths(config: HostConfig) -> set[str]:
    """The block devices that limits name."""
    throttled: list[ThrottleDevice] = []
    for devices in (
        config.blkio_device_read_bps,
        config.blkio_device_write_bps,
        config.blkio_device_read_iops,
        config.blkio_device_write_iops,
    ):
        throttled += devices or ()
    return {device.path for device in (*throttled, *(config.blkio_weight_device or ()))}
