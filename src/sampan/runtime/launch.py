"""Starting a container's first process, and further ones in it: the library's front door.

Owns the order of the parent's side; the parts are `newprocess` (clone3, cgroup, the conversation), `idmaps`
and `hooks`, and what the new process does is in `plan`. The caller has to have one thread only, and is the
parent of the new process, which waits for its end, unless it wants a sibling (`Options`). Costs 4-6 ms in a
warm process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from sampan import errors
from sampan.linux import processes, seccomp
from sampan.records import dataclass, field, replace
from sampan.runtime import executor, hooks, idmaps, plan, seccomp_cache
from sampan.runtime.cgroups import Cgroup
from sampan.runtime.channel import Stage
from sampan.runtime.confined import Root
from sampan.runtime.gotext import go_error
from sampan.runtime.newprocess import Launched, NewProcess
from sampan.runtime.operations import Context, Operation, start_failed
from sampan.runtime.operations.process import ResolveUser
from sampan.runtime.spec import Process, Spec
from sampan.runtime.spec.linux import NAMESPACES
from sampan.runtime.spec.mounts import clean_path
from sampan.runtime.state import State

__all__ = ["Descriptors", "Launched", "Options", "Stdio", "launch", "launch_exec", "seccomp_filter"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.runtime.resctrl import ResctrlGroup

# Namespaces that clone3 makes. Those of cgroups and time are made by the new process: see their operations.
_CLONED = ("user", "pid", "network", "mount", "ipc", "uts")


@dataclass(frozen=True, slots=True)
class Descriptors:
    """What the caller has opened already. They stay the caller's.

    `rootfs`: a detached mount that becomes the root, else the bundle's root.path is bound.
    `mounts`: destination -> a detached mount (open_tree) to use instead of the mount's source.
    `namespaces`: type ("network") -> an nsfs descriptor to join; the type has to be in linux.namespaces.
    """

    rootfs: int | None = None
    mounts: Mapping[str, int] = field(default_factory=dict)
    namespaces: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stdio:
    """The streams of a process without a terminal; they stay the caller's."""

    stdin: int
    stdout: int
    stderr: int


@dataclass(frozen=True, slots=True)
class Options:
    """What few callers care about.

    `preserve_fds`: how many descriptors from 3 on the program inherits. `sibling`: the new process is a child
    of the caller's parent, which waits for its end, even if the start fails. `debug` is told the plan before
    it is done.
    """

    preserve_fds: int = 0
    sibling: bool = False
    seccomp_cache: str = seccomp_cache.DIRECTORY
    debug: Callable[[str], None] | None = None


def launch(
    spec: Spec,
    bundle: str,
    *,
    container_id: str,
    cgroup: Cgroup,
    descriptors: Descriptors = Descriptors(),
    stdio: Stdio | None = None,
    user: str | None = None,
    groups: Sequence[str] = (),
    prepare: Callable[[int], None] | None = None,
    inside: Callable[[], None] | None = None,
    gate: int | None = None,
    compiled: plan.Filter | None = None,
    options: Options = Options(),
) -> Launched:
    """Start a container; returns when its program runs, or when it waits at the gate.

    `user` is Docker's "name:group" and so on, resolved against the container's own files, in place of
    process.user; "" is root with its groups. `groups` are further groups, by name or number. `prepare(pid)`
    is called here, as soon as the namespaces exist; then `inside()` in the new process, in its network
    namespace, with the host's mounts still there. `gate` is a descriptor: the program starts when one byte
    can be read from it, and `launch` returns before that. `compiled` is the specification's seccomp profile,
    if the caller has compiled it already.

    Raises StartFailed, and then nothing is left: no process, no cgroup.
    """
    bundle = os.path.abspath(bundle)
    check_host(spec)
    state = State(container_id, "creating", 0, bundle, spec.annotations, spec.oci_version)
    compiled = compiled or seccomp_filter(spec, options.seccomp_cache)
    choices = plan.Choices(user, tuple(groups), options.preserve_fds, compiled)
    operations = plan.plan_container(spec, state, cgroup.view(), choices)
    if options.debug is not None:
        options.debug(executor.describe(operations))
    with ExitStack() as stack:
        new = NewProcess(cgroup, stack, sibling=options.sibling)
        context = new.context
        context.bundle, context.rootfs, context.inside, context.gate = (
            bundle,
            descriptors.rootfs,
            inside,
            gate,
        )
        context.mount_sources = {clean_path(path): fd for path, fd in descriptors.mounts.items()}
        context.namespaces = _open_namespaces(spec, descriptors, stack)
        context.stdio, context.preserve_fds = _streams(stdio), options.preserve_fds
        context.opened = _id_mapped_sources(spec, context, stack)
        group = _resctrl_group(spec, container_id, stack)
        new.prepare_cgroup(spec.linux.resources, _cgroup_owner(spec))
        namespaces = context.namespaces
        new.clone(
            operations,
            _clone_flags(spec, namespaces),
            namespaces.get("pid"),
            _joined_beforehand(spec, namespaces),
        )
        launched = _accompany(new, spec, state, prepare, group, choices.filter)
        if gate is None:
            running = replace(state, pid=new.pid, status="running").to_json()
            hooks.run("poststart", spec.hooks.poststart, running)
        new.succeeded()
        return launched


def _accompany(
    new: NewProcess,
    spec: Spec,
    state: State,
    prepare: Callable[[int], None] | None,
    group: ResctrlGroup | None,
    compiled: plan.Filter | None,
) -> Launched:
    """Do the parent's part, in the order of the stages, while the new process does its own."""
    if spec.linux.is_new("user"):
        idmaps.write(new.pid, spec.linux.uid_mappings, spec.linux.gid_mappings)
        new.announce(Stage.MAPPED)
    _adjust_oom_score(new.pid, spec.process)
    if prepare is not None:
        _call(prepare, new.pid)
    if spec.linux.net_devices:
        from sampan.runtime import netdevices  # rare

        netdevices.move(new.pid, spec.linux.net_devices)
    new.announce(Stage.PREPARED)
    if group is not None:
        group.add(new.pid)
    new.enter_cgroup(spec.linux.resources)
    state = replace(state, pid=new.pid)
    return new.follow(lambda: _run_runtime_hooks(spec, state), _listener_sender(compiled, new.pid, state))


def _listener_sender(compiled: plan.Filter | None, pid: int, state: State) -> Callable[[int], None] | None:
    if compiled is None or compiled.listener is None:
        return None
    from sampan.runtime import seccomp_agent  # rare

    agent = compiled.listener
    return lambda listener: seccomp_agent.send_listener(agent, listener, pid, state)


def check_host(spec: Spec) -> None:
    """Refuse what this host cannot do, before anything is made. Raises InvalidArgument."""
    process = spec.process
    labelled = process is not None and (process.selinux_label or process.apparmor_profile)
    if labelled or spec.linux.mount_label:
        from sampan.runtime import security_modules  # rare

        security_modules.check(spec)


def _cgroup_owner(spec: Spec) -> int | None:
    """Who the cgroup is to be given to: a container's root who sees it alone, and may write there.

    The specification, "Cgroup ownership". Without a user namespace it belongs to that root anyway.
    """
    if not (spec.linux.is_new("cgroup") and spec.linux.is_new("user")):
        return None
    if all(mount.options.read_only for mount in spec.mounts if mount.type in ("cgroup", "cgroup2")):
        return None
    roots = (entry.host_id for entry in spec.linux.uid_mappings if entry.container_id == 0 and entry.size)
    return next(roots, None)


def _id_mapped_sources(spec: Spec, context: Context, stack: ExitStack) -> dict[int, int]:
    if not any(mount.is_id_mapped for mount in spec.mounts):
        return {}
    from sampan.runtime import idmapped  # rare

    return idmapped.open_sources(
        spec, context.bundle, context.mount_sources, context.namespaces.get("user"), stack
    )


def _resctrl_group(spec: Spec, container_id: str, stack: ExitStack) -> ResctrlGroup | None:
    """The container's group in resctrl, made now, and removed again if the start fails."""
    wanted = spec.linux.intel_rdt
    if wanted is None:
        return None
    from sampan.runtime import resctrl  # rare

    group = resctrl.ResctrlGroup(resctrl.find_resctrl(), wanted, container_id)
    stack.push(lambda kind, *_: group.undo() if kind is not None else None)
    group.prepare()
    return group


def launch_exec(
    container: int,
    process: Process,
    *,
    joinable: plan.Joinable,
    compiled: plan.Filter | None,
    cgroup: Cgroup,
    stdio: Stdio | None = None,
    user: str | None = None,
    groups: Sequence[str] = (),
    state: State | None = None,
    options: Options = Options(),
) -> Launched:
    """Start a further process in a running container.

    `container` is the pid of its first process, which must not be reused meanwhile: the caller is its parent,
    or has looked. `compiled` is the seccomp filter to load; one with a listener needs the container's
    `state`. Raises StartFailed, or Conflict if the container has ended.
    """
    if process.selinux_label or process.apparmor_profile:
        from sampan.runtime import security_modules  # rare

        security_modules.check_process(process)
    choices = plan.Choices(user, tuple(groups), options.preserve_fds, compiled)
    operations = plan.plan_exec(joinable, process, choices)
    with ExitStack() as stack:
        try:
            pidfd = processes.pidfd_open(container)
            stack.callback(os.close, pidfd)
            new = NewProcess(cgroup, stack, sibling=options.sibling)
            new.context.container = pidfd
            new.context.stdio, new.context.preserve_fds = _streams(stdio), options.preserve_fds
            new.find_cgroup()
            _resolve_user(container, operations, new.context)
            new.clone(operations, 0, pidfd if "pid" in joinable.namespaces else None)
        except ProcessLookupError:
            raise errors.Conflict("cannot exec in a stopped container") from None
        _adjust_oom_score(new.pid, process)
        new.enter_cgroup(None)
        if compiled is not None and compiled.listener is not None:
            assert state is not None
            launched = new.follow(None, _listener_sender(compiled, new.pid, state))
        else:
            launched = new.follow(None)
        new.succeeded()
        return launched


def _resolve_user(container: int, operations: Sequence[Operation], context: Context) -> None:
    """Find out who the process of an exec is to be before there is one: here the code for it is warm.

    By the container's root, as the new process would, which tries again if this fails, and says why.
    """
    try:
        root = os.open(f"/proc/{container}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    context.attached_root = Root(root)
    try:
        executor.run((one for one in operations if isinstance(one, ResolveUser)), context)
    except errors.SampanError:
        pass
    finally:
        context.attached_root = None
        os.close(root)


def _clone_flags(spec: Spec, joined: Mapping[str, int]) -> int:
    flags = 0
    for kind in _CLONED:
        if spec.linux.is_new(kind) and kind not in joined:
            flags |= NAMESPACES[kind][0]
    return flags


def _joined_beforehand(spec: Spec, namespaces: Mapping[str, int]) -> dict[str, int]:
    """Namespaces that the new process cannot join itself: with a user namespace, all but that of pids."""
    if "user" not in spec.linux.namespaces:
        return {}
    return {kind: fd for kind, fd in namespaces.items() if kind != "pid"}


def seccomp_filter(spec: Spec, directory: str = seccomp_cache.DIRECTORY) -> plan.Filter | None:
    """What linux.seccomp compiles to, by way of the cache in `directory`. Raises InvalidArgument."""
    profile = spec.linux.seccomp
    if profile is None:
        return None
    try:
        key = seccomp_cache.key_of(profile)
        program = seccomp_cache.cached_filter(profile, directory, key=key)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise errors.InvalidArgument(f"config.json: linux.seccomp: {error}") from error
    flags = seccomp_cache.filter_flags(profile)
    path = profile.get("listenerPath")
    if not (path and seccomp_cache.notifies(profile)):
        return plan.Filter(program, flags, key)
    metadata = profile.get("listenerMetadata") or ""
    listener = plan.Listener(str(path), str(metadata))
    return plan.Filter(program, flags | seccomp.NEW_LISTENER, key, listener)


def _streams(stdio: Stdio | None) -> tuple[int, int, int] | None:
    return None if stdio is None else (stdio.stdin, stdio.stdout, stdio.stderr)


def _call(prepare: Callable[[int], None], pid: int) -> None:
    try:
        prepare(pid)
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        raise start_failed(f"error setting up the network: {what}{go_error(error)}") from error


def _run_runtime_hooks(spec: Spec, state: State) -> None:
    text = state.to_json()
    hooks.run("prestart", spec.hooks.prestart, text)
    hooks.run("createRuntime", spec.hooks.create_runtime, text)


def _open_namespaces(spec: Spec, given: Descriptors, stack: ExitStack) -> dict[str, int]:
    """Descriptors of all namespaces to join: those of the caller, and those that have a path."""
    opened = dict(given.namespaces)
    for kind in opened:
        if kind not in spec.linux.namespaces:
            raise errors.InvalidArgument(f"a {kind} namespace is given, but linux.namespaces has none")
        if spec.linux.is_new(kind):
            # The plan comes from the specification alone: it would neither join this one nor make one.
            raise errors.InvalidArgument(
                f"a {kind} namespace is given, but the one in linux.namespaces has no path: it is to be new"
            )
    for kind, path in spec.linux.namespaces.items():
        if path is None or kind in opened:
            continue
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise start_failed(f"failed to open the {kind} namespace {path}: {go_error(error)}") from error
        stack.callback(os.close, fd)
        opened[kind] = fd
    return opened


def _adjust_oom_score(pid: int, process: Process | None) -> None:
    """By the parent: the process itself is non-dumpable, so in a user namespace it does not own its files in
    /proc.
    """
    if process is None or process.oom_score_adj is None:
        return
    try:
        with open(f"/proc/{pid}/oom_score_adj", "wb", buffering=0) as file:
            file.write(b"%d" % process.oom_score_adj)
    except OSError as error:
        raise start_failed(
            f"failed to set oom_score_adj to {process.oom_score_adj}: {go_error(error)}"
        ) from error
