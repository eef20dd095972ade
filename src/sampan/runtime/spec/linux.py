"""`linux` of config.json: namespaces, devices, the cgroup and what is hidden in /proc and /sys."""

from __future__ import annotations

from sampan.linux import mounts, processes
from sampan.records import dataclass, field
from sampan.runtime.spec.fields import UINT32_MAX, Fields
from sampan.runtime.spec.id_mappings import IdMapping, parse_mappings
from sampan.runtime.spec.resources import Resources, parse_resources

# Type in config.json -> (clone flag, name in /proc/PID/ns).
NAMESPACES = {
    "user": (processes.CLONE_NEWUSER, "user"),
    "pid": (processes.CLONE_NEWPID, "pid"),
    "network": (processes.CLONE_NEWNET, "net"),
    "mount": (processes.CLONE_NEWNS, "mnt"),
    "ipc": (processes.CLONE_NEWIPC, "ipc"),
    "uts": (processes.CLONE_NEWUTS, "uts"),
    "cgroup": (processes.CLONE_NEWCGROUP, "cgroup"),
    "time": (processes.CLONE_NEWTIME, "time"),
}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.runtime.spec.intel_rdt import IntelRdt
    from sampan.runtime.spec.memory_policy import MemoryPolicy

# The specification names four; runc takes the recursive ones as well, and Docker asks for them.
_PROPAGATIONS = {
    "": None,
    "private": (mounts.MS_PRIVATE, False),
    "rprivate": (mounts.MS_PRIVATE, True),
    "slave": (mounts.MS_SLAVE, False),
    "rslave": (mounts.MS_SLAVE, True),
    "shared": (mounts.MS_SHARED, False),
    "rshared": (mounts.MS_SHARED, True),
    "unbindable": (mounts.MS_UNBINDABLE, False),
    "runbindable": (mounts.MS_UNBINDABLE, True),
}

# personality(2): the low byte of PER_LINUX and PER_LINUX32.
_PERSONALITIES = {"LINUX": 0x0000, "LINUX32": 0x0008}


@dataclass(frozen=True, slots=True)
class TimeOffset:
    clock: str  # "monotonic" or "boottime"
    seconds: int
    nanoseconds: int


@dataclass(frozen=True, slots=True)
class Device:
    """A device node to make. `type` is "c", "b" or "p", as in mknod(1)."""

    path: str
    type: str
    major: int = 0
    minor: int = 0
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class NetDevice:
    """A network device of the host that moves into the container, as `name`, which may hold one "%d"."""

    host: str
    name: str


@dataclass(frozen=True, slots=True)
class Linux:
    """`namespaces`: type -> path of the one to join, None for a new one. A type that is not in it is the
    caller's.
    """

    namespaces: dict[str, str | None] = field(default_factory=dict)
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    time_offsets: tuple[TimeOffset, ...] = ()
    devices: tuple[Device, ...] = ()
    net_devices: tuple[NetDevice, ...] = ()
    cgroups_path: str = ""
    resources: Resources = field(default_factory=Resources)
    sysctl: dict[str, str] = field(default_factory=dict)
    seccomp: dict[str, object] | None = None
    rootfs_propagation: tuple[int, bool] | None = None  # (MS_SHARED …, recursive)
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    personality: int | None = None
    mount_label: str = ""
    intel_rdt: IntelRdt | None = None
    memory_policy: MemoryPolicy | None = None

    def is_new(self, namespace: str) -> bool:
        return namespace in self.namespaces and self.namespaces[namespace] is None


def parse_linux(fields: Fields) -> Linux:
    propagation = fields.string("rootfsPropagation")
    if propagation not in _PROPAGATIONS:
        raise fields.fail("rootfsPropagation", f'"{propagation}" is not a propagation')
    seccomp = fields.child("seccomp")
    resources = fields.document.get("resources")
    return Linux(
        namespaces=_namespaces(fields),
        uid_mappings=parse_mappings(fields, "uidMappings"),
        gid_mappings=parse_mappings(fields, "gidMappings"),
        time_offsets=_time_offsets(fields.child_or_empty("timeOffsets")),
        devices=tuple(_device(entry) for entry in fields.children("devices")),
        net_devices=_net_devices(fields.child_or_empty("netDevices")),
        cgroups_path=_cgroups_path(fields),
        resources=Resources() if resources is None else parse_resources(resources),
        sysctl=fields.string_map("sysctl"),
        seccomp=None if seccomp is None else seccomp.document,
        rootfs_propagation=_PROPAGATIONS[propagation],
        masked_paths=_absolute(fields, "maskedPaths"),
        readonly_paths=_absolute(fields, "readonlyPaths"),
        personality=_personality(fields.child("personality")),
        mount_label=fields.string("mountLabel"),
        intel_rdt=_intel_rdt(fields.child("intelRdt")),
        memory_policy=_memory_policy(fields.child("memoryPolicy")),
    )


def _intel_rdt(fields: Fields | None) -> IntelRdt | None:
    if fields is None:
        return None
    from sampan.runtime.spec import intel_rdt  # rare

    return intel_rdt.parse_intel_rdt(fields)


def _memory_policy(fields: Fields | None) -> MemoryPolicy | None:
    if fields is None:
        return None
    from sampan.runtime.spec import memory_policy  # rare

    return memory_policy.parse_memory_policy(fields)


def _net_devices(fields: Fields) -> tuple[NetDevice, ...]:
    devices = []
    for host in fields.document:
        name = fields.child_or_empty(host).string("name") or host
        if not _is_device_name(host) or "%" in host:
            raise fields.fail(host, "is not the name of a network device")
        if not _is_device_name(name) or name.count("%") != name.count("%d") or name.count("%") > 1:
            raise fields.fail(f"{host}.name", f'"{name}" is not the name of a network device')
        devices.append(NetDevice(host, name))
    return tuple(devices)


def _is_device_name(name: str) -> bool:
    """As the kernel has it (net/core/dev.c, dev_valid_name)."""
    wrong = name in ("", ".", "..") or len(name.encode()) > 15
    return not wrong and not any(character in "/:" or character.isspace() for character in name)


def _namespaces(fields: Fields) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for entry in fields.children("namespaces"):
        kind = entry.required_string("type")
        if kind not in NAMESPACES:
            raise entry.fail("type", f'"{kind}" is not a namespace')
        if kind in found:
            raise entry.fail("type", f'"{kind}" is given twice')
        path = entry.string("path") or None
        if path is not None and not path.startswith("/"):
            raise entry.fail("path", "must be absolute")
        found[kind] = path
    return found


def _time_offsets(fields: Fields) -> tuple[TimeOffset, ...]:
    offsets = []
    for clock in fields.document:
        if clock not in ("monotonic", "boottime"):
            raise fields.fail(clock, "is not a clock of a time namespace")
        entry = fields.child_or_empty(clock)
        offsets.append(
            TimeOffset(clock, entry.integer("secs") or 0, entry.integer("nanosecs", 0, 999_999_999) or 0)
        )
    return tuple(offsets)


def _device(fields: Fields) -> Device:
    kind = fields.required_string("type")
    if kind not in ("c", "u", "b", "p"):
        raise fields.fail("type", f'"{kind}" is none of c, b, u and p')
    path = fields.string("path")
    if not path.startswith("/"):
        raise fields.fail("path", "must be absolute")
    # mknod(2) takes 12 bits of major and 20 bits of minor number.
    major, minor = fields.integer("major", -1, 0xFFF) or 0, fields.integer("minor", -1, 0xFFFFF) or 0
    if kind != "p" and (major < 0 or minor < 0):
        raise fields.fail("major", "and minor are required")
    mode = fields.unsigned("fileMode", UINT32_MAX)
    return Device(
        path=path,
        type="c" if kind == "u" else kind,
        major=max(major, 0),
        minor=max(minor, 0),
        # Docker writes the whole st_mode of the host's node; the type is in `type`.
        mode=0o666 if mode is None else mode & 0o7777,
        uid=fields.unsigned("uid", UINT32_MAX - 1) or 0,
        gid=fields.unsigned("gid", UINT32_MAX - 1) or 0,
    )


def _cgroups_path(fields: Fields) -> str:
    path = fields.string("cgroupsPath")
    if ".." in path.split("/"):
        raise fields.fail("cgroupsPath", 'must not contain ".."')
    return path


def _absolute(fields: Fields, key: str) -> tuple[str, ...]:
    paths = fields.strings(key)
    for path in paths:
        if not path.startswith("/"):
            raise fields.fail(key, f'holds "{path}", which is not absolute')
    return paths


def _personality(fields: Fields | None) -> int | None:
    if fields is None:
        return None
    domain = fields.string("domain")
    if domain not in _PERSONALITIES:
        raise fields.fail("domain", f'"{domain}" is neither LINUX nor LINUX32')
    if fields.strings("flags"):
        raise fields.fail("flags", "must be empty: the specification defines none")
    return _PERSONALITIES[domain]
