"""Containers as documents of Docker's API: `inspect`, and the entries of the list.

Owns the shape: every key of API 1.51, in dockerd's order, with null and empty where dockerd has them.
Pure but for sizes and the driver's data, which the caller brings.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from sampan.engine import health, ociconfig
from sampan.engine.container import Container, Paths
from sampan.engine.mountpoints import MountPoint
from sampan.engine.network import Network
from sampan.engine.record import NEVER, STARTING, Status
from sampan.engine.settings import Settings
from sampan.engine.states import State
from sampan.wire import gotime, units

Document = dict[str, Any]

# Go leaves these out when they are empty ("omitempty").
_CONFIG_OMITTED = (
    "ExposedPorts",
    "Healthcheck",
    "ArgsEscaped",
    "NetworkDisabled",
    "MacAddress",
    "StopSignal",
    "StopTimeout",
    "Shell",
)
_HOST_CONFIG_OMITTED = (
    "Annotations",
    "StorageOpt",
    "Tmpfs",
    "Sysctls",
    "Runtime",
    "KernelMemory",
    "KernelMemoryTCP",
    "Mounts",
    "Init",
)


# Maps, which Go writes sorted by key; other objects are structs, in their own order.
_MAPS = frozenset(
    ["Annotations", "ExposedPorts", "Labels", "PortBindings", "StorageOpt", "Sysctls", "Tmpfs", "Volumes"]
)


def document(
    container: Container, settings: Settings, network: Network, driver_data: dict[str, str]
) -> Document:
    """`GET /containers/{name}/json`."""
    record, status = container.record, container.status
    command = ociconfig.command(record.config)
    paths = Paths.of(settings, record.id)
    files = Paths.of(settings, status.files_owner or record.id)
    # As with dockerd, the files are there from the first start on.
    started = status.started_at != NEVER or status.state.is_running
    logs = started and record.host_config.log_config.type == "json-file"
    running_execs = [execution.id for execution in container.executions.values() if execution.is_running]
    return {
        "Id": record.id,
        "Created": gotime.format_rfc3339(record.created),
        "Path": command[0],
        "Args": command[1:],
        "State": state_document(status),
        "Image": record.image,
        "ResolvConfPath": files.file("resolv.conf") if started else "",
        "HostnamePath": files.file("hostname") if started else "",
        "HostsPath": files.file("hosts") if started else "",
        "LogPath": paths.log if logs else "",
        "Name": f"/{record.name}",
        "RestartCount": status.restart_count,
        "Driver": record.driver,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": running_execs or None,
        "HostConfig": _without_empty(record.host_config, _HOST_CONFIG_OMITTED),
        "GraphDriver": {"Data": driver_data, "Name": record.driver},
        "Mounts": [_mount_document(point) for point in record.points],
        "Config": _without_empty(record.config, _CONFIG_OMITTED),
        "NetworkSettings": network.settings_document(record, status.endpoints, status.pid),
    }


def state_document(status: Status) -> Document:
    state = status.state
    own = {} if status.health is None else {"Health": health.document(status.health)}
    return {
        "Status": state.value,
        "Running": state.is_running,
        "Paused": state is State.PAUSED,
        "Restarting": state is State.RESTARTING,
        "OOMKilled": status.oom_killed,
        "Dead": state is State.DEAD,
        "Pid": status.pid,
        "ExitCode": status.exit_code,
        "Error": status.error,
        "StartedAt": gotime.format_rfc3339(status.started_at),
        "FinishedAt": gotime.format_rfc3339(status.finished_at),
    } | own


def summary(container: Container, network: Network, images: Mapping[str, str]) -> Document:
    """One entry of `GET /containers/json`, without sizes. `images`: what names of images mean at present."""
    record, status = container.record, container.status
    running = status.state.has_processes
    document: Document = {
        "Id": record.id,
        "Names": [f"/{record.name}"],
        # A name that has moved on to another image would mislead.
        "Image": record.config.image if images.get(record.config.image) == record.image else record.image,
        "ImageID": record.image,
        "Command": " ".join(_quoted(word) for word in ociconfig.command(record.config)),
        "Created": record.created // gotime.NANOSECONDS,
        "Ports": network.port_list(record, status.endpoints, running=running),
        "Labels": _sorted(record.config.labels or {}),
        "State": status.state.value,
        "Status": status_text(status),
        "HostConfig": {"NetworkMode": record.host_config.network_mode},
        "NetworkSettings": {"Networks": network.networks_document(record, status.endpoints, running=running)},
        "Mounts": [_mount_document(point) for point in record.points],
    }
    if record.host_config.annotations:
        document["HostConfig"]["Annotations"] = _sorted(record.host_config.annotations)
    return document


def status_text(status: Status) -> str:
    """`Up 3 seconds`, `Exited (0) 5 minutes ago`: moby's State.String."""
    state = status.state
    if state is State.RESTARTING:
        return f"Restarting ({status.exit_code}) {_since(status.finished_at)} ago"
    if state.is_running:
        return f"Up {_since(status.started_at)}{_addition(status)}"
    if state is State.REMOVING:
        return "Removal In Progress"
    if state is State.DEAD:
        return "Dead"
    if state is State.CREATED:
        return "Created"
    return f"Exited ({status.exit_code}) {_since(status.finished_at)} ago"


def _addition(status: Status) -> str:
    if status.state is State.PAUSED:
        return " (Paused)"
    if status.health is None:
        return ""
    return f" ({'health: ' if status.health.status == STARTING else ''}{status.health.status})"


def _since(moment: int) -> str:
    return units.human_duration((time.time_ns() - moment) / gotime.NANOSECONDS)


def _quoted(word: str) -> str:
    """A word of `Command`: dockerd puts one with a blank in single quotes."""
    return f"'{word}'" if " " in word else word


def _mount_document(point: MountPoint) -> Document:
    return {
        "Type": point.type,
        **({"Name": point.name} if point.name else {}),
        "Source": point.source,
        "Destination": point.destination,
        **({"Driver": "local"} if point.type == "volume" else {}),
        "Mode": point.mode,
        "RW": point.writable,
        "Propagation": point.propagation,
    }


def _without_empty(struct: msgspec.Struct, omitted: tuple[str, ...]) -> Document:
    """A struct in Docker's names; as from Go, without empty ones of these fields, and maps sorted by key."""
    found: Document = msgspec.to_builtins(struct)
    for key in omitted:
        if not found.get(key) and found.get(key) is not True:
            found.pop(key, None)
    return {key: _sorted(value) if key in _MAPS and value else value for key, value in found.items()}


def _sorted(mapping: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(mapping.items()))
