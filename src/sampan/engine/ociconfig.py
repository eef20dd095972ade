"""A container of Docker's words as config.json of the OCI runtime specification.

Owns what Docker's options mean to the kernel: one pure function, `build`, over values. What only the host
can tell (`Surroundings`) the caller finds out before. Names of users are no business of this file: they
are resolved in the container's own root by the runtime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sampan.engine import ocimounts, ociresources
from sampan.engine.devices import DEFAULT_RULES, EVERYTHING
from sampan.engine.mountpoints import MountPoint
from sampan.engine.schema import ContainerConfig, HostConfig
from sampan.engine.security import capabilities, options, seccomp
from sampan.records import dataclass, field

Document = dict[str, Any]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# The soft limit is the one that select(2) and old programs can live with; systemd's defaults are the same.
_NOFILE_SOFT, NOFILE_HARD = 1024, 524288

_PRIVATE_NETWORK_SYSCTLS = {
    # No capability is needed to listen on a low port, or to ping, in a network of one's own.
    "net.ipv4.ip_unprivileged_port_start": "0",
    "net.ipv4.ping_group_range": "0 2147483647",
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the host adds to a container's configuration."""

    machine: str
    kernel: str
    capabilities: tuple[str, ...]
    """What ALL stands for."""
    cgroup_path: str
    hostname: str
    domainname: str = ""
    nofile: int = NOFILE_HARD
    """The highest limit that this process may set."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Destination → path of the files that the engine keeps for the container."""
    init: str | None = None
    """Path of the init program, if the container wants one."""
    devices: tuple[Document, ...] = ()
    device_rules: tuple[Document, ...] = ()
    blocks: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    namespaces: Mapping[str, str] = field(default_factory=dict)
    """Type → path of the namespace of another container. The descriptor that is sent along has precedence."""
    console_size: tuple[int, int] | None = None


def build(
    config: ContainerConfig, host_config: HostConfig, points: Sequence[MountPoint], around: Surroundings
) -> Document:
    """The whole of config.json. Raises InvalidArgument for values that are only looked at when starting."""
    process = _process(config, host_config, around)
    document: Document = {
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs", "readonly": host_config.readonly_rootfs},
        "process": process,
        "mounts": ocimounts.build(host_config, points, around.files, around.init),
        "linux": _linux(host_config, points, around, process["capabilities"]["bounding"]),
    }
    if host_config.uts_mode != "host":
        document["hostname"] = around.hostname
        if around.domainname:
            document["domainname"] = around.domainname
    if host_config.annotations:
        document["annotations"] = host_config.annotations
    return document


def command(config: ContainerConfig) -> list[str]:
    """Entrypoint and arguments together, as one command line."""
    return [*(config.entrypoint or ()), *(config.cmd or ())]


def environment(config: ContainerConfig, hostname: str, *, tty: bool) -> list[str]:
    """Docker's own variables, and the container's in their place. One without `=` unsets."""
    variables = {"PATH": f"PATH={DEFAULT_PATH}", "HOSTNAME": f"HOSTNAME={hostname}"}
    if tty:
        variables["TERM"] = "TERM=xterm"
    return merge_environment(variables, config.env)


def merge_environment(variables: dict[str, str], entries: Sequence[str] | None) -> list[str]:
    """`entries` over `variables` (name → "NAME=value"), in the order of first appearance."""
    merged = dict(variables)
    for entry in entries or ():
        name, equals, _ = entry.partition("=")
        if equals:
            merged[name] = entry
        else:
            merged.pop(name, None)
    return list(merged.values())


def process_capabilities(chosen: Sequence[str], user: str) -> Document:
    """The sets of a process: like execve, a user that is not root starts with none but the bounding set."""
    uid = user.partition(":")[0]
    held = [] if uid.isdecimal() and int(uid) else list(chosen)
    return {"bounding": list(chosen), "effective": held, "permitted": held}


def _process(config: ContainerConfig, host_config: HostConfig, around: Surroundings) -> Document:
    chosen = capabilities.resolve(
        host_config.cap_add,
        host_config.cap_drop,
        privileged=host_config.privileged,
        every=around.capabilities,
    )
    args = command(config)
    process: Document = {
        "terminal": config.tty,
        "user": {"uid": 0, "gid": 0},
        "args": [ocimounts.INIT, "--", *args] if around.init is not None else args,
        "env": environment(config, around.hostname, tty=config.tty),
        "cwd": config.working_dir or "/",
        "capabilities": process_capabilities(chosen, config.user),
        "noNewPrivileges": options.parse(host_config.security_opt).no_new_privileges,
        "oomScoreAdj": host_config.oom_score_adj,
        "rlimits": _rlimits(host_config, around),
    }
    if around.console_size is not None and config.tty:
        process["consoleSize"] = {"height": around.console_size[0], "width": around.console_size[1]}
    return process


def _rlimits(host_config: HostConfig, around: Surroundings) -> list[Document]:
    hard = min(NOFILE_HARD, around.nofile)
    limits = {"RLIMIT_NOFILE": (min(_NOFILE_SOFT, hard), hard)}
    for ulimit in host_config.ulimits or ():
        limits[f"RLIMIT_{ulimit.name.upper()}"] = (_unsigned(ulimit.soft), _unsigned(ulimit.hard))
    return [{"type": kind, "soft": soft, "hard": hard} for kind, (soft, hard) in limits.items()]


def _unsigned(limit: int) -> int:
    """-1 stands for unlimited, which is the greatest rlim_t (getrlimit(2))."""
    return limit % (1 << 64)


def _linux(
    host_config: HostConfig, points: Sequence[MountPoint], around: Surroundings, bounding: Sequence[str]
) -> Document:
    rules: list[Document] = [*DEFAULT_RULES, *around.device_rules]
    linux: Document = {
        "namespaces": [
            {"type": kind, "path": around.namespaces[kind]} if kind in around.namespaces else {"type": kind}
            for kind in _namespaces(host_config)
        ],
        "cgroupsPath": around.cgroup_path,
        "devices": list(around.devices),
        "resources": ociresources.build(
            host_config, [EVERYTHING] if host_config.privileged else rules, around.blocks
        ),
        "maskedPaths": host_config.masked_paths or [],
        "readonlyPaths": host_config.readonly_paths or [],
    }
    if sysctls := _sysctls(host_config):
        linux["sysctl"] = sysctls
    if propagation := ocimounts.needs_shared_root(points):
        linux["rootfsPropagation"] = propagation
    if profile := _seccomp(host_config, around, bounding):
        linux["seccomp"] = profile
    return linux


def _namespaces(host_config: HostConfig) -> list[str]:
    """All that are not the host's: new ones, and those of other containers."""
    modes = (
        ("network", host_config.network_mode),
        ("uts", host_config.uts_mode),
        ("pid", host_config.pid_mode),
        ("ipc", host_config.ipc_mode),
    )
    kinds = ["mount", *(kind for kind, mode in modes if mode != "host")]
    return [*kinds, "cgroup"] if host_config.cgroupns_mode == "private" else kinds


def _sysctls(host_config: HostConfig) -> dict[str, str]:
    mode = host_config.network_mode
    shared = mode == "host" or mode.startswith("container:")
    return ({} if shared else _PRIVATE_NETWORK_SYSCTLS) | (host_config.sysctls or {})


def _seccomp(host_config: HostConfig, around: Surroundings, bounding: Sequence[str]) -> Document | None:
    wanted = options.parse(host_config.security_opt).seccomp
    if wanted == options.UNCONFINED or (host_config.privileged and not wanted):
        return None
    circumstances = seccomp.Circumstances(around.machine, around.kernel, frozenset(bounding))
    if wanted in ("", options.BUILTIN):
        return seccomp.default(circumstances)
    return seccomp.parse(wanted, circumstances)
