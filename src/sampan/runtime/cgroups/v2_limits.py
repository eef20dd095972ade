"""OCI limits as the files of cgroup v2 take them: the conversions that runc and crun have agreed on."""

from __future__ import annotations

import math
import os

from sampan import errors
from sampan.runtime.cgroups import folders
from sampan.runtime.cgroups.v1_limits import rdma_text
from sampan.runtime.spec.resources import BlockIo, Cpu, HugepageLimit, Memory, Resources


def apply(folder: str, resources: Resources) -> None:
    if resources.memory != Memory():
        _memory(folder, resources.memory)
    if resources.cpu != Cpu():
        _cpu(folder, resources.cpu)
    if resources.pids:
        _write(folder, "pids.max", "max" if resources.pids < 0 else str(resources.pids))
    if resources.block_io != BlockIo():
        _block_io(folder, resources.block_io)
    for hugepage in resources.hugepages:
        limit_hugepages(folder, hugepage)
    if resources.network.class_id or resources.network.priorities:
        raise errors.Unsupported("linux.resources.network is not available with cgroup v2")
    for limit in resources.rdma:
        _write(folder, "rdma.max", rdma_text(limit.device, limit.handles, limit.objects))
    for name, value in resources.unified.items():
        for line in value.split("\n"):
            _write(folder, name, line)


def _write(folder: str, file: str, value: str) -> None:
    try:
        folders.write(f"{folder}/{file}", value)
    except FileNotFoundError:
        controller = file.partition(".")[0]
        raise errors.Unsupported(
            f"{file} cannot be set: the cgroup controller {controller} is not available"
        ) from None


def _memory(folder: str, memory: Memory) -> None:
    if memory.kernel or memory.kernel_tcp:
        raise errors.Unsupported("kernel memory limits are not available with cgroup v2")
    if memory.disable_oom_killer:
        raise errors.Unsupported("memory.disableOOMKiller is not available with cgroup v2")
    swap = swap_limit(memory.limit or None, memory.swap or None)
    if swap is not None:
        path = f"{folder}/memory.swap.max"
        # A host without swap accounting has no such file; without a real limit that is as good.
        if swap == "0" or swap == "max":
            if os.path.exists(path):
                folders.write(path, swap)
        else:
            _write(folder, "memory.swap.max", swap)
    if memory.limit:
        if memory.check_before_update and memory.limit > 0:
            used = folders.read_number(f"{folder}/memory.current") or 0
            if used > memory.limit:
                raise errors.InvalidArgument(
                    f"unable to set memory limit to {memory.limit} (current usage: {used})"
                )
        _write(folder, "memory.max", _limit(memory.limit))
    if memory.reservation:
        _write(folder, "memory.low", _limit(memory.reservation))


def swap_limit(limit: int | None, swap: int | None) -> str | None:
    """memory.swap.max, which counts swap alone, from OCI's `swap`, which counts memory and swap together."""
    if swap is None:
        # Unlimited memory with a limit on swap makes no sense to those who ask for it.
        return "max" if limit == -1 else None
    if swap == -1:
        return "max"
    if limit is None or limit == -1:
        raise errors.InvalidArgument("unable to set swap limit without memory limit")
    if swap < limit:
        raise errors.InvalidArgument("memory+swap limit should be >= memory limit")
    return str(swap - limit)


def _limit(value: int) -> str:
    return "max" if value == -1 else str(value)


def cpu_weight(shares: int) -> int:
    """cpu.weight (1-10000, default 100) from cpu.shares (2-262144, default 1024), so that defaults meet (runc
    1.3.2).
    """
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    exponent = math.log2(shares)
    return math.ceil(10 ** ((exponent * exponent + 125 * exponent) / 612 - 7 / 34))


def _cpu(folder: str, cpu: Cpu) -> None:
    if cpu.realtime_period or cpu.realtime_runtime:
        raise errors.Unsupported("realtime CPU limits are not available with cgroup v2")
    if cpu.idle is not None:
        _write(folder, "cpu.idle", str(cpu.idle))
    if cpu.shares and not cpu.idle:
        _write(folder, "cpu.weight", str(cpu_weight(cpu.shares)))
    if cpu.quota or cpu.period:
        # The file takes "QUOTA PERIOD" or "QUOTA"; a period alone needs the quota that is there.
        quota = cpu.quota or 0
        text = str(quota) if quota > 0 else "max"
        if not cpu.quota:
            text = folders.read(f"{folder}/cpu.max").split()[0]
        _write(folder, "cpu.max", f"{text} {cpu.period}" if cpu.period else text)
    if cpu.burst is not None:
        _write(folder, "cpu.max.burst", str(cpu.burst))
    if cpu.cpus:
        _write(folder, "cpuset.cpus", cpu.cpus)
    if cpu.mems:
        _write(folder, "cpuset.mems", cpu.mems)


def io_weight(weight: int) -> int:
    """io.weight (1-10000) from blkio.weight (10-1000)."""
    return 1 + (weight - 10) * 9999 // 990


def _block_io(folder: str, block_io: BlockIo) -> None:
    if block_io.leaf_weight or any(device.leaf_weight for device in block_io.weight_device):
        raise errors.Unsupported("blockIO.leafWeight is not available with cgroup v2")
    # BFQ keeps the range of v1, and has its own file when it is the scheduler.
    has_bfq = os.path.exists(f"{folder}/io.bfq.weight")
    file = "io.bfq.weight" if has_bfq else "io.weight"
    if block_io.weight:
        _write(folder, file, str(block_io.weight if has_bfq else io_weight(block_io.weight)))
    for device in block_io.weight_device:
        if device.weight:
            weight = device.weight if has_bfq else io_weight(device.weight)
            _write(folder, file, f"{device.major}:{device.minor} {weight}")
    for key, rates in (
        ("rbps", block_io.read_bps),
        ("wbps", block_io.write_bps),
        ("riops", block_io.read_iops),
        ("wiops", block_io.write_iops),
    ):
        for rate in rates:
            _write(folder, "io.max", f"{rate.major}:{rate.minor} {key}={rate.rate or 'max'}")


def limit_hugepages(folder: str, limit: HugepageLimit) -> None:
    _write(folder, f"hugetlb.{limit.page_size}.max", str(limit.limit))
    # Also what is reserved and not yet used, where the kernel counts it (since 5.7).
    reserved = f"{folder}/hugetlb.{limit.page_size}.rsvd.max"
    if os.path.exists(reserved):
        folders.write(reserved, str(limit.limit))
