"""The bodies of requests, in Docker's names: what a client may say about a container, an exec, an endpoint.

Owns the fields and what a missing one means. As in Go, `null` means the zero value, so `Text`, `Number`
and `Flag` accept it and are never None afterwards; lists and maps keep the difference between null and
empty, which inspect shows again. The order of the fields is the one in which dockerd shows them. Unknown
fields are ignored, as dockerd does: they belong to other versions of the API. What is set but not done
yet is found by `refusals`, not here. Decoding the body of `docker run` costs 10 µs.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    Text = str
    Number = int
    Flag = bool
    Words = list[str] | None
    """Go's StrSlice: a single string stands for a list of one."""
else:
    Text = str | None
    Number = int | None
    Flag = bool | None
    Words = str | list[str] | None

Strings = list[str] | None
StringMap = dict[str, str] | None

_ZEROS: dict[str, object] = {"Text": "", "Number": 0, "Flag": False}


@functools.cache
def _annotated(kind: type[msgspec.Struct]) -> tuple[tuple[tuple[str, object], ...], tuple[str, ...]]:
    """The fields of a struct that are never None, with their zero values; and those that are `Words`."""
    annotations: dict[str, str] = {}
    for base in kind.__mro__:
        annotations |= inspect.get_annotations(base)
    zeros = tuple((name, _ZEROS[text]) for name, text in annotations.items() if text in _ZEROS)
    return zeros, tuple(name for name, text in annotations.items() if text == "Words")


class Body(msgspec.Struct, rename="pascal", frozen=True, kw_only=True):
    """Base of all: frozen, fields in Docker's spelling, null read as Go reads it."""

    def __post_init__(self) -> None:
        zeros, words = _annotated(type(self))
        for name, zero in zeros:
            if getattr(self, name) is None:
                msgspec.structs.force_setattr(self, name, zero)
        for name in words:
            if isinstance(value := getattr(self, name), str):
                msgspec.structs.force_setattr(self, name, [value])


# --- parts of HostConfig ------------------------------------------------------------------------------


class LogConfig(Body, frozen=True):
    type: Text = ""
    config: StringMap = None


class PortBinding(Body, frozen=True):
    host_ip: Text = ""
    host_port: Text = ""


class RestartPolicy(Body, frozen=True):
    name: Text = ""
    maximum_retry_count: Number = 0


class DeviceMapping(Body, frozen=True):
    path_on_host: Text = ""
    path_in_container: Text = ""
    cgroup_permissions: Text = ""


class DeviceRequest(Body, frozen=True):
    driver: Text = ""
    count: Number = 0
    device_ids: Strings = msgspec.field(default=None, name="DeviceIDs")
    capabilities: list[list[str]] | None = None
    options: StringMap = None


class WeightDevice(Body, frozen=True):
    path: Text = ""
    weight: Number = 0


class ThrottleDevice(Body, frozen=True):
    path: Text = ""
    rate: Number = 0


class Ulimit(Body, frozen=True):
    name: Text = ""
    hard: Number = 0
    soft: Number = 0


class BindOptions(Body, omit_defaults=True, frozen=True):
    propagation: Text = ""
    non_recursive: Flag = False
    create_mountpoint: Flag = False
    read_only_non_recursive: Flag = False
    read_only_force_recursive: Flag = False


class DriverConfig(Body, omit_defaults=True, frozen=True):
    name: Text = ""
    options: StringMap = None


class VolumeOptions(Body, omit_defaults=True, frozen=True):
    no_copy: Flag = False
    labels: StringMap = None
    subpath: Text = ""
    driver_config: DriverConfig | None = None


class ImageOptions(Body, omit_defaults=True, frozen=True):
    subpath: Text = ""


class TmpfsOptions(Body, omit_defaults=True, frozen=True):
    size_bytes: Number = 0
    mode: Number = 0
    options: list[list[str]] | None = None


class Mount(Body, omit_defaults=True, frozen=True):
    """One `--mount`. Go leaves out what is empty, so inspect does too."""

    type: Text = ""
    source: Text = ""
    target: Text = ""
    read_only: Flag = False
    consistency: Text = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    image_options: ImageOptions | None = None
    tmpfs_options: TmpfsOptions | None = None
    cluster_options: dict[str, Any] | None = None


# --- containers ---------------------------------------------------------------------------------------


class HostConfig(Body, frozen=True):
    """What depends on the host: mounts, ports, namespaces, limits."""

    binds: Strings = None
    container_id_file: Text = msgspec.field(default="", name="ContainerIDFile")
    log_config: LogConfig = msgspec.field(default_factory=LogConfig)
    network_mode: Text = ""
    port_bindings: dict[str, list[PortBinding] | None] | None = None
    restart_policy: RestartPolicy = msgspec.field(default_factory=RestartPolicy)
    auto_remove: Flag = False
    volume_driver: Text = ""
    volumes_from: Strings = None
    annotations: StringMap = None
    cap_add: Words = None
    cap_drop: Words = None
    cgroupns_mode: Text = ""
    dns: Strings = None
    dns_options: Strings = None
    dns_search: Strings = None
    extra_hosts: Strings = None
    group_add: Strings = None
    ipc_mode: Text = ""
    cgroup: Text = ""
    links: Strings = None
    oom_score_adj: Number = 0
    pid_mode: Text = ""
    privileged: Flag = False
    publish_all_ports: Flag = False
    readonly_rootfs: Flag = False
    security_opt: Strings = None
    storage_opt: StringMap = None
    tmpfs: StringMap = None
    uts_mode: Text = msgspec.field(default="", name="UTSMode")
    userns_mode: Text = ""
    shm_size: Number = 0
    sysctls: StringMap = None
    runtime: Text = ""
    console_size: list[int] | None = None
    isolation: Text = ""
    cpu_shares: Number = 0
    memory: Number = 0
    nano_cpus: Number = 0
    cgroup_parent: Text = ""
    blkio_weight: Number = 0
    blkio_weight_device: list[WeightDevice] | None = None
    blkio_device_read_bps: list[ThrottleDevice] | None = None
    blkio_device_write_bps: list[ThrottleDevice] | None = None
    blkio_device_read_iops: list[ThrottleDevice] | None = msgspec.field(
        default=None, name="BlkioDeviceReadIOps"
    )
    blkio_device_write_iops: list[ThrottleDevice] | None = msgspec.field(
        default=None, name="BlkioDeviceWriteIOps"
    )
    cpu_period: Number = 0
    cpu_quota: Number = 0
    cpu_realtime_period: Number = 0
    cpu_realtime_runtime: Number = 0
    cpuset_cpus: Text = ""
    cpuset_mems: Text = ""
    devices: list[DeviceMapping] | None = None
    device_cgroup_rules: Strings = None
    device_requests: list[DeviceRequest] | None = None
    kernel_memory: Number = 0
    kernel_memory_tcp: Number = msgspec.field(default=0, name="KernelMemoryTCP")
    memory_reservation: Number = 0
    memory_swap: Number = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool | None = None
    pids_limit: int | None = None
    ulimits: list[Ulimit] | None = None
    cpu_count: Number = 0
    cpu_percent: Number = 0
    io_maximum_iops: Number = msgspec.field(default=0, name="IOMaximumIOps")
    io_maximum_bandwidth: Number = msgspec.field(default=0, name="IOMaximumBandwidth")
    mounts: list[Mount] | None = None
    masked_paths: Strings = None
    readonly_paths: Strings = None
    init: bool | None = None


class EndpointIPAMConfig(Body, omit_defaults=True, frozen=True):
    ipv4_address: Text = msgspec.field(default="", name="IPv4Address")
    ipv6_address: Text = msgspec.field(default="", name="IPv6Address")
    link_local_ips: Strings = msgspec.field(default=None, name="LinkLocalIPs")


class EndpointSettings(Body, frozen=True):
    """A container's wishes for one network; what the engine answers in the same object is not read."""

    ipam_config: EndpointIPAMConfig | None = msgspec.field(default=None, name="IPAMConfig")
    links: Strings = None
    aliases: Strings = None
    mac_address: Text = ""
    driver_opts: StringMap = None
    gw_priority: Number = 0


class NetworkingConfig(Body, frozen=True):
    endpoints_config: dict[str, EndpointSettings | None] | None = None


class IPAMConfig(Body, omit_defaults=True, frozen=True):
    subnet: Text = ""
    ip_range: Text = msgspec.field(default="", name="IPRange")
    gateway: Text = ""
    auxiliary_addresses: StringMap = None


class IPAM(Body, frozen=True):
    driver: Text = ""
    options: StringMap = None
    config: list[IPAMConfig] | None = None


class ConfigReference(Body, frozen=True):
    network: Text = ""


class NetworkCreate(Body, frozen=True):
    name: Text = ""
    driver: Text = ""
    scope: Text = ""
    internal: Flag = False
    attachable: Flag = False
    ingress: Flag = False
    config_only: Flag = False
    config_from: ConfigReference | None = None
    ipam: IPAM | None = msgspec.field(default=None, name="IPAM")
    enable_ipv4: bool | None = msgspec.field(default=None, name="EnableIPv4")
    enable_ipv6: bool | None = msgspec.field(default=None, name="EnableIPv6")
    options: StringMap = None
    labels: StringMap = None


class NetworkConnect(Body, frozen=True):
    container: Text = ""
    endpoint_config: EndpointSettings | None = None


class NetworkDisconnect(Body, frozen=True):
    container: Text = ""
    force: Flag = False


class HealthConfig(Body, omit_defaults=True, frozen=True):
    test: Strings = None
    interval: Number = 0
    timeout: Number = 0
    start_period: Number = 0
    start_interval: Number = 0
    retries: Number = 0


class ContainerConfig(Body, frozen=True):
    """What does not depend on the host. An image's `config` has the same form."""

    hostname: Text = ""
    domainname: Text = ""
    user: Text = ""
    attach_stdin: Flag = False
    attach_stdout: Flag = False
    attach_stderr: Flag = False
    exposed_ports: dict[str, Any] | None = None
    tty: Flag = False
    open_stdin: Flag = False
    stdin_once: Flag = False
    env: Strings = None
    cmd: Words = None
    healthcheck: HealthConfig | None = None
    args_escaped: Flag = False
    image: Text = ""
    volumes: dict[str, Any] | None = None
    working_dir: Text = ""
    entrypoint: Words = None
    network_disabled: Flag = False
    mac_address: Text = ""
    on_build: Strings = None
    labels: StringMap = None
    stop_signal: Text = ""
    stop_timeout: int | None = None
    shell: Words = None


class ContainerCreate(ContainerConfig, frozen=True):
    """`POST /containers/create`."""

    host_config: HostConfig | None = None
    networking_config: NetworkingConfig | None = None


# --- execs --------------------------------------------------------------------------------------------


class ExecCreate(Body, frozen=True):
    """`POST /containers/{name}/exec`."""

    user: Text = ""
    privileged: Flag = False
    tty: Flag = False
    console_size: list[int] | None = None
    attach_stdin: Flag = False
    attach_stderr: Flag = False
    attach_stdout: Flag = False
    detach: Flag = False
    detach_keys: Text = ""
    env: Strings = None
    working_dir: Text = ""
    cmd: Words = None


class ExecStart(Body, frozen=True):
    """`POST /exec/{id}/start`."""

    detach: Flag = False
    tty: Flag = False
    console_size: list[int] | None = None


# --- volumes ------------------------------------------------------------------------------------------------


class VolumeCreate(Body, frozen=True):
    name: Text = ""
    driver: Text = ""
    driver_opts: StringMap = None
    labels: StringMap = None
    cluster_volume_spec: dict[str, Any] | None = None
