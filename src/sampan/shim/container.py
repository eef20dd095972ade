"""What the shim wants of the runtime: launch the container, launch execs in it, remove what is left of it.

Owns the calls into `sampan.runtime` and which of them happen in a launcher. Knows no streams, clients or
phases. config.json is read for the start, and again for each exec, rather than kept: it may hold a seccomp
profile of 100 KB. So it must not be changed while the container runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sampan import errors
from sampan.runtime import hooks
from sampan.runtime.cgroups import Cgroup, open_cgroups
from sampan.runtime.launch import Descriptors, Launched, Stdio, launch, launch_exec
from sampan.runtime.spec import Process, Spec, load, parse_process
from sampan.runtime.state import State
from sampan.shim import protocol
from sampan.shim.launcher import LauncherDied, launch_apart
from sampan.shim.network import NetworkPlan


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the shim remembers of config.json."""

    cgroup_path: str
    has_private_pids: bool
    has_poststop_hooks: bool


class Container:
    """One container: `start` once, `exec` while it runs, `remove` at the end."""

    def __init__(self, container_id: str, directory: str) -> None:
        self.id = container_id
        self._directory = directory
        self._facts: _Facts | None = None
        self._pid = 0

    def start(self, request: protocol.Start, fds: Mapping[str, int], stdio: Stdio | None) -> Launched:
        """Launch the container of config.json. After an error nothing of it is left."""

        def work() -> tuple[Launched, dict[str, Any]]:
            spec = self._load()
            if spec.process is not None:
                spec = replace(spec, process=_with_console(spec.process, request))
            network = None if request.network is None else NetworkPlan.from_document(request.network)
            launched = launch(
                spec,
                self._directory,
                container_id=self.id,
                descriptors=_descriptors(fds),
                stdio=stdio,
                cgroup=open_cgroups().cgroup(spec.linux.cgroups_path),
                user=request.user,
                groups=request.groups,
                prepare=None if network is None else network.create,
                inside=None if network is None else network.configure,
            )
            return launched, {
                "cgroup_path": spec.linux.cgroups_path,
                "has_private_pids": spec.linux.is_new("pid"),
                "has_poststop_hooks": bool(spec.hooks.poststop),
            }

        try:
            launched, facts = launch_apart(work)
        except LauncherDied:
            self._remove_cgroup(self._load().linux.cgroups_path)
            raise
        self._facts = _Facts(**facts)
        self._pid = launched.pid
        return launched

    def exec(self, request: protocol.Exec, stdio: Stdio | None) -> Launched:
        """Launch the process of an exec."""
        assert self._facts is not None
        process_path = f"{self._directory}/{protocol.process_name(request.exec)}"

        def work() -> tuple[Launched, dict[str, Any]]:
            spec = self._load()
            launched = launch_exec(
                self._pid,
                _with_console(_read_process(process_path), request),
                spec=spec,
                cgroup=open_cgroups().cgroup(spec.linux.cgroups_path),
                stdio=stdio,
                user=request.user,
                groups=request.groups,
            )
            return launched, {}

        try:
            if self._facts.has_private_pids:
                return launch_apart(work)[0]
            # Its orphans are nobody's business here: see `launcher`.
            return work()[0]
        finally:
            try:
                os.unlink(process_path)
            except FileNotFoundError:
                pass

    def end_rest(self) -> None:
        """The init has ended, and so must the rest; in a PID namespace the kernel sees to it."""
        if self._facts is not None and not self._facts.has_private_pids:
            self._cgroup(self._facts.cgroup_path).kill()

    def was_oom_killed(self) -> bool:
        try:
            return self._facts is not None and self._cgroup(self._facts.cgroup_path).oom_kill_count() > 0
        except OSError:
            return False

    def remove(self) -> list[str]:
        """Remove the cgroup and run the poststop hooks; returns what went wrong, which hinders nobody."""
        if self._facts is None:
            return []
        problems = []
        try:
            self._remove_cgroup(self._facts.cgroup_path)
        except OSError as error:
            problems.append(f"remove cgroup: {error}")
        if self._facts.has_poststop_hooks:
            spec = self._load()
            state = State(self.id, "stopped", 0, self._directory, spec.annotations).to_json()
            # A failure is no more than a warning: OCI runtime-spec, "Lifecycle", step 13.
            problems += hooks.run_all(spec.hooks.poststop, state)
        self._facts = None
        return problems

    def _load(self) -> Spec:
        spec = load(self._directory)
        if not spec.linux.cgroups_path:
            raise errors.InvalidArgument("config.json: linux.cgroupsPath is required")
        return spec

    def _remove_cgroup(self, path: str) -> None:
        cgroup = self._cgroup(path)
        cgroup.kill()
        cgroup.delete()

    @staticmethod
    def _cgroup(path: str) -> Cgroup:
        return open_cgroups().cgroup(path)


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


def _read_process(path: str) -> Process:
    with open(path, "rb") as file:
        document = file.read()
    try:
        return parse_process(json.loads(document))
    except ValueError as error:
        raise errors.InvalidArgument(f"{path} is not JSON: {error}") from None
