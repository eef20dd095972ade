"""`process` of config.json: what is run, as whom and with which rights."""

from __future__ import annotations

from sampan.linux import capabilities as linux_capabilities
from sampan.records import dataclass
from sampan.runtime.spec.fields import UINT32_MAX, UINT64_MAX, Fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.runtime.spec.scheduling import CpuAffinity, IoPriority, Scheduler

# The numbers of getrlimit(2) on every architecture but Alpha, MIPS and SPARC.
RLIMITS = {
    "RLIMIT_CPU": 0,
    "RLIMIT_FSIZE": 1,
    "RLIMIT_DATA": 2,
    "RLIMIT_STACK": 3,
    "RLIMIT_CORE": 4,
    "RLIMIT_RSS": 5,
    "RLIMIT_NPROC": 6,
    "RLIMIT_NOFILE": 7,
    "RLIMIT_MEMLOCK": 8,
    "RLIMIT_AS": 9,
    "RLIMIT_LOCKS": 10,
    "RLIMIT_SIGPENDING": 11,
    "RLIMIT_MSGQUEUE": 12,
    "RLIMIT_NICE": 13,
    "RLIMIT_RTPRIO": 14,
    "RLIMIT_RTTIME": 15,
}

# (uid_t)-1 means "do not change" to setresuid(2), so it is no user.
MAX_ID = UINT32_MAX - 1


@dataclass(frozen=True, slots=True)
class User:
    """The numeric identity of a process inside the container."""

    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = ()
    umask: int | None = None


@dataclass(frozen=True, slots=True)
class Rlimit:
    type: str
    soft: int
    hard: int

    @property
    def number(self) -> int:
        return RLIMITS[self.type]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The five sets, by name ("CAP_CHOWN"). Names that this kernel does not know are in `unknown` only."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Process:
    """`capabilities` is None if config.json does not speak of them: the process then has none."""

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    terminal: bool = False
    console_size: tuple[int, int] | None = None  # height, width
    user: User = User()
    rlimits: tuple[Rlimit, ...] = ()
    capabilities: Capabilities | None = None
    no_new_privileges: bool = False
    oom_score_adj: int | None = None
    apparmor_profile: str = ""
    selinux_label: str = ""
    scheduler: Scheduler | None = None
    io_priority: IoPriority | None = None
    exec_cpu_affinity: CpuAffinity | None = None


def parse_process(document: object, path: str = "process") -> Process:
    """Validate an OCI process object: `process` of config.json, or the file that `exec --process` names."""
    fields = Fields(document, path)
    args = fields.strings("args")
    if not args:
        raise fields.fail("args", "must not be empty")
    cwd = fields.string("cwd")
    if not cwd.startswith("/"):
        raise fields.fail("cwd", "must be an absolute path")
    env = fields.strings("env")
    for entry in env:
        if entry.find("=") < 1:
            raise fields.fail("env", f'holds an invalid environment variable: "{entry}"')
    fields.string("commandLine")  # for Windows: only looked at
    size = fields.child("consoleSize")
    scheduler, io_priority, affinity = _scheduling(fields)
    return Process(
        args=args,
        env=env,
        cwd=cwd,
        terminal=fields.boolean("terminal"),
        console_size=None if size is None else _console_size(size),
        user=_user(fields.child_or_empty("user")),
        rlimits=_rlimits(fields),
        capabilities=_capabilities(fields.child("capabilities")),
        no_new_privileges=fields.boolean("noNewPrivileges"),
        oom_score_adj=fields.integer("oomScoreAdj", -1000, 1000),
        apparmor_profile=fields.string("apparmorProfile"),
        selinux_label=fields.string("selinuxLabel"),
        scheduler=scheduler,
        io_priority=io_priority,
        exec_cpu_affinity=affinity,
    )


def _scheduling(fields: Fields) -> tuple[Scheduler | None, IoPriority | None, CpuAffinity | None]:
    found = [fields.child(key) for key in ("scheduler", "ioPriority", "execCPUAffinity")]
    if found == [None, None, None]:
        return None, None, None
    from sampan.runtime.spec import scheduling  # rare: not in every process that starts containers

    scheduler, io_priority, affinity = found
    return (
        None if scheduler is None else scheduling.parse_scheduler(scheduler),
        None if io_priority is None else scheduling.parse_io_priority(io_priority),
        None if affinity is None else scheduling.parse_cpu_affinity(affinity),
    )


def _console_size(fields: Fields) -> tuple[int, int]:
    # struct winsize holds unsigned shorts.
    return fields.required_unsigned("height", 0xFFFF), fields.required_unsigned("width", 0xFFFF)


def _user(fields: Fields) -> User:
    fields.string("username")  # for Windows: only looked at
    return User(
        uid=fields.unsigned("uid", MAX_ID) or 0,
        gid=fields.unsigned("gid", MAX_ID) or 0,
        additional_gids=fields.unsigned_list("additionalGids", MAX_ID),
        umask=fields.unsigned("umask", 0o777),
    )


def _rlimits(fields: Fields) -> tuple[Rlimit, ...]:
    found: dict[str, Rlimit] = {}
    for entry in fields.children("rlimits"):
        kind = entry.required_string("type")
        if kind not in RLIMITS:
            raise entry.fail("type", f'"{kind}" is not an rlimit')
        if kind in found:
            raise entry.fail("type", f'"{kind}" is given twice')
        limit = Rlimit(
            kind, entry.required_unsigned("soft", UINT64_MAX), entry.required_unsigned("hard", UINT64_MAX)
        )
        if limit.soft > limit.hard:
            raise entry.fail("soft", "is greater than hard")
        found[kind] = limit
    return tuple(found.values())


def _capabilities(fields: Fields | None) -> Capabilities | None:
    if fields is None:
        return None
    known = frozenset(linux_capabilities.CAPABILITIES[: linux_capabilities.last_capability() + 1])
    unknown: dict[str, None] = {}

    def names(key: str) -> tuple[str, ...]:
        wanted = fields.strings(key)
        unknown.update(dict.fromkeys(name for name in wanted if name not in known))
        return tuple(name for name in wanted if name in known)

    return Capabilities(
        bounding=names("bounding"),
        effective=names("effective"),
        inheritable=names("inheritable"),
        permitted=names("permitted"),
        ambient=names("ambient"),
        unknown=tuple(unknown),
    )
