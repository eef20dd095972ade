"""What a client asked for, checked and completed: image and request merged, defaults filled in.

Owns the rules of dockerd's `create` (moby's daemon/create.go, commit.go, container.go and runconfig/), in
its order and with its messages. Pure, but for looking whether the sources of `--mount` exist.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sampan import errors
from sampan.engine import health, limits, restarts, signals
from sampan.engine.host import Host
from sampan.engine.schema import ContainerConfig, ContainerCreate, HostConfig, LogConfig
from sampan.engine.security import capabilities, options

_DEFAULT_SHM_SIZE = 64 << 20

# Stored with the container, so that inspect shows them, as with dockerd.
MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def plain(body: ContainerCreate) -> ContainerConfig:
    """The configuration without what belongs to the host."""
    names = ContainerConfig.__struct_fields__
    return ContainerConfig(**{name: getattr(body, name) for name in names})


# --- image and request --------------------------------------------------------------------------------------


def merge(config: ContainerConfig, image: ContainerConfig) -> ContainerConfig:
    """`config` with what it leaves open taken from the image's own."""
    changes: dict[str, Any] = {
        "user": config.user or image.user,
        "exposed_ports": _union(config.exposed_ports, image.exposed_ports),
        "env": _merged_env(config.env, image.env),
        "labels": (image.labels or {}) | (config.labels or {}),
        "working_dir": config.working_dir or image.working_dir,
        "volumes": _union(config.volumes, image.volumes),
        "stop_signal": config.stop_signal or image.stop_signal,
        "healthcheck": health.merge(config.healthcheck, image.healthcheck),
    }
    if not config.entrypoint:
        if not config.cmd:
            changes["cmd"] = image.cmd
        if config.entrypoint is None:
            changes["entrypoint"] = image.entrypoint
    merged = msgspec.structs.replace(config, **changes)
    if merged.entrypoint == [""]:
        # `--entrypoint ""` clears that of the image.
        merged = msgspec.structs.replace(merged, entrypoint=None)
    if not merged.entrypoint and not merged.cmd:
        raise errors.InvalidArgument("No command specified")
    return merged


def _union(own: dict[str, Any] | None, images: dict[str, Any] | None) -> dict[str, Any] | None:
    return (images or {}) | own if own else images


def _merged_env(own: list[str] | None, images: list[str] | None) -> list[str] | None:
    if not own:
        return images
    given = {entry.partition("=")[0] for entry in own}
    return [*own, *(entry for entry in images or () if entry.partition("=")[0] not in given)]


# --- checks -------------------------------------------------------------------------------------------------


def check_modes(config: ContainerConfig, host_config: HostConfig) -> None:
    """Options that exclude each other (moby's runconfig), looked at before the image is."""
    mode = host_config.network_mode
    joins = mode == "container" or mode.startswith("container:")
    if joins and not mode.partition(":")[2]:
        raise errors.InvalidArgument("Invalid network mode: invalid container format container:<name|id>")
    conflicts = (
        (joins and config.hostname, "hostname and the network mode"),
        (
            joins and host_config.links,
            "container type network can't be used with links. This would result in undefined behavior",
        ),
        (joins and host_config.dns, "dns and the network mode"),
        (joins and host_config.extra_hosts, "custom host-to-IP mapping and the network mode"),
        ((joins or mode == "host") and config.mac_address, "mac-address and the network mode"),
        (
            joins and (host_config.port_bindings or host_config.publish_all_ports),
            "port publishing and the container type network mode",
        ),
        (joins and config.exposed_ports, "port exposing and the container type network mode"),
        (host_config.uts_mode == "host" and config.hostname, "hostname and the UTS mode"),
    )
    for conflicting, what in conflicts:
        if conflicting:
            raise errors.InvalidArgument(f"conflicting options: {what}")
    _check_namespaces(host_config)


def _check_namespaces(host_config: HostConfig) -> None:
    pid = host_config.pid_mode
    if pid not in ("", "host") and not (pid.startswith("container:") and pid != "container:"):
        raise errors.InvalidArgument(f"Invalid PID mode: {pid}")
    ipc = host_config.ipc_mode
    if ipc not in ("", "none", "private", "shareable", "host") and not ipc.startswith("container:"):
        raise errors.InvalidArgument(f"Invalid IPC mode: {ipc}")
    if host_config.uts_mode not in ("", "host"):
        raise errors.InvalidArgument(f"invalid UTS mode: {host_config.uts_mode}")
    if host_config.cgroupns_mode not in ("", "host", "private"):
        raise errors.InvalidArgument(f"invalid cgroup namespace mode: {host_config.cgroupns_mode}")
    if host_config.isolation not in ("", "default"):
        raise errors.InvalidArgument(
            f"Invalid isolation: \"{host_config.isolation}\" - linux only supports 'default'"
        )


def check_config(config: ContainerConfig) -> None:
    """Raises InvalidArgument for what cannot be run."""
    if config.working_dir and not config.working_dir.startswith("/"):
        raise errors.InvalidArgument(
            f"the working directory '{config.working_dir}' is invalid, it needs to be an absolute path"
        )
    if config.stop_signal:
        signals.parse(config.stop_signal)
    if config.healthcheck is not None:
        health.check(config.healthcheck)
    for entry in config.env or ():
        if not entry.partition("=")[0]:
            raise errors.InvalidArgument(f"invalid environment variable: {entry}")
    for text in (*(config.env or ()), *(config.cmd or ()), *(config.entrypoint or ())):
        if "\0" in text:
            raise errors.InvalidArgument("arguments and environment variables cannot hold a NUL")


def complete(host_config: HostConfig, host: Host) -> tuple[HostConfig, list[str]]:
    """The configuration as dockerd would store it, and warnings for the client. Raises InvalidArgument."""
    restarts.check(host_config)
    host_config = msgspec.structs.replace(
        host_config,
        cap_add=capabilities.normalise(host_config.cap_add, "CapAdd"),
        cap_drop=capabilities.normalise(host_config.cap_drop, "CapDrop"),
    )
    host_config, warnings = limits.check(host_config, host)
    if host_config.shm_size < 0:
        raise errors.InvalidArgument("SHM size can not be less than 0")
    if not -1000 <= host_config.oom_score_adj <= 1000:
        raise errors.InvalidArgument(
            f"Invalid value {host_config.oom_score_adj}, range for oom score adj is [-1000, 1000]"
        )
    if host_config.network_mode == "host" and host_config.port_bindings:
        warnings.append("Published ports are discarded when using host network mode")
    if host_config.runtime not in ("", "runc", "sampan"):
        raise errors.InvalidArgument(f"Unknown runtime specified {host_config.runtime}")
    options.parse(host_config.security_opt)
    return _with_defaults(host_config, host), warnings


def _with_defaults(config: HostConfig, host: Host) -> HostConfig:
    changes: dict[str, Any] = {}
    if config.memory > 0 and config.memory_swap == 0:
        changes["memory_swap"] = 2 * config.memory
    if not config.cgroupns_mode:
        # cgroup v1 shows a container its own part of the hierarchy through bind mounts instead.
        changes["cgroupns_mode"] = "private" if host.cgroup_version == 2 else "host"
    if config.privileged or "host" in (config.pid_mode, config.ipc_mode):
        changes["security_opt"] = [*(config.security_opt or ()), "label=disable"]
    if not config.privileged and config.masked_paths is None:
        changes["masked_paths"] = list(MASKED_PATHS)
    if not config.privileged and config.readonly_paths is None:
        changes["readonly_paths"] = list(READONLY_PATHS)
    return msgspec.structs.replace(
        config,
        **changes,
        network_mode=config.network_mode or "default",
        port_bindings=config.port_bindings or {},
        log_config=LogConfig(
            type=config.log_config.type or "json-file", config=config.log_config.config or {}
        ),
        restart_policy=msgspec.structs.replace(
            config.restart_policy, name=config.restart_policy.name or restarts.NO
        ),
        ipc_mode=config.ipc_mode or "private",
        shm_size=config.shm_size or _DEFAULT_SHM_SIZE,
        runtime=config.runtime or "runc",
        console_size=config.console_size or [0, 0],
        oom_kill_disable=bool(config.oom_kill_disable),
    )
