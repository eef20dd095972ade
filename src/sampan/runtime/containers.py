"""The containers of the command `sampan-runtime`: a folder for each, below `--root`, which outlives every
process.

Owns what is remembered (`state.json`, written whole, and a copy of config.json, so that later edits have no
effect) and the status, which is computed from the kernel each time:

    status    | when
    ----------|-------------------------------------------------------------------------------
    stopped   | the first process is gone, is a zombie, or is another one with the same number
    created   | the gate, a FIFO, is still there
    paused    | the cgroup is frozen
    running   | else
"""

from __future__ import annotations

import json
import os
import time

from sampan import errors
from sampan.records import dataclass, fields
from sampan.runtime import spec as specification
from sampan.runtime.cgroups import Cgroup, open_cgroups
from sampan.runtime.spec import Spec
from sampan.runtime.state import State

_STATE, _CONFIG, GATE = "state.json", "config.json", "exec.fifo"
_ID_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-.")


@dataclass(frozen=True, slots=True)
class Container:
    """What is remembered of one container. `pid_start` tells its process from a later one of this pid."""

    id: str
    folder: str
    bundle: str
    rootfs: str
    cgroup_path: str
    created: str
    pid: int
    pid_start: int
    owner: str = ""

    @property
    def gate(self) -> str:
        return f"{self.folder}/{GATE}"

    def spec(self) -> Spec:
        return specification.load(self.folder)

    def cgroup(self) -> Cgroup:
        return open_cgroups().cgroup(self.cgroup_path)

    def status(self) -> str:
        if _start_time(self.pid) != self.pid_start:
            return "stopped"
        if os.path.exists(self.gate):
            return "created"
        return "paused" if self.cgroup().is_frozen() else "running"

    def state(self, status: str | None = None) -> State:
        status = status or self.status()
        pid = 0 if status == "stopped" else self.pid
        loaded = self.spec()
        return State(self.id, status, pid, self.bundle, loaded.annotations, loaded.oci_version)

    def document(self) -> dict[str, object]:
        """As runc prints it: the specification's state, and three fields more."""
        state = self.state()
        more: dict[str, object] = {"rootfs": self.rootfs, "created": self.created, "owner": self.owner}
        document = state.document()
        annotations = document.pop("annotations", None)
        document["pid"], document["status"] = document.pop("pid"), document.pop("status")
        document["bundle"] = document.pop("bundle")
        document.update(more)
        if annotations:
            document["annotations"] = annotations
        return document


class ContainerStore:
    """All containers below one `--root`."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)

    def folder(self, container_id: str) -> str:
        """Raises InvalidArgument for an id that is none: it becomes the name of a folder."""
        if not container_id or container_id in (".", "..") or not _ID_CHARACTERS.issuperset(container_id):
            raise errors.InvalidArgument("invalid container ID format")
        return f"{self.root}/{container_id}"

    def reserve(self, container_id: str, bundle: str) -> str:
        """Make the folder of a new container, with the copy of its config.json."""
        folder = self.folder(container_id)
        os.makedirs(self.root, 0o700, exist_ok=True)
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            raise errors.Conflict("container with given ID already exists") from None
        try:
            with open(f"{bundle}/config.json", "rb") as file:
                config = file.read(specification.MAX_CONFIG + 1)
            _write_whole(f"{folder}/{_CONFIG}", config)
        except BaseException:
            self.forget(container_id)
            raise
        return folder

    def save(self, container: Container) -> None:
        document = {field.name: getattr(container, field.name) for field in fields(container)}
        _write_whole(f"{container.folder}/{_STATE}", json.dumps(document).encode())

    def load(self, container_id: str) -> Container:
        try:
            with open(f"{self.folder(container_id)}/{_STATE}", "rb") as file:
                return Container(**json.loads(file.read()))
        except FileNotFoundError:
            raise errors.NotFound("container does not exist") from None

    def list(self) -> list[Container]:
        try:
            names = sorted(os.listdir(self.root))
        except FileNotFoundError:
            return []
        found = []
        for name in names:
            # A folder that is no container, or one that is just being made or removed, is left out.
            try:
                found.append(self.load(name))
            except (errors.NotFound, errors.InvalidArgument):
                continue
        return found

    def forget(self, container_id: str) -> None:
        """Remove the folder. Twice is not wrong."""
        folder = self.folder(container_id)
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return
        # The state last: as long as it is there, another delete can go on from here.
        for name in sorted(names, key=lambda name: name == _STATE):
            try:
                os.unlink(f"{folder}/{name}")
            except FileNotFoundError:
                pass
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            pass


def remember(
    container_id: str, folder: str, bundle: str, loaded: Spec, cgroup_path: str, pid: int
) -> Container:
    """The record of a process that has just been started."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    created = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09d}Z"
    return Container(
        id=container_id,
        folder=folder,
        bundle=bundle,
        rootfs=os.path.join(bundle, loaded.root.path),
        cgroup_path=cgroup_path,
        created=created,
        pid=pid,
        pid_start=_start_time(pid),
    )


def _start_time(pid: int) -> int:
    """When a process has started, in clock ticks since boot; -1 if there is none, or a zombie
    (proc_pid_stat(5)).
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return -1
    # The name in parentheses may hold anything, so count from its end: state is field 3, start time 22.
    fields = text[text.rindex(b")") + 2 :].split()
    return -1 if fields[0] in (b"Z", b"X") else int(fields[19])


def _write_whole(path: str, content: bytes) -> None:
    beside = f"{path}.new"
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(content)
    os.rename(beside, path)
