"""`linux.resources` of config.json: limits as cgroups take them. None means: leave the kernel's value."""

from __future__ import annotations

from sampan import errors
from sampan.records import dataclass, field
from sampan.runtime.spec.fields import UINT64_MAX, Fields


@dataclass(frozen=True, slots=True)
class DeviceRule:
    """One rule of the device controller. A major or minor of None stands for all."""

    allow: bool
    type: str  # "a", "b" or "c"
    major: int | None
    minor: int | None
    access: str  # of "r", "w" and "m"


@dataclass(frozen=True, slots=True)
class Memory:
    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None  # memory and swap together
    kernel: int | None = None
    kernel_tcp: int | None = None
    swappiness: int | None = None
    disable_oom_killer: bool = False
    check_before_update: bool = False


@dataclass(frozen=True, slots=True)
class Cpu:
    shares: int | None = None
    quota: int | None = None
    burst: int | None = None
    period: int | None = None
    realtime_runtime: int | None = None
    realtime_period: int | None = None
    cpus: str = ""
    mems: str = ""
    idle: int | None = None


@dataclass(frozen=True, slots=True)
class DeviceWeight:
    major: int
    minor: int
    weight: int | None
    leaf_weight: int | None


@dataclass(frozen=True, slots=True)
class DeviceRate:
    major: int
    minor: int
    rate: int


@dataclass(frozen=True, slots=True)
class BlockIo:
    weight: int | None = None
    leaf_weight: int | None = None
    weight_device: tuple[DeviceWeight, ...] = ()
    read_bps: tuple[DeviceRate, ...] = ()
    write_bps: tuple[DeviceRate, ...] = ()
    read_iops: tuple[DeviceRate, ...] = ()
    write_iops: tuple[DeviceRate, ...] = ()


@dataclass(frozen=True, slots=True)
class HugepageLimit:
    page_size: str
    limit: int


@dataclass(frozen=True, slots=True)
class Network:
    class_id: int | None = None
    priorities: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class RdmaLimit:
    device: str
    handles: int | None
    objects: int | None


@dataclass(frozen=True, slots=True)
class Resources:
    """Everything that a cgroup can limit. `unified` is written last, to cgroup v2 only."""

    devices: tuple[DeviceRule, ...] = ()
    memory: Memory = Memory()
    cpu: Cpu = Cpu()
    pids: int | None = None
    block_io: BlockIo = BlockIo()
    hugepages: tuple[HugepageLimit, ...] = ()
    network: Network = Network()
    rdma: tuple[RdmaLimit, ...] = ()
    unified: dict[str, str] = field(default_factory=dict)


def parse_resources(document: object, path: str = "linux.resources") -> Resources:
    fields = Fields(document, path)
    return Resources(
        devices=tuple(_device_rule(entry) for entry in fields.children("devices")),
        memory=_memory(fields.child_or_empty("memory")),
        cpu=_cpu(fields.child_or_empty("cpu")),
        pids=_pids(fields.child("pids")),
        block_io=_block_io(fields.child_or_empty("blockIO")),
        hugepages=tuple(_hugepage(entry) for entry in fields.children("hugepageLimits")),
        network=_network(fields.child_or_empty("network")),
        rdma=_rdma(fields.child_or_empty("rdma")),
        unified=_unified(fields),
    )


def _device_rule(fields: Fields) -> DeviceRule:
    kind = fields.string("type") or "a"
    if kind not in ("a", "b", "c"):
        raise fields.fail("type", f'"{kind}" is none of a, b and c')
    access = fields.string("access") or "rwm"
    if not set(access) <= set("rwm"):
        raise fields.fail("access", f'"{access}" holds more than r, w and m')
    numbers = []
    for key in ("major", "minor"):
        number = fields.integer(key, -1, 0xFFFFFFFF)
        numbers.append(None if number == -1 else number)
    allow = fields.optional_boolean("allow")
    if allow is None:
        raise fields.fail("allow", "is required")
    return DeviceRule(allow, kind, numbers[0], numbers[1], access)


def _pids(fields: Fields | None) -> int | None:
    if fields is None:
        return None
    limit = fields.integer("limit")
    if limit is None:
        raise fields.fail("limit", "is required")
    return limit


def _memory(fields: Fields) -> Memory:
    fields.boolean("useHierarchy")  # only looked at: since Linux 5.11 there is no other way
    return Memory(
        limit=fields.integer("limit", -1),
        reservation=fields.integer("reservation", -1),
        swap=fields.integer("swap", -1),
        kernel=fields.integer("kernel", -1),
        kernel_tcp=fields.integer("kernelTCP", -1),
        # -1 has long been written for "unset" by Docker.
        swappiness=_unset_if(fields.integer("swappiness", -1, UINT64_MAX), -1, UINT64_MAX),
        disable_oom_killer=fields.boolean("disableOOMKiller"),
        check_before_update=fields.boolean("checkBeforeUpdate"),
    )


def _unset_if(value: int | None, *unset: int) -> int | None:
    return None if value in unset else value


def _cpu(fields: Fields) -> Cpu:
    return Cpu(
        shares=fields.unsigned("shares", UINT64_MAX),
        quota=fields.integer("quota"),
        burst=fields.unsigned("burst", UINT64_MAX),
        period=fields.unsigned("period", UINT64_MAX),
        realtime_runtime=fields.integer("realtimeRuntime"),
        realtime_period=fields.unsigned("realtimePeriod", UINT64_MAX),
        cpus=fields.string("cpus"),
        mems=fields.string("mems"),
        idle=fields.integer("idle", 0, 1),
    )


def _block_io(fields: Fields) -> BlockIo:
    def rates(key: str) -> tuple[DeviceRate, ...]:
        return tuple(
            DeviceRate(
                entry.required_unsigned("major"),
                entry.required_unsigned("minor"),
                entry.unsigned("rate", UINT64_MAX) or 0,
            )
            for entry in fields.children(key)
        )

    weights = tuple(
        DeviceWeight(
            entry.required_unsigned("major"),
            entry.required_unsigned("minor"),
            entry.unsigned("weight", 1000),
            entry.unsigned("leafWeight", 1000),
        )
        for entry in fields.children("weightDevice")
    )
    return BlockIo(
        weight=fields.unsigned("weight", 1000),
        leaf_weight=fields.unsigned("leafWeight", 1000),
        weight_device=weights,
        read_bps=rates("throttleReadBpsDevice"),
        write_bps=rates("throttleWriteBpsDevice"),
        read_iops=rates("throttleReadIOPSDevice"),
        write_iops=rates("throttleWriteIOPSDevice"),
    )


def _hugepage(fields: Fields) -> HugepageLimit:
    size = fields.string("pageSize")
    # It becomes part of a file name.
    number = size[:-2]
    plain = number.isascii() and number.isdecimal() and not number.startswith("0")
    if not plain or size[-2:] not in ("KB", "MB", "GB"):
        raise fields.fail("pageSize", f'"{size}" is not a size such as 2MB')
    return HugepageLimit(size, fields.required_unsigned("limit", UINT64_MAX))


def _network(fields: Fields) -> Network:
    priorities = tuple(
        (entry.required_string("name"), entry.required_unsigned("priority"))
        for entry in fields.children("priorities")
    )
    return Network(fields.unsigned("classID"), priorities)


def _rdma(fields: Fields) -> tuple[RdmaLimit, ...]:
    limits = []
    for device in fields.document:
        entry = fields.child_or_empty(device)
        limits.append(RdmaLimit(device, entry.unsigned("hcaHandles"), entry.unsigned("hcaObjects")))
    return tuple(limits)


def _unified(fields: Fields) -> dict[str, str]:
    values = fields.string_map("unified")
    for name in values:
        # A key is the name of a file in the container's own cgroup, and of no other.
        if "/" in name or name.startswith("cgroup.") or "." not in name.strip("."):
            raise errors.InvalidArgument(
                f'config.json: {fields.name("unified")}: "{name}" is not a controller\'s file'
            )
    return values
