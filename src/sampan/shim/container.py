"""What the shim wants of the runtime: launch the container, launch execs in it, remove what is left of it.

Owns the calls into `sampan.runtime`. Knows no streams, clients or phases. config.json is read for the start
alone; the little of it that execs need is kept (`ContainerFacts`), as reading it takes 3 ms. It must not be
changed while the container runs.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping

from sampan import errors
from sampan.linux.seccomp import NEW_LISTENER
from sampan.records import replace
from sampan.runtime import hooks, seccomp_cache
from sampan.runtime.cgroups import Cgroup, Hierarchy, open_cgroups
from sampan.runtime.launch import Descriptors, Launched, Options, Stdio, launch, launch_exec, seccomp_filter
from sampan.runtime.plan import Filter, Joinable
from sampan.runtime.spec import Process, Spec, load, parse_process
from sampan.runtime.state import State
from sampan.shim import protocol
from sampan.shim.handover import ContainerFacts
from sampan.shim.network import NetworkPlan
from sampan.wire import jsontext

# The clerk that launches is gone soon: its parent, the shim, looks after the process.
_SIBLING = Options(sibling=True)


def start_container(
    container_id: str, directory: str, request: protocol.Start, fds: Mapping[str, int], stdio: Stdio | None
) -> tuple[Launched, ContainerFacts]:
    """Launch the container of config.json. After an error nothing of it is left."""
    spec = _load(directory)
    if spec.process is not None:
        spec = replace(spec, process=_with_console(spec.process, request))
    network = None if request.network is None else NetworkPlan.from_document(request.network)
    compiled = seccomp_filter(spec)
    launched = launch(
        spec,
        directory,
        container_id=container_id,
        descriptors=_descriptors(fds),
        stdio=stdio,
        cgroup=_cgroup(spec.linux.cgroups_path),
        user=request.user,
        groups=request.groups,
        prepare=None if network is None else network.create,
        inside=None if network is None else network.configure,
        compiled=compiled,
        options=_SIBLING,
    )
    if network is not None:
        network.settle()
    facts = ContainerFacts(
        cgroup_path=spec.linux.cgroups_path,
        has_private_pids=spec.linux.is_new("pid"),
        has_poststop_hooks=bool(spec.hooks.poststop),
        namespaces=tuple(spec.linux.namespaces),
        personality=spec.linux.personality,
        filter=None if compiled is None else (compiled.key, compiled.flags),
    )
    return launched, facts


class Container:
    """The container once it runs: what has to be done when its init has ended."""

    def __init__(self, container_id: str, directory: str, facts: ContainerFacts) -> None:
        self._id = container_id
        self._directory = directory
        self._facts = facts

    def start_exec(self, init: int, request: protocol.Exec, process: int, stdio: Stdio | None) -> Launched:
        """Launch the process that the file `process` describes in this container; its first one is `init`."""
        compiled, state = self._filter(), None
        if compiled is not None and compiled.listener is not None:
            spec = _load(self._directory)
            state = State(self._id, "running", init, self._directory, spec.annotations, spec.oci_version)
        return launch_exec(
            init,
            _with_console(_read_process(process), request),
            joinable=Joinable(self._facts.namespaces, self._facts.personality),
            compiled=compiled,
            cgroup=_cgroup(self._facts.cgroup_path),
            stdio=stdio,
            user=request.user,
            groups=request.groups,
            state=state,
            options=_SIBLING,
        )

    def _filter(self) -> Filter | None:
        if self._facts.filter is None:
            return None
        key, flags = self._facts.filter
        program = None if flags & NEW_LISTENER else seccomp_cache.find(key)
        # Somebody may have emptied the cache, or there is an agent, whom only config.json knows.
        return seccomp_filter(_load(self._directory)) if program is None else Filter(program, flags, key)

    def end_rest(self) -> None:
        """The init has ended, and so must the rest; in a PID namespace the kernel sees to it."""
        if not self._facts.has_private_pids:
            _cgroup(self._facts.cgroup_path).kill()

    def was_oom_killed(self) -> bool:
        try:
            return _cgroup(self._facts.cgroup_path).oom_kill_count() > 0
        except OSError:
            return False

    def remove(self) -> list[str]:
        """Remove the cgroup and run the poststop hooks; returns what went wrong, which hinders nobody."""
        problems = []
        try:
            cgroup = _cgroup(self._facts.cgroup_path)
            cgroup.kill()
            cgroup.delete()
        except OSError as error:
            problems.append(f"remove cgroup: {error}")
        if self._facts.has_poststop_hooks:
            spec = _load(self._directory)
            state = State(self._id, "stopped", 0, self._directory, spec.annotations).to_json()
            # A failure is no more than a warning: OCI runtime-spec, "Lifecycle", step 13.
            problems += hooks.run_all(spec.hooks.poststop, state)
        return problems


def _load(directory: str) -> Spec:
    spec = load(directory)
    if not spec.linux.cgroups_path:
        raise errors.InvalidArgument("config.json: linux.cgroupsPath is required")
    return spec


def _cgroup(path: str) -> Cgroup:
    return host_cgroups().cgroup(path)


@functools.cache
def host_cgroups() -> Hierarchy:
    """How this host has mounted its cgroups. The zygote finds out, and its shims know."""
    return open_cgroups()


def _descriptors(fds: Mapping[str, int]) -> Descriptors:
    """The descriptors of `start`, as the runtime wants them."""
    mounts: dict[str, int] = {}
    namespaces: dict[str, int] = {}
    for name, fd in fds.items():
        if name.startswith(protocol.MOUNT_PREFIX):
            mounts[name.removeprefix(protocol.MOUNT_PREFIX)] = fd
        elif name.startswith(protocol.NAMESPACE_PREFIX):
            namespaces[name.removeprefix(protocol.NAMESPACE_PREFIX)] = fd
        elif name != protocol.ROOTFS:
            raise errors.InvalidArgument(f"start: unknown descriptor {name}")
    return Descriptors(rootfs=fds.get(protocol.ROOTFS), mounts=mounts, namespaces=namespaces)


def _with_console(process: Process, request: protocol.Start | protocol.Exec) -> Process:
    """The terminal has its size before the program can ask for it."""
    size = request.console_size or process.console_size
    return replace(process, terminal=request.terminal, console_size=size)


def _read_process(fd: int) -> Process:
    """The OCI process object in an open file."""
    try:
        return parse_process(jsontext.parse(os.pread(fd, os.fstat(fd).st_size, 0)))
    except ValueError as error:
        raise errors.InvalidArgument(f"the process of the exec is not JSON: {error}") from None
