"""What Docker has and Sampan does not do yet: refused by its name, never ignored.

Owns the table. An option leaves it when it is done. A value that asks for nothing, or for what holds
anyway, is no reason to refuse.
"""

from __future__ import annotations

from collections.abc import Callable

from sampan import errors
from sampan.engine.schema import ContainerConfig, EndpointSettings, HostConfig, NetworkingConfig

_LOG_DRIVERS = ("", "json-file", "none")
_FOREIGN_LOG_DRIVERS = frozenset(
    ["awslogs", "fluentd", "gcplogs", "gelf", "journald", "local", "splunk", "syslog"]
)
_LOG_OPTIONS = frozenset(("max-size", "max-file"))
_FOREIGN_LOG_OPTIONS = frozenset(
    ["mode", "max-buffer-size", "labels", "labels-regex", "env", "env-regex", "tag"]
)

# Option → (how to find that it is set, what to call it).
_HOST_OPTIONS: dict[str, tuple[Callable[[HostConfig], object], str]] = {
    "--link": (lambda config: config.links, "links"),
    "--gpus": (lambda config: config.device_requests, "device requests"),
    "--userns": (lambda config: config.userns_mode not in ("", "host"), "user namespaces"),
    "--storage-opt": (lambda config: config.storage_opt, "storage options"),
    "--kernel-memory": (lambda config: config.kernel_memory, "limits of kernel memory"),
    "KernelMemoryTCP": (lambda config: config.kernel_memory_tcp, "limits of kernel memory"),
    "--cpu-count": (lambda config: config.cpu_count, "numbers of processors for Windows"),
    "Cgroup": (lambda config: config.cgroup, "cgroups of other containers"),
}

_CONFIG_OPTIONS: dict[str, tuple[Callable[[ContainerConfig], object], str]] = {
    "NetworkDisabled": (lambda config: config.network_disabled, "disabled networks"),
}

_ENDPOINT_OPTIONS: dict[str, tuple[Callable[[EndpointSettings], object], str]] = {
    "--ip6": (lambda one: one.ipam_config and one.ipam_config.ipv6_address, "IPv6 addresses"),
    "--link-local-ip": (
        lambda one: one.ipam_config and one.ipam_config.link_local_ips,
        "link-local addresses",
    ),
    "--link": (lambda one: one.links, "links"),
    "--driver-opt": (lambda one: one.driver_opts, "driver options of an endpoint"),
}


def _unsupported(what: str, option: str) -> errors.Unsupported:
    return errors.Unsupported(f"{what} are not supported yet ({option})")


def check(config: ContainerConfig, host_config: HostConfig, networking: NetworkingConfig | None) -> None:
    """Raise Unsupported, by its name, for the first option that is not done yet."""
    for option, (is_set, what) in _HOST_OPTIONS.items():
        if is_set(host_config):
            raise _unsupported(what, option)
    for option, (is_asked, description) in _CONFIG_OPTIONS.items():
        if is_asked(config):
            raise _unsupported(description, option)
    _check_log(host_config)
    _check_network(networking)


def _check_log(host_config: HostConfig) -> None:
    driver, given = host_config.log_config.type, host_config.log_config.config or {}
    if driver in _FOREIGN_LOG_DRIVERS:
        raise _unsupported(f"log drivers such as {driver}", "--log-driver")
    if driver not in _LOG_DRIVERS:
        raise errors.InvalidArgument(f'error looking up logging plugin {driver}: plugin "{driver}" not found')
    for name, value in given.items():
        if name == "compress" and value in ("", "false"):
            continue
        if name in _FOREIGN_LOG_OPTIONS or name == "compress":
            raise errors.Unsupported(f"log option {name} is not supported yet (--log-opt {name}={value})")
        if driver != "none" and name not in _LOG_OPTIONS:
            # moby, ValidateLogOpt of json-file
            raise errors.InvalidArgument(f"unknown log opt '{name}' for json-file log driver")


def _check_network(networking: NetworkingConfig | None) -> None:
    for endpoint in ((networking.endpoints_config if networking is not None else None) or {}).values():
        if endpoint is not None:
            check_endpoint(endpoint)


def check_endpoint(endpoint: EndpointSettings) -> None:
    """Raise Unsupported for what a container cannot ask for on a network yet."""
    for option, (is_set, what) in _ENDPOINT_OPTIONS.items():
        if is_set(endpoint):
            raise _unsupported(what, option)
