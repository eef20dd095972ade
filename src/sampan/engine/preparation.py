"""What a start needs before there is a shim: root file system, mounts, files, network, config.json.

Owns that one blocking step, which runs in a thread and takes 2 ms: the intent is written first, and when
anything fails, all of it is undone. Nothing is mounted in the engine's own namespace but what the options of
volumes name: mounts are descriptors that travel to the shim and vanish when nobody holds them.
"""

from __future__ import annotations

import os
import resource
import shutil
from contextlib import ExitStack
from typing import Any

import msgspec

from sampan import errors
from sampan.engine import (
    devices,
    joining,
    logpolicy,
    mountsources,
    ociconfig,
    ocimounts,
    ociresources,
    volumes,
)
from sampan.engine.container import Paths
from sampan.engine.joining import Peer
from sampan.engine.network import Joined
from sampan.engine.record import Record, Status
from sampan.engine.schema import HostConfig
from sampan.engine.security import capabilities
from sampan.engine.services import Services
from sampan.engine.settings import Settings
from sampan.engine.states import Intent
from sampan.linux import mounts
from sampan.records import dataclass
from sampan.shim import protocol

Document = dict[str, Any]

_CLONE = mounts.OPEN_TREE_CLONE | mounts.OPEN_TREE_CLOEXEC

# Tried after the configured name: Debian has it in the package tini.
_OTHER_INIT = "tini-static"


@dataclass(slots=True)
class Prepared:
    """All that `Start` needs. `close` it when the shim has its own copies."""

    request: protocol.Start
    fds: tuple[int, ...]
    joined: Joined
    hostname: str
    files_owner: str
    _stack: ExitStack

    @property
    def outcome(self) -> Document:
        """What of it belongs to the container's status."""
        return {
            "endpoints": self.joined.endpoints,
            "hostname": self.hostname,
            "files_owner": self.files_owner,
        }

    def close(self) -> None:
        self._stack.close()


def prepare(services: Services, record: Record, status: Status, peers: dict[str, Peer]) -> Prepared:
    """`peers`: "network", "ipc" and "pid" → the containers whose namespaces are joined."""
    with ExitStack() as undo, ExitStack() as opened:
        prepared = _prepare(services, record, peers, undo, opened)
        undo.callback(prepared.close)
        # From here on a new engine finds out what became of the start; what was made until now, it removes.
        intended = msgspec.structs.replace(status, **prepared.outcome)
        services.database.save_status(record.id, intended, Intent.START)
        undo.pop_all()
        return prepared


def undo(services: Services, record: Record, status: Status, prepared: Prepared) -> None:
    """In a thread: free what was prepared for a start that did not come about."""
    prepared.close()
    services.network.leave(record.id, prepared.joined.endpoints)
    volumes.release(services, record)
    remove_bundle(Paths.of(services.settings, record.id).bundle)
    services.database.save_status(record.id, status)


def _prepare(
    services: Services, record: Record, peers: dict[str, Peer], undo: ExitStack, opened: ExitStack
) -> Prepared:
    paths = Paths.of(services.settings, record.id)
    make_bundle(paths.bundle)
    undo.callback(shutil.rmtree, paths.bundle, ignore_errors=True)
    fds: dict[str, int] = {}

    def keep(name: str, fd: int) -> None:
        opened.callback(os.close, fd)
        fds[name] = fd

    policy = logpolicy.policy(record.host_config.log_config, services.settings.log_options, paths.log)
    keep(protocol.ROOTFS, services.images.mount(record.id))
    volumes.attach(services, record)
    undo.callback(volumes.release, services, record)
    for point in record.points:
        if point.type != "tmpfs":
            source = mountsources.open_source(services.images, record.id, point)
            keep(protocol.MOUNT_PREFIX + point.destination, source)
    for kind, peer in peers.items():
        keep(protocol.NAMESPACE_PREFIX + kind, joining.open_namespace(peer, kind))
    if "ipc" in peers and all(point.destination != ocimounts.SHM for point in record.points):
        keep(protocol.MOUNT_PREFIX + ocimounts.SHM, joining.clone_mount(peers["ipc"], ocimounts.SHM))
    joined = services.network.join(record)
    undo.callback(services.network.leave, record.id, joined.endpoints)
    if joined.namespace is not None:
        keep(protocol.NAMESPACE_PREFIX + "network", joined.namespace)
    network_owner = peers.get("network")
    if network_owner is None:
        hostname, files_owner = record.config.hostname, ""
        services.network.write_files(record, paths.folder, joined.endpoints)
    else:
        hostname = network_owner.status.hostname
        files_owner = network_owner.status.files_owner or network_owner.record.id
    own_files = etc_files(services.settings, files_owner or record.id)
    for destination, path in own_files.items():
        if all(point.destination != destination for point in record.points):
            keep(protocol.MOUNT_PREFIX + destination, mounts.open_tree(path, _CLONE))
    namespaces = {kind: joining.path(peer, kind) for kind, peer in peers.items()}
    if joined.namespace is not None:
        namespaces["network"] = f"/proc/{os.getpid()}/fd/{joined.namespace}"
    document = _config(services, record, namespaces, hostname, own_files)
    _write(f"{paths.bundle}/{protocol.CONFIG_NAME}", msgspec.json.encode(document))
    request = protocol.Start(
        seq=0,
        terminal=record.config.tty,
        console_size=_console_size(record),
        stdin_open=record.config.open_stdin,
        stdin_once=record.config.stdin_once,
        log=policy,
        network=joined.plan,
        user=record.config.user,
        groups=tuple(record.host_config.group_add or ()),
        fds=tuple(fds),
    )
    return Prepared(request, tuple(fds.values()), joined, hostname, files_owner, opened.pop_all())


def etc_files(settings: Settings, identifier: str) -> dict[str, str]:
    """Destination → path of the files that the engine keeps for a container."""
    paths = Paths.of(settings, identifier)
    return {f"/etc/{name}": paths.file(name) for name in ("resolv.conf", "hostname", "hosts")}


def _console_size(record: Record) -> tuple[int, int] | None:
    size = record.host_config.console_size
    return (size[0], size[1]) if size is not None and len(size) == 2 and all(size) else None


def make_bundle(path: str) -> None:
    """The folder that engine and shim share, empty. What is in it from an earlier run is of no use."""
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path, 0o700)


def remove_bundle(path: str) -> None:
    shutil.rmtree(path, ignore_errors=True)


def _config(
    services: Services,
    record: Record,
    namespaces: dict[str, str],
    hostname: str,
    own_files: dict[str, str],
) -> Document:
    host_config = record.host_config
    if host_config.privileged:
        nodes, rules = devices.host_devices(), list[Document]()
    else:
        nodes, rules = devices.add_all(host_config.devices)
    around = ociconfig.Surroundings(
        machine=services.host.machine,
        kernel=services.host.kernel,
        capabilities=capabilities.available(),
        cgroup_path=cgroup_path(services.settings.cgroup_parent, record),
        hostname=hostname,
        domainname=record.config.domainname,
        nofile=_highest_nofile(),
        files=own_files,
        init=find_init(services.settings.init_path) if _wants_init(host_config) else None,
        devices=tuple(nodes),
        device_rules=tuple(rules),
        blocks={path: devices.block_device(path) for path in ociresources.block_paths(host_config)},
        namespaces=namespaces,
        console_size=_console_size(record),
    )
    return ociconfig.build(record.config, host_config, record.points, around)


def cgroup_path(parent: str, record: Record) -> str:
    """The container's cgroup, below the parent in each hierarchy."""
    return f"/{(record.host_config.cgroup_parent or parent).strip('/')}/{record.id}"


def _wants_init(host_config: HostConfig) -> bool:
    """Only the first process of a PID namespace can be an init."""
    return bool(host_config.init) and not host_config.pid_mode


def find_init(name: str) -> str:
    """The init program. Raises SampanError in dockerd's words if there is none."""
    path = shutil.which(name) or shutil.which(_OTHER_INIT)
    if path is None:
        raise errors.SampanError(f'exec: "{name}": executable file not found in $PATH')
    return os.path.realpath(path)


def _highest_nofile() -> int:
    """Raising the hard limit takes CAP_SYS_RESOURCE, which even root may lack."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return ociconfig.NOFILE_HARD if hard == resource.RLIM_INFINITY else hard


def _write(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)
