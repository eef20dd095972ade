"""The request body of POST /containers/create, in the order and with the zero values that Docker's CLI sends.

Owns the checks that need several flags at once. Raises ValueError with Docker's text.
"""

from __future__ import annotations

from sampan.cli.containers.devices import parse_devices
from sampan.cli.containers.envfiles import read_env_files, read_label_files
from sampan.cli.containers.mounts import bind, parse_mount, volume_source
from sampan.cli.containers.networks import Attachment, endpoints, network_mode, parse_network
from sampan.cli.containers.ports import parse_exposed, parse_published
from sampan.cli.containers.security import capability_names, security_options
from sampan.cli.containers.values import (
    address,
    bps_device,
    cpus,
    device_rule,
    domain,
    env,
    extra_host,
    gpus,
    integer,
    iops_device,
    is_mac_address,
    label,
    link,
    memory_swap,
    stream,
    sysctl,
    ulimit,
    weight_device,
)
from sampan.cli.flags import Options
from sampan.wire.gotime import parse_duration
from sampan.wire.units import ram_in_bytes

CONVERT = {
    "add-host": extra_host,
    "attach": stream,
    "blkio-weight-device": weight_device,
    "bytes": ram_in_bytes,
    "decimal": cpus,
    "device-cgroup-rule": device_rule,
    "device-read-bps": bps_device,
    "device-read-iops": iops_device,
    "device-write-bps": bps_device,
    "device-write-iops": iops_device,
    "dns": address,
    "dns-search": domain,
    "duration": parse_duration,
    "env": env,
    "gpu-request": gpus,
    "label": label,
    "link": link,
    "memory-swap": memory_swap,
    "mount": parse_mount,
    "network": parse_network,
    "sysctl": sysctl,
    "ulimit": ulimit,
}
HEALTH = ("interval", "timeout", "retries", "start-period", "start-interval")


def create_body(options: Options, arguments: list[str], detach: bool = False) -> dict[str, object]:
    """The whole body: Config's fields at the top, then HostConfig and NetworkingConfig."""
    _merge_old_names(options)
    config = _config(options, arguments, detach)
    host = _host_config(options)
    if options.flag("rm") and options.text("restart") not in ("", "no"):
        raise ValueError("conflicting options: cannot specify both --restart and --rm")
    config["HostConfig"] = host
    networks: list[Attachment] = options.values("network")  # type: ignore[assignment]
    config["NetworkingConfig"] = {"EndpointsConfig": endpoints(networks, options)}
    return config


def _merge_old_names(options: Options) -> None:
    for old, new in (("net", "network"), ("net-alias", "network-alias"), ("dns-opt", "dns-option")):
        if old in options.changed:
            options.set(new, options.values(new) + options.values(old))


# Config.


def _config(options: Options, arguments: list[str], detach: bool) -> dict[str, object]:
    mac = options.text("mac-address")
    if mac and not is_mac_address(mac.strip()):
        raise ValueError(f"{mac} is not a valid mac address")
    swappiness = options.number("memory-swappiness")
    if swappiness != -1 and not 0 <= swappiness <= 100:
        raise ValueError(f"invalid value: {swappiness}. Valid memory swappiness range is 0-100")
    streams = options.items("attach")
    interactive = options.flag("interactive")
    everything = not streams and not detach
    stdin = interactive or "stdin" in streams
    exposed, _ = parse_published(options.items("publish"))
    exposed |= {port: {} for port in parse_exposed(options.items("expose")) if port not in exposed}
    config: dict[str, object] = {
        "Hostname": options.text("hostname"),
        "Domainname": options.text("domainname"),
        "User": options.text("user"),
        "AttachStdin": stdin,
        "AttachStdout": everything or "stdout" in streams,
        "AttachStderr": everything or "stderr" in streams,
        "ExposedPorts": exposed,
        "Tty": options.flag("tty"),
        "OpenStdin": interactive,
        "StdinOnce": interactive and stdin,
        "Env": [*read_env_files(options.items("env-file")), *options.items("env")] or None,
        "Cmd": arguments[1:] or None,
        "Healthcheck": _healthcheck(options),
        "Image": arguments[0],
        "Volumes": {spec: {} for spec in options.items("volume") if not volume_source(spec)},
        "WorkingDir": options.text("workdir"),
        "Entrypoint": _entrypoint(options),
        "OnBuild": None,
        "Labels": _mapping([*read_label_files(options.items("label-file")), *options.items("label")]),
        "StopSignal": options.text("stop-signal"),
    }
    if "stop-timeout" in options.changed:
        config["StopTimeout"] = options.number("stop-timeout")
    return _without_empty(config, ("ExposedPorts", "Healthcheck", "StopSignal"))


def _without_empty(document: dict[str, object], names: tuple[str, ...]) -> dict[str, object]:
    for name in names:
        if not document[name]:
            del document[name]
    return document


def _entrypoint(options: Options) -> list[str] | None:
    """`--entrypoint ''` resets the image's entry point."""
    return [options.text("entrypoint")] if "entrypoint" in options.changed else None


def _healthcheck(options: Options) -> dict[str, object] | None:
    command = options.text("health-cmd")
    numbers = {name: options.number(f"health-{name}") for name in HEALTH}
    wanted = bool(command) or any(numbers.values())
    if options.flag("no-healthcheck"):
        if wanted:
            raise ValueError("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    if not wanted:
        return None
    for name, value in numbers.items():
        if value < 0:
            raise ValueError(f"--health-{name} cannot be negative")
    check: dict[str, object] = {"Test": ["CMD-SHELL", command]} if command else {}
    keys = ("Interval", "Timeout", "Retries", "StartPeriod", "StartInterval")
    return check | {key: value for key, value in zip(keys, numbers.values(), strict=True) if value}


def _mapping(pairs: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


# HostConfig.


def _host_config(options: Options) -> dict[str, object]:
    _, bindings = parse_published(options.items("publish"))
    # The same volume twice is one volume, as in Docker.
    specs = dict.fromkeys(options.items("volume"))
    binds = [bind(spec) for spec in specs if volume_source(spec)]
    networks: list[Attachment] = options.values("network")  # type: ignore[assignment]
    security, open_paths = security_options(options.items("security-opt"))
    paths: list[str] | None = [] if open_paths else None
    host: dict[str, object] = {
        "Binds": binds or None,
        "ContainerIDFile": options.text("cidfile"),
        "LogConfig": {"Type": options.text("log-driver"), "Config": _log_options(options)},
        "NetworkMode": network_mode(networks),
        "PortBindings": bindings,
        "RestartPolicy": _restart_policy(options.text("restart")),
        "AutoRemove": options.flag("rm"),
        "VolumeDriver": options.text("volume-driver"),
        "VolumesFrom": options.items("volumes-from") or None,
        "ConsoleSize": [0, 0],
        "Annotations": _mapping(options.items("annotation")),
        "CapAdd": capability_names(options.items("cap-add")),
        "CapDrop": capability_names(options.items("cap-drop")),
        "CgroupnsMode": _mode(options, "cgroupns", "CGROUP", ("private", "host")),
        "Dns": options.items("dns"),
        "DnsOptions": options.items("dns-option"),
        "DnsSearch": options.items("dns-search"),
        "ExtraHosts": options.items("add-host") or None,
        "GroupAdd": options.items("group-add") or None,
        "IpcMode": options.text("ipc"),
        "Cgroup": "",
        "Links": options.items("link") or None,
        "OomScoreAdj": options.number("oom-score-adj"),
        "PidMode": _mode(options, "pid", "PID", ("host", "container:")),
        "Privileged": options.flag("privileged"),
        "PublishAllPorts": options.flag("publish-all"),
        "ReadonlyRootfs": options.flag("read-only"),
        "SecurityOpt": security or None,
        "StorageOpt": _storage_options(options),
        "Tmpfs": {path: flags for path, _, flags in (item.partition(":") for item in options.items("tmpfs"))},
        "UTSMode": _mode(options, "uts", "UTS", ("host",)),
        "UsernsMode": _mode(options, "userns", "USER", ("host",)),
        "ShmSize": options.number("shm-size"),
        "Sysctls": _mapping(options.items("sysctl")),
        "Runtime": options.text("runtime"),
        "Isolation": options.text("isolation"),
        **_resources(options),
        "Mounts": options.values("mount"),
        "MaskedPaths": paths,
        "ReadonlyPaths": paths,
    }
    if "init" in options.changed:
        host["Init"] = options.flag("init")
    return _without_empty(host, ("Annotations", "StorageOpt", "Tmpfs", "Sysctls", "Runtime", "Mounts"))


def _mode(options: Options, flag: str, name: str, allowed: tuple[str, ...]) -> str:
    """A namespace: nothing, one of the words, or `container:` with a name."""
    value = options.text(flag)
    word, colon, target = value.partition(":")
    if value and (word + colon not in allowed or bool(colon) != bool(target)):
        raise ValueError(f"--{flag}: invalid {name} mode")
    return value


def _restart_policy(text: str) -> dict[str, object]:
    name, colon, count = text.partition(":")
    if colon and not name:
        raise ValueError("invalid restart policy format: no policy provided before colon")
    try:
        retries = integer(count) if count else 0
    except ValueError:
        raise ValueError("invalid restart policy format: maximum retry count must be an integer") from None
    return {"Name": name, "MaximumRetryCount": retries}


def _log_options(options: Options) -> dict[str, str]:
    found = _mapping(options.items("log-opt"))
    if found and options.text("log-driver") == "none":
        raise ValueError("invalid logging opts for driver none")
    return found


def _storage_options(options: Options) -> dict[str, str]:
    pairs = options.items("storage-opt")
    if any("=" not in pair for pair in pairs):
        raise ValueError("invalid storage option")
    return _mapping(pairs)


def limits_and_policy(options: Options) -> dict[str, object]:
    """What `update` can change. Raises ValueError."""
    return {
        "BlkioWeight": options.number("blkio-weight"),
        "CpuPeriod": options.number("cpu-period"),
        "CpuQuota": options.number("cpu-quota"),
        "CpuRealtimePeriod": options.number("cpu-rt-period"),
        "CpuRealtimeRuntime": options.number("cpu-rt-runtime"),
        "CpuShares": options.number("cpu-shares"),
        "CpusetCpus": options.text("cpuset-cpus"),
        "CpusetMems": options.text("cpuset-mems"),
        "Memory": options.number("memory"),
        "MemoryReservation": options.number("memory-reservation"),
        "MemorySwap": options.number("memory-swap"),
        "NanoCpus": options.number("cpus"),
        "PidsLimit": options.number("pids-limit") if "pids-limit" in options.changed else None,
        "RestartPolicy": _restart_policy(options.text("restart")),
    }


def _resources(options: Options) -> dict[str, object]:
    devices, cdi = parse_devices(options.items("device"))
    requests = options.values("gpus")
    if cdi:
        requests.append(
            {"Driver": "cdi", "Count": 0, "DeviceIDs": cdi, "Capabilities": None, "Options": None}
        )
    limits = {str(limit["Name"]): limit for limit in options.values("ulimit") if isinstance(limit, dict)}
    return {
        "CpuShares": options.number("cpu-shares"),
        "Memory": options.number("memory"),
        "NanoCpus": options.number("cpus"),
        "CgroupParent": options.text("cgroup-parent"),
        "BlkioWeight": options.number("blkio-weight"),
        "BlkioWeightDevice": options.values("blkio-weight-device"),
        "BlkioDeviceReadBps": options.values("device-read-bps"),
        "BlkioDeviceWriteBps": options.values("device-write-bps"),
        "BlkioDeviceReadIOps": options.values("device-read-iops"),
        "BlkioDeviceWriteIOps": options.values("device-write-iops"),
        "CpuPeriod": options.number("cpu-period"),
        "CpuQuota": options.number("cpu-quota"),
        "CpuRealtimePeriod": options.number("cpu-rt-period"),
        "CpuRealtimeRuntime": options.number("cpu-rt-runtime"),
        "CpusetCpus": options.text("cpuset-cpus"),
        "CpusetMems": options.text("cpuset-mems"),
        "Devices": devices,
        "DeviceCgroupRules": options.items("device-cgroup-rule") or None,
        "DeviceRequests": requests or None,
        "MemoryReservation": options.number("memory-reservation"),
        "MemorySwap": options.number("memory-swap"),
        "MemorySwappiness": options.number("memory-swappiness"),
        "OomKillDisable": options.flag("oom-kill-disable"),
        "PidsLimit": options.number("pids-limit"),
        "Ulimits": [limits[name] for name in sorted(limits)],
        "CpuCount": options.number("cpu-count"),
        "CpuPercent": options.number("cpu-percent"),
        "IOMaximumIOps": options.number("io-maxiops"),
        "IOMaximumBandwidth": options.number("io-maxbandwidth"),
    }
