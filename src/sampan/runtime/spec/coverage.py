"""Every field that runtime-spec 1.3.0 has in config.json for Linux, and what becomes of it here.

Owns the answer to "is this field done?", for the documentation's table and for `features`. A test holds it
against the specification's own schema and against the parser: a field that is missing here, or that the
parser never reads, is a failure. Nothing on the way of a start imports this module.
"""

from __future__ import annotations

from collections.abc import Iterator

from sampan.linux import capabilities, seccomp
from sampan.records import dataclass
from sampan.runtime.spec import linux, mounts
from sampan.runtime.spec.memory_policy import FLAGS as MEMORY_POLICY_FLAGS
from sampan.runtime.spec.memory_policy import MODES as MEMORY_POLICY_MODES

__all__ = [
    "CAPABILITIES",
    "FIELDS",
    "HOOKS",
    "MEMORY_POLICY_FLAGS",
    "MEMORY_POLICY_MODES",
    "MOUNT_OPTIONS",
    "NAMESPACES",
    "SECCOMP_ACTIONS",
    "SECCOMP_ARCHITECTURES",
    "SECCOMP_FLAGS",
    "SECCOMP_OPERATORS",
    "UNSAFE_ANNOTATIONS",
    "Field",
]

# What `status` may be.
DONE = "done"  # does what the specification says
HOST = "done, where the host has it"  # and is refused, by name, where it has not
CHECKED = "checked"  # a wrong value is refused; it asks for nothing that could be done
REFUSED = "refused"  # by name, with the reason in `note`


@dataclass(frozen=True, slots=True)
class Field:
    """`path` from the top of the document: `[]` stands for the entries of an array, `*` for any key."""

    path: str
    status: str
    note: str = ""


def _fields(parent: str, names: str, status: str = DONE, note: str = "") -> Iterator[Field]:
    for name in names.split():
        yield Field(f"{parent}.{name}" if parent else name, status, note)


_RATES = tuple(
    f"throttle{direction}{unit}Device" for unit in ("Bps", "IOPS") for direction in ("Read", "Write")
)
_HOOKS = "prestart createRuntime createContainer startContainer poststart poststop"
_CONTROLLER = "needs the cgroup controller"
_V1 = "cgroup v1 only, and refused on v2"

FIELDS: tuple[Field, ...] = (
    Field("ociVersion", DONE, "any 1.x"),
    *_fields("", "hostname domainname annotations annotations.* hooks mounts root process linux"),
    *_fields("root", "path readonly"),
    *_fields("", "windows solaris zos freebsd", REFUSED, "for other systems"),
    Field("vm", REFUSED, "containers run on the host's kernel"),
    # process
    *_fields("process", "terminal consoleSize consoleSize.height consoleSize.width cwd env args"),
    Field("process.commandLine", CHECKED, "Windows'"),
    *_fields("process.user", "uid gid umask additionalGids"),
    Field("process.user", DONE),
    Field("process.user.username", CHECKED, "Windows'"),
    *_fields("process", "capabilities noNewPrivileges oomScoreAdj rlimits"),
    *_fields("process.capabilities", "bounding permitted effective inheritable ambient"),
    *_fields("process.rlimits[]", "type soft hard"),
    *_fields("process", "scheduler ioPriority"),
    *_fields("process.scheduler", "policy nice priority flags runtime deadline period"),
    *_fields("process.ioPriority", "class priority"),
    *_fields("process", "execCPUAffinity execCPUAffinity.initial execCPUAffinity.final"),
    *_fields("process", "apparmorProfile selinuxLabel", HOST),
    # hooks
    *(
        Field(f"hooks.{hook}{part}", DONE, "deprecated" if hook == "prestart" and not part else "")
        for hook in _HOOKS.split()
        for part in ("", "[].path", "[].args", "[].env", "[].timeout")
    ),
    # mounts
    *_fields("mounts[]", "destination source type options"),
    *(
        Field(f"mounts[].{kind}{part}", DONE)
        for kind in ("uidMappings", "gidMappings")
        for part in ("", "[].containerID", "[].hostID", "[].size")
    ),
    # linux
    Field("linux.namespaces", DONE, "one without a mount namespace is refused"),
    *_fields("linux.namespaces[]", "type path"),
    *(
        Field(f"linux.{kind}{part}", DONE)
        for kind in ("uidMappings", "gidMappings")
        for part in ("", "[].containerID", "[].hostID", "[].size")
    ),
    *(
        Field(f"linux.timeOffsets{part}", DONE)
        for clock in ("boottime", "monotonic")
        for part in (f".{clock}", f".{clock}.secs", f".{clock}.nanosecs")
    ),
    Field("linux.timeOffsets", DONE),
    Field("linux.devices", DONE, "in a user namespace the host's node is bound"),
    *_fields("linux.devices[]", "type path major minor fileMode uid gid"),
    *_fields("linux", "netDevices netDevices.* netDevices.*.name"),
    *_fields("linux", "cgroupsPath sysctl sysctl.* rootfsPropagation maskedPaths readonlyPaths"),
    Field("linux.mountLabel", HOST),
    *_fields("linux", "personality personality.domain"),
    Field("linux.personality.flags", CHECKED, "the specification defines none"),
    *_fields("linux", "intelRdt", HOST, "needs a mounted resctrl file system"),
    *_fields("linux.intelRdt", "closID schemata l3CacheSchema memBwSchema enableMonitoring", HOST),
    *_fields("linux", "memoryPolicy memoryPolicy.mode memoryPolicy.nodes memoryPolicy.flags"),
    # linux.seccomp
    Field("linux.seccomp", DONE, "system calls newer than the profile fail with ENOSYS"),
    *_fields("linux.seccomp", "defaultAction defaultErrnoRet architectures flags listenerPath"),
    *_fields("linux.seccomp", "listenerMetadata syscalls"),
    *_fields("linux.seccomp.syscalls[]", "names action errnoRet args"),
    *_fields("linux.seccomp.syscalls[].args[]", "index value valueTwo op"),
    # linux.resources
    *_fields("linux", "resources resources.devices"),
    *_fields("linux.resources.devices[]", "allow type major minor access"),
    *_fields("linux.resources", "memory memory.limit memory.reservation memory.swap"),
    *_fields("linux.resources.memory", "kernel kernelTCP", HOST, _V1),
    *_fields("linux.resources.memory", "swappiness disableOOMKiller", HOST, _V1),
    Field("linux.resources.memory.useHierarchy", CHECKED, "hierarchies are always used"),
    Field("linux.resources.memory.checkBeforeUpdate", DONE),
    *_fields("linux.resources", "cpu cpu.shares cpu.quota cpu.burst cpu.period cpu.cpus cpu.mems cpu.idle"),
    *_fields("linux.resources.cpu", "realtimeRuntime realtimePeriod", HOST, _V1),
    *_fields("linux.resources", "pids pids.limit blockIO"),
    *_fields("linux.resources.blockIO", "weight weightDevice", HOST, "needs the BFQ scheduler or iocost"),
    Field("linux.resources.blockIO.leafWeight", HOST, _V1),
    *_fields("linux.resources.blockIO.weightDevice[]", "major minor weight", HOST),
    Field("linux.resources.blockIO.weightDevice[].leafWeight", HOST, _V1),
    *(
        Field(f"linux.resources.blockIO.{name}{part}", DONE)
        for name in _RATES
        for part in ("", "[].major", "[].minor", "[].rate")
    ),
    Field("linux.resources.hugepageLimits", HOST, f"{_CONTROLLER} hugetlb"),
    *_fields("linux.resources.hugepageLimits[]", "pageSize limit", HOST),
    Field("linux.resources.network", HOST, _V1),
    *_fields("linux.resources.network", "classID", HOST, f"{_CONTROLLER} net_cls"),
    *_fields("linux.resources.network", "priorities", HOST, f"{_CONTROLLER} net_prio"),
    *_fields("linux.resources.network.priorities[]", "name priority", HOST),
    *_fields("linux.resources", "rdma rdma.*", HOST, f"{_CONTROLLER} rdma"),
    *_fields("linux.resources.rdma.*", "hcaHandles hcaObjects", HOST),
    *_fields("linux.resources", "unified unified.*", HOST, "cgroup v2 only"),
)

# What `features` tells, from the parser's own tables.
HOOKS = tuple(_HOOKS.split())
MOUNT_OPTIONS = tuple(sorted(mounts.OPTION_WORDS))
NAMESPACES = tuple(sorted(linux.NAMESPACES))
CAPABILITIES = capabilities.CAPABILITIES
SECCOMP_ACTIONS = tuple(sorted(seccomp.ACTIONS))
SECCOMP_OPERATORS = tuple(sorted(seccomp.OPERATORS))
SECCOMP_ARCHITECTURES = seccomp.ARCHITECTURES
SECCOMP_FLAGS = tuple(seccomp.PROFILE_FLAGS)

# Annotations that change what we do, and that a caller should therefore not take from a stranger.
UNSAFE_ANNOTATIONS: tuple[str, ...] = ()
