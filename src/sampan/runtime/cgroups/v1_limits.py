"""OCI limits as the files of cgroup v1 take them."""

from __future__ import annotations

import errno
import os

from sampan import errors
from sampan.runtime.cgroups import folders
from sampan.runtime.cgroups.device_rules import DEFAULT_RULES, rule_text
from sampan.runtime.spec.resources import BlockIo, Cpu, DeviceRule, Memory, Resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.runtime.cgroups.v1 import V1Cgroup
    from sampan.runtime.cgroups.v2 import V2Cgroup


def apply(cgroup: V1Cgroup, resources: Resources, unified: V2Cgroup | None) -> None:
    if resources.unified:
        raise errors.Unsupported("invalid configuration: cannot use unified on cgroup v1")
    if resources.devices:
        _devices(cgroup, resources.devices)
    if resources.memory != Memory():
        _memory(cgroup.folder("memory"), resources.memory)
    if resources.cpu != Cpu():
        _cpu(cgroup, resources.cpu)
    if resources.pids:
        limit = "max" if resources.pids < 0 else str(resources.pids)
        folders.write(f"{cgroup.folder('pids')}/pids.max", limit)
    if resources.block_io != BlockIo():
        _block_io(cgroup.folder("blkio"), resources.block_io)
    for hugepage in resources.hugepages:
        if unified is not None and not cgroup.has("hugetlb"):
            unified.limit_hugepages(hugepage)
        else:
            file = f"hugetlb.{hugepage.page_size}.limit_in_bytes"
            folders.write(f"{cgroup.folder('hugetlb')}/{file}", str(hugepage.limit))
    _network_and_rdma(cgroup, resources)


def _devices(cgroup: V1Cgroup, rules: tuple[DeviceRule, ...]) -> None:
    folder = cgroup.folder("devices")
    for rule in (*rules, *DEFAULT_RULES):
        folders.write(f"{folder}/devices.{'allow' if rule.allow else 'deny'}", rule_text(rule))


def _memory(folder: str, memory: Memory) -> None:
    limit, swap = memory.limit or None, memory.swap or None
    if limit == -1 and swap is None and os.path.exists(f"{folder}/memory.memsw.limit_in_bytes"):
        swap = -1  # an unlimited memory is never within a limit of memory and swap
    # The kernel insists on limit <= swap at every moment, so the one that makes room goes first.
    steps = [("memory.limit_in_bytes", limit), ("memory.memsw.limit_in_bytes", swap)]
    if swap is not None and limit is not None:
        current = folders.read_number(f"{folder}/memory.memsw.limit_in_bytes") or 0
        if swap == -1 or current < swap:
            steps.reverse()
    for file, value in steps:
        if value is not None:
            _write_memory_limit(folder, file, value)
    if memory.reservation:
        folders.write(f"{folder}/memory.soft_limit_in_bytes", str(memory.reservation))
    if memory.kernel:
        folders.write(f"{folder}/memory.kmem.limit_in_bytes", str(memory.kernel))
    if memory.kernel_tcp:
        folders.write(f"{folder}/memory.kmem.tcp.limit_in_bytes", str(memory.kernel_tcp))
    if memory.swappiness is not None:
        if memory.swappiness > 100:
            raise errors.InvalidArgument(
                f"invalid memory swappiness value: {memory.swappiness} (valid range is 0-100)"
            )
        folders.write(f"{folder}/memory.swappiness", str(memory.swappiness))
    if memory.disable_oom_killer:
        folders.write(f"{folder}/memory.oom_control", "1")


def _write_memory_limit(folder: str, file: str, value: int) -> None:
    try:
        folders.write(f"{folder}/{file}", str(value))
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        used = folders.read_number(f"{folder}/memory.usage_in_bytes")
        peak = folders.read_number(f"{folder}/memory.max_usage_in_bytes")
        raise errors.InvalidArgument(
            f"unable to set memory limit to {value} (current usage: {used}, peak usage: {peak})"
        ) from error


def _cpu(cgroup: V1Cgroup, cpu: Cpu) -> None:
    if cpu.cpus or cpu.mems:
        folder = cgroup.folder("cpuset")
        if cpu.cpus:
            folders.write(f"{folder}/cpuset.cpus", cpu.cpus)
        if cpu.mems:
            folders.write(f"{folder}/cpuset.mems", cpu.mems)
    if not cgroup.has("cpu") and cpu.shares is cpu.quota is cpu.period is None:
        return
    folder = cgroup.folder("cpu")
    _realtime(folder, cpu)
    if cpu.shares:
        _write_shares(folder, cpu.shares)
    _bandwidth(folder, cpu)
    if cpu.burst is not None:
        folders.write(f"{folder}/cpu.cfs_burst_us", str(cpu.burst))
    if cpu.idle is not None:
        folders.write(f"{folder}/cpu.idle", str(cpu.idle))


def _realtime(folder: str, cpu: Cpu) -> None:
    if cpu.realtime_period:
        folders.write(f"{folder}/cpu.rt_period_us", str(cpu.realtime_period))
    if cpu.realtime_runtime:
        folders.write(f"{folder}/cpu.rt_runtime_us", str(cpu.realtime_runtime))


def _write_shares(folder: str, shares: int) -> None:
    folders.write(f"{folder}/cpu.shares", str(shares))
    # The kernel silently goes as far as it can.
    actual = folders.read_number(f"{folder}/cpu.shares") or 0
    if shares > actual:
        raise errors.InvalidArgument(f"the maximum allowed cpu-shares is {actual}")
    if shares < actual:
        raise errors.InvalidArgument(f"the minimum allowed cpu-shares is {actual}")


def _bandwidth(folder: str, cpu: Cpu) -> None:
    period_is_set = False
    if cpu.period:
        try:
            folders.write(f"{folder}/cpu.cfs_period_us", str(cpu.period))
            period_is_set = True
        except OSError as error:
            # The old quota can be too much for the new period: then the quota has to change first.
            if error.errno != errno.EINVAL or not cpu.quota:
                raise
    if cpu.quota:
        folders.write(f"{folder}/cpu.cfs_quota_us", str(cpu.quota))
    if cpu.period and not period_is_set:
        folders.write(f"{folder}/cpu.cfs_period_us", str(cpu.period))


def _block_io(folder: str, block_io: BlockIo) -> None:
    # Since Linux 5.0 weights belong to the BFQ scheduler alone.
    prefix = "blkio.bfq" if os.path.exists(f"{folder}/blkio.bfq.weight") else "blkio"
    if block_io.weight:
        folders.write(f"{folder}/{prefix}.weight", str(block_io.weight))
    if block_io.leaf_weight:
        folders.write(f"{folder}/blkio.leaf_weight", str(block_io.leaf_weight))
    for device in block_io.weight_device:
        number = f"{device.major}:{device.minor}"
        if device.weight:
            folders.write(f"{folder}/{prefix}.weight_device", f"{number} {device.weight}")
        if device.leaf_weight:
            folders.write(f"{folder}/blkio.leaf_weight_device", f"{number} {device.leaf_weight}")
    for file, rates in (
        ("read_bps_device", block_io.read_bps),
        ("write_bps_device", block_io.write_bps),
        ("read_iops_device", block_io.read_iops),
        ("write_iops_device", block_io.write_iops),
    ):
        for rate in rates:
            folders.write(f"{folder}/blkio.throttle.{file}", f"{rate.major}:{rate.minor} {rate.rate}")


def _network_and_rdma(cgroup: V1Cgroup, resources: Resources) -> None:
    if resources.network.class_id:
        folders.write(f"{cgroup.folder('net_cls')}/net_cls.classid", str(resources.network.class_id))
    for name, priority in resources.network.priorities:
        folders.write(f"{cgroup.folder('net_prio')}/net_prio.ifpriomap", f"{name} {priority}")
    for limit in resources.rdma:
        folders.write(
            f"{cgroup.folder('rdma')}/rdma.max", rdma_text(limit.device, limit.handles, limit.objects)
        )


def rdma_text(device: str, handles: int | None, objects: int | None) -> str:
    parts = [device]
    if handles is not None:
        parts.append(f"hca_handle={handles}")
    if objects is not None:
        parts.append(f"hca_object={objects}")
    return " ".join(parts)
