"""From a specification to the list of operations that carry it out: pure data, computed without root.

Owns the order, which is most of what makes a runtime safe and fast:

 *  Everything inside the root is made while the host's view is still there, by descriptors; then pivot_root.
 *  What needs the parent waits for it as late as it can: it makes the network and the cgroup while the
    mounts of the container are made. Only the view of the cgroups, and what lies over or under it, has to
    wait.
 *  Privileges go last. Without no_new_privs the seccomp filter needs CAP_SYS_ADMIN, and so comes
 before the capabilities go; with it, it comes last of all, so that it need not allow what we do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sampan import errors
from sampan.linux import mounts as linux_mounts
from sampan.records import dataclass, replace
from sampan.runtime.cgroups import CgroupView
from sampan.runtime.channel import Stage
from sampan.runtime.operations import (
    Operation,
    barriers,
    console,
    devices,
    masks,
    namespaces,
    process,
    rootfs,
)
from sampan.runtime.operations.binds import BindMount, OpenSources
from sampan.runtime.operations.cgroup_mounts import MountCgroup
from sampan.runtime.operations.mounts import MakeMountsReadOnly, MountFilesystem, Remount, mount_failed
from sampan.runtime.spec import Capabilities, Device, Mount, Process, Spec, sysctl_path
from sampan.runtime.state import State

DEFAULT_DEVICES = (
    Device("/dev/null", "c", 1, 3),
    Device("/dev/random", "c", 1, 8),
    Device("/dev/full", "c", 1, 7),
    Device("/dev/tty", "c", 5, 0),
    Device("/dev/zero", "c", 1, 5),
    Device("/dev/urandom", "c", 1, 9),
)

DEFAULT_LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
)

# Files in /proc that callers may cover, one by one, as in runc (lxcfs does so).
_COVERABLE = frozenset(
    f"/proc/{name}"
    for name in [
        "cpuinfo",
        "diskstats",
        "meminfo",
        "stat",
        "swaps",
        "uptime",
        "loadavg",
        "slabinfo",
        "net/dev",
        "sys/kernel/ns_last_pid",
        "sys/crypto/fips_enabled",
    ]
)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.runtime.spec.memory_policy import MemoryPolicy


@dataclass(frozen=True, slots=True)
class Listener:
    """Who answers for a filter that notifies: the agent's socket, and what it is told."""

    path: str
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class Filter:
    """A compiled seccomp filter, the flags to load it with, and its name in the cache, if it is there."""

    program: bytes
    flags: int
    key: str = ""
    listener: Listener | None = None


@dataclass(frozen=True, slots=True)
class Joinable:
    """What a further process of a container has to know of its specification."""

    namespaces: tuple[str, ...]
    personality: int | None = None
    memory_policy: MemoryPolicy | None = None

    @classmethod
    def of(cls, spec: Spec) -> Joinable:
        linux = spec.linux
        return cls(tuple(linux.namespaces), linux.personality, linux.memory_policy)


@dataclass(frozen=True, slots=True)
class Choices:
    """What the caller decides beside the specification. `user`: Docker's form, resolved inside (`users`)."""

    user: str | None = None
    groups: tuple[str, ...] = ()
    preserve_fds: int = 0
    filter: Filter | None = None


def plan_container(spec: Spec, state: State, view: CgroupView, choices: Choices) -> tuple[Operation, ...]:
    """What the first process of a container does, from its first instruction to `execve`."""
    if spec.process is None:
        raise errors.InvalidArgument("process property must not be empty")
    early, late, late_paths = _mounts(spec, view)
    early_masks, late_masks = _masks(spec, late_paths)
    hooks = spec.hooks
    operations: list[Operation] = [
        *_begin(spec, state.id),
        *early,
        *_devices(spec),
        *([console.OpenConsole(spec.process.console_size, bind=True)] if spec.process.terminal else []),
        *early_masks,
        barriers.Await(Stage.PREPARED),
        barriers.ConfigureNetwork(),
        *_kernel_settings(spec),
        barriers.EnterCgroup(),
        *([namespaces.NewCgroupNamespace()] if spec.linux.is_new("cgroup") else []),
        *late,
        *late_masks,
        *_read_only_mounts(spec),
    ]
    if hooks.prestart or hooks.create_runtime:
        operations.append(barriers.AwaitRuntimeHooks())
    if hooks.create_container:
        operations.append(
            barriers.RunHooks("createContainer", hooks.create_container, state, spec.process.env)
        )
    operations += [masks.VerifyMounts(), rootfs.PivotRoot()]
    propagation = spec.linux.rootfs_propagation
    if propagation is not None and propagation[0] in (linux_mounts.MS_SHARED, linux_mounts.MS_UNBINDABLE):
        operations.append(rootfs.SetRootPropagation(*propagation))
    if spec.root.readonly:
        operations.append(rootfs.MakeRootReadOnly())
    if spec.linux.personality is not None:
        operations.append(process.SetPersonality(spec.linux.personality))
    operations += _memory_policy(spec.linux.memory_policy)
    start_hooks: list[Operation] = []
    if hooks.start_container:
        created = replace(state, status="created")
        start_hooks.append(
            barriers.RunHooks("startContainer", hooks.start_container, created, spec.process.env)
        )
    return (*operations, *_become(spec.process, choices, start_hooks, create_cwd=True))


def plan_exec(container: Joinable, program: Process, choices: Choices) -> tuple[Operation, ...]:
    """What a further process in a running container does."""
    affinity = program.exec_cpu_affinity
    operations: list[Operation] = [
        *_cpu_affinity(affinity.initial if affinity else ()),
        barriers.EnterCgroup(),
        *_cpu_affinity(affinity.final if affinity else ()),
        namespaces.NewSessionKeyring(None),
        namespaces.EnterContainer(tuple(kind for kind in container.namespaces if kind != "pid")),
    ]
    if program.terminal:
        operations.append(console.OpenConsole(program.console_size, bind=False))
    if container.personality is not None:
        operations.append(process.SetPersonality(container.personality))
    if program.apparmor_profile or program.selinux_label:
        operations.append(namespaces.OpenProcfs())
    operations += _memory_policy(container.memory_policy)
    return (*operations, *_become(program, choices))


def _cpu_affinity(cpus: tuple[int, ...]) -> list[Operation]:
    if not cpus:
        return []
    from sampan.runtime.operations import scheduling  # rare

    return [scheduling.SetCpuAffinity(cpus)]


def _memory_policy(policy: MemoryPolicy | None) -> list[Operation]:
    if policy is None:
        return []
    from sampan.runtime.operations import scheduling  # rare

    return [scheduling.SetMemoryPolicy(policy)]


def _scheduling(program: Process) -> list[Operation]:
    if program.scheduler is None and program.io_priority is None:
        return []
    from sampan.runtime.operations import scheduling  # rare

    operations: list[Operation] = []
    if program.scheduler is not None:
        operations.append(scheduling.SetScheduler(program.scheduler))
    if program.io_priority is not None:
        operations.append(scheduling.SetIoPriority(program.io_priority))
    return operations


def _labels(program: Process) -> list[Operation]:
    if not (program.apparmor_profile or program.selinux_label):
        return []
    from sampan.runtime.operations import labels  # rare

    operations: list[Operation] = []
    if program.apparmor_profile:
        operations.append(labels.ChangeProfileOnExec(program.apparmor_profile))
    if program.selinux_label:
        operations.append(labels.SetExecLabel(program.selinux_label))
    return operations


def _begin(spec: Spec, container_id: str) -> list[Operation]:
    """The namespaces, and the root file system in the new mount namespace."""
    linux = spec.linux
    operations: list[Operation] = []
    joined = tuple(kind for kind, path in linux.namespaces.items() if path is not None and kind != "pid")
    # With a user namespace it is too late for that: see `intermediary`.
    if joined and "user" not in linux.namespaces:
        operations.append(namespaces.JoinNamespaces(joined))
    # Unbindable comes at the end: a tree that cannot be bound could not be prepared either.
    propagation = linux.rootfs_propagation
    if propagation is None or propagation[0] == linux_mounts.MS_UNBINDABLE:
        propagation = (linux_mounts.MS_SLAVE, True)
    operations.append(rootfs.PrepareNamespace(*propagation))
    binds = tuple(
        (number, mount)
        for number, mount in enumerate(spec.mounts)
        if mount.options.bind and not mount.options.remount
    )
    if binds:
        operations.append(OpenSources(binds))
    operations.append(rootfs.AttachRootfs(spec.root.path))
    if "user" in linux.namespaces:
        # Only now: the bundle may lie where the container's root, an ordinary user outside, cannot go.
        if linux.is_new("user"):
            operations.append(barriers.Await(Stage.MAPPED))
        operations.append(namespaces.BecomeNamespaceRoot())
    operations.append(namespaces.NewSessionKeyring(container_id))
    program = spec.process
    labelled = program is not None and bool(program.apparmor_profile or program.selinux_label)
    if linux.sysctl or spec.domainname or linux.is_new("time") or labelled:
        operations.append(namespaces.OpenProcfs())
    if linux.is_new("time"):
        operations.append(namespaces.NewTimeNamespace(linux.time_offsets))
    return operations


def _mounts(spec: Spec, view: CgroupView) -> tuple[list[Operation], list[Operation], list[str]]:
    """The mounts that can be made at once, those that have to wait for the cgroup, and the latter's paths."""
    propagation = spec.linux.rootfs_propagation
    stays_shared = propagation is not None and propagation[0] == linux_mounts.MS_SHARED
    namespaced = "cgroup" in spec.linux.namespaces
    early: list[Operation] = []
    late: list[Operation] = []
    late_paths: list[str] = []
    for number, mount in enumerate(spec.mounts):
        operation: Operation
        is_cgroup = not mount.options.bind and mount.type in ("cgroup", "cgroup2")
        if is_cgroup:
            operation = MountCgroup(mount, view, namespaced)
        elif mount.options.remount:
            operation = Remount(mount)
        elif mount.options.bind:
            _check_below_proc(mount)
            operation = BindMount(mount, number, stays_shared)
        else:
            _check_below_proc(mount)
            operation = MountFilesystem(mount, spec.linux.mount_label)
        if is_cgroup or _related(mount.destination, late_paths):
            late.append(operation)
            late_paths.append(mount.destination)
        else:
            early.append(operation)
    return early, late, late_paths


def _read_only_mounts(spec: Spec) -> list[Operation]:
    destinations = tuple(
        mount.destination
        for mount in spec.mounts
        if mount.type == "tmpfs" and mount.options.read_only and not mount.options.bind
    )
    return [MakeMountsReadOnly(destinations)] if destinations else []


def _related(path: str, others: Iterable[str]) -> bool:
    """Whether one of the paths lies in, or over, the other."""
    prefix = path.rstrip("/") + "/"
    return any(prefix.startswith(other.rstrip("/") + "/") or other.startswith(prefix) for other in others)


def _check_below_proc(mount: Mount) -> None:
    """Refuse to cover procfs: we, and the container's own tools, rely on what is read there (CVE-2019-16884).

    A bind on /proc itself is looked at when it is made: the host's procfs may be bound, as Docker's
    --pid=host does.
    """
    path = mount.destination
    if path == "/proc" and not mount.options.bind and mount.type != "proc":
        raise mount_failed(mount, f'"{path}" cannot be mounted because it is not of type proc')
    if path.startswith("/proc/") and not (mount.options.bind and path in _COVERABLE):
        raise mount_failed(mount, f'"{path}" cannot be mounted because it is inside /proc')


def _devices(spec: Spec) -> list[Operation]:
    """Nodes and links in /dev, unless the caller has bound a whole one."""
    if any(mount.options.bind and mount.destination == "/dev" for mount in spec.mounts):
        return []
    given = {device.path for device in spec.linux.devices}
    nodes = [device for device in DEFAULT_DEVICES if device.path not in given]
    nodes += [device for device in spec.linux.devices if device.path != "/dev/ptmx"]
    links = [devices.CreateLink(path, target) for path, target in DEFAULT_LINKS]
    links.append(devices.CreateLink("/dev/core", "/proc/kcore", only_if="/proc/kcore"))
    # Not a node: 5:2 in the container's /dev would open the host's devpts.
    ptmx = devices.CreateLink("/dev/ptmx", "pts/ptmx", replace=True)
    return [*(devices.CreateDevice(device) for device in nodes), ptmx, *links]


def _masks(spec: Spec, late_paths: Sequence[str]) -> tuple[list[Operation], list[Operation]]:
    """Masked and read-only paths, before and after the wait for the cgroup."""
    linux = spec.linux
    sides: tuple[list[Operation], list[Operation]] = ([], [])
    for is_late, side in enumerate(sides):
        hidden = tuple(path for path in linux.masked_paths if _related(path, late_paths) == bool(is_late))
        fixed = tuple(path for path in linux.readonly_paths if _related(path, late_paths) == bool(is_late))
        if fixed:
            side.append(masks.MakePathsReadOnly(fixed))
        if hidden:
            side.append(masks.MaskPaths(hidden))
    return sides


def _kernel_settings(spec: Spec) -> list[Operation]:
    operations: list[Operation] = []
    if spec.hostname or spec.domainname:
        operations.append(namespaces.SetHostname(spec.hostname, spec.domainname))
    operations += [
        namespaces.WriteSysctl(sysctl_path(name), value) for name, value in spec.linux.sysctl.items()
    ]
    return operations


def _become(
    program: Process, choices: Choices, start_hooks: Sequence[Operation] = (), *, create_cwd: bool = False
) -> list[Operation]:
    """From inside the container's root to its program: much the same for both kinds of process."""
    capabilities = program.capabilities or Capabilities()
    environment = dict(entry.partition("=")[::2] for entry in program.env)
    operations: list[Operation] = [
        process.ConnectStreams(),
        *([process.SetRlimits(program.rlimits)] if program.rlimits else []),
        *_scheduling(program),
        process.ResolveUser(program.user, choices.user, choices.groups, "HOME" not in environment),
        process.OwnStreams(),
        process.EnterDirectory(program.cwd, create_cwd),
        *([process.SetNoNewPrivileges()] if program.no_new_privileges else []),
        *_labels(program),
        process.DropPrivileges(capabilities),
        process.FindProgram(program.args[0], environment.get("PATH", "")),
    ]
    if choices.preserve_fds:
        operations.append(process.KeepDescriptors(choices.preserve_fds))
    giving_up = process.SetCapabilities(capabilities)
    filtered = choices.filter
    if filtered is not None and filtered.listener is not None:
        # The parent, which takes the listener, is gone once the gate is passed.
        from sampan.runtime.operations import listener  # rare

        loading: Operation = listener.LoadNotifyingSeccomp(filtered.program, filtered.flags)
        last = [giving_up, loading] if program.no_new_privileges else [loading, giving_up]
        operations += [*last, barriers.PassGate(), *start_hooks]
    else:
        operations.append(barriers.PassGate())
        filtering = [] if filtered is None else [process.LoadSeccomp(filtered.program, filtered.flags)]
        if program.no_new_privileges:
            operations += [giving_up, *start_hooks, *filtering]
        else:
            operations += [*filtering, giving_up, *start_hooks]
    return [*operations, process.Execute(program.args, program.env)]
