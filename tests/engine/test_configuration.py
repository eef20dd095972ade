"""Merging with the image, dockerd's checks and messages, and the defaults that are stored."""

from __future__ import annotations

from typing import Any

import pytest

from sampan import errors
from sampan.engine import configuration, refusals
from sampan.engine.schema import ContainerConfig
from tests.engine.bodies import HOST, config, create, host_config


def merged(own: ContainerConfig, **image: Any) -> ContainerConfig:
    return configuration.merge(own, config(**image))


@pytest.mark.parametrize(
    ("own", "image", "expected"),
    [
        ({}, {"Cmd": ["sh"]}, (None, ["sh"])),
        ({"Cmd": ["id"]}, {"Cmd": ["sh"], "Entrypoint": ["env"]}, (["env"], ["id"])),
        ({"Entrypoint": ["env"]}, {"Cmd": ["sh"], "Entrypoint": ["x"]}, (["env"], None)),
        ({"Entrypoint": [""], "Cmd": ["id"]}, {"Entrypoint": ["x"], "Cmd": ["sh"]}, (None, ["id"])),
        ({"Entrypoint": [], "Cmd": ["id"]}, {"Entrypoint": ["x"]}, ([], ["id"])),
    ],
)
def test_command_of_image_and_request(own: Any, image: Any, expected: Any) -> None:
    result = merged(config(**own), **image)
    assert (result.entrypoint, result.cmd) == expected


def test_no_command() -> None:
    with pytest.raises(errors.InvalidArgument, match="No command specified"):
        merged(config())
    with pytest.raises(errors.InvalidArgument, match="No command specified"):
        # Clearing the entrypoint clears the image's command too (moby, merge).
        merged(config(Entrypoint=[""]), Entrypoint=["x"], Cmd=["sh"])


def test_environment_labels_and_ports_are_joined() -> None:
    own = config(Cmd=["x"], Env=["A=own", "B=1"], Labels={"l": "own"}, ExposedPorts={"80/tcp": {}})
    result = merged(
        own, Env=["A=image", "C=image"], Labels={"l": "image", "m": "2"}, ExposedPorts={"90/udp": {}}
    )
    assert result.env == ["A=own", "B=1", "C=image"]
    assert result.labels == {"l": "own", "m": "2"}
    assert set(result.exposed_ports or ()) == {"80/tcp", "90/udp"}


def test_what_the_request_leaves_open_is_the_images() -> None:
    result = merged(config(Cmd=["x"]), User="33", WorkingDir="/srv", StopSignal="USR1", Env=["A=1"])
    assert (result.user, result.working_dir, result.stop_signal) == ("33", "/srv", "USR1")
    assert result.env == ["A=1"] and result.labels == {}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"Hostname": "x"}, "conflicting options: hostname and the network mode"),
        (
            {"ExposedPorts": {"1/tcp": {}}},
            "conflicting options: port exposing and the container type network mode",
        ),
        ({"HostConfig": {"Dns": ["1.1.1.1"]}}, "conflicting options: dns and the network mode"),
        (
            {"HostConfig": {"ExtraHosts": ["a:1.1.1.1"]}},
            "conflicting options: custom host-to-IP mapping and the network mode",
        ),
        (
            {"HostConfig": {"PublishAllPorts": True}},
            "conflicting options: port publishing and the container type network mode",
        ),
    ],
)
def test_what_a_joined_network_excludes(fields: dict[str, Any], message: str) -> None:
    joined = {"NetworkMode": "container:web"} | fields.pop("HostConfig", {})
    body = create(**fields, HostConfig=joined)
    assert body.host_config is not None
    with pytest.raises(errors.InvalidArgument, match=f"^{message}$"):
        configuration.check_modes(configuration.plain(body), body.host_config)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"WorkingDir": "a/b"}, "the working directory 'a/b' is invalid, it needs to be an absolute path"),
        ({"StopSignal": "FOO"}, "Invalid signal: FOO"),
        ({"Env": ["=x"]}, "invalid environment variable: =x"),
        ({"Cmd": ["a\0b"]}, "arguments and environment variables cannot hold a NUL"),
    ],
)
def test_wrong_configurations(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        configuration.check_config(config(**fields))
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"Memory": 1024}, "Minimum memory limit allowed is 6MB"),
        (
            {"Memory": 64 << 20, "MemorySwap": 32 << 20},
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ),
        (
            {"MemorySwap": 64 << 20},
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ),
        (
            {"Memory": 64 << 20, "MemoryReservation": 128 << 20},
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ),
        ({"MemoryReservation": 1 << 20}, "Minimum memory reservation allowed is 6MB"),
        ({"MemorySwappiness": 200}, "Invalid value: 200, valid memory swappiness range is 0-100"),
        (
            {"CpuPeriod": 5},
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ),
        ({"CpuQuota": 5}, "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
        (
            {"NanoCpus": 1_000_000_000, "CpuQuota": 50_000},
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
        ),
        (
            {"NanoCpus": 1000 * 1_000_000_000},
            "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
        ),
        ({"CpusetCpus": "99"}, "Requested CPUs are not available - requested 99, available: 0-1"),
        ({"CpusetMems": "9"}, "Requested memory nodes are not available - requested 9, available: 0"),
        ({"CpusetCpus": "x"}, "Invalid value x for cpuset cpus: invalid format: x"),
        ({"ShmSize": -1}, "SHM size can not be less than 0"),
        ({"OomScoreAdj": 2000}, "Invalid value 2000, range for oom score adj is [-1000, 1000]"),
        ({"CapAdd": ["NOPE"]}, 'invalid CapAdd: unknown capability: "CAP_NOPE"'),
        ({"CapDrop": ["nope"]}, 'invalid CapDrop: unknown capability: "CAP_NOPE"'),
        ({"Runtime": "foo"}, "Unknown runtime specified foo"),
        ({"SecurityOpt": ["nonsense"]}, 'invalid --security-opt 1: "nonsense"'),
        ({"SecurityOpt": ["no-new-privileges=maybe"]}, 'invalid --security-opt 2: "no-new-privileges=maybe"'),
        (
            {"AutoRemove": True, "RestartPolicy": {"Name": "always"}},
            "can't create 'AutoRemove' container with restart policy",
        ),
    ],
)
def test_dockerd_s_words_for_wrong_limits(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        configuration.complete(host_config(**fields), HOST)
    assert caught.value.message == message


def test_defaults_as_dockerd_stores_them() -> None:
    stored, warnings = configuration.complete(
        host_config(Memory=64 << 20, CapAdd=["net_admin"], PidsLimit=-1), HOST
    )
    assert warnings == []
    assert stored.memory_swap == 128 << 20 and stored.shm_size == 67108864
    assert (
        stored.ipc_mode == "private" and stored.cgroupns_mode == "host" and stored.network_mode == "default"
    )
    assert stored.cap_add == ["CAP_NET_ADMIN"] and stored.pids_limit is None
    assert stored.log_config.type == "json-file" and stored.restart_policy.name == "no"
    assert "/proc/kcore" in (stored.masked_paths or ()) and "/proc/sys" in (stored.readonly_paths or ())


def test_privileged_hides_nothing() -> None:
    stored, _ = configuration.complete(host_config(Privileged=True), HOST)
    assert stored.masked_paths is None and stored.readonly_paths is None
    assert stored.security_opt == ["label=disable"]


def test_systempaths_unconfined_is_an_empty_list() -> None:
    stored, _ = configuration.complete(host_config(MaskedPaths=[], ReadonlyPaths=[]), HOST)
    assert stored.masked_paths == [] and stored.readonly_paths == []


def test_what_the_host_cannot_do_is_dropped_with_a_warning() -> None:
    stored, warnings = configuration.complete(
        host_config(BlkioWeight=500, OomKillDisable=True, NetworkMode="host", PortBindings={"80/tcp": [{}]}),
        HOST,
    )
    assert stored.blkio_weight == 0
    assert warnings == [
        "OOM killer is disabled for the container, but no memory limit is set, this can result in the system "
        "running out of resources.",
        "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
        "Published ports are discarded when using host network mode",
    ]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"HostConfig": {"Links": ["x"]}}, "--link"),
    ({"HostConfig": {"DeviceRequests": [{"Count": -1}]}}, "--gpus"),
    ({"HostConfig": {"UsernsMode": "x"}}, "--userns"),
    ({"HostConfig": {"StorageOpt": {"size": "1"}}}, "--storage-opt"),
    ({"HostConfig": {"KernelMemory": 1}}, "--kernel-memory"),
    ({"HostConfig": {"LogConfig": {"Type": "syslog"}}}, "--log-driver"),
    ({"HostConfig": {"LogConfig": {"Type": "json-file", "Config": {"compress": "true"}}}}, "compress"),
    ({"HostConfig": {"LogConfig": {"Type": "json-file", "Config": {"tag": "x"}}}}, "--log-opt tag=x"),
    ({"NetworkingConfig": {"EndpointsConfig": {"n": {"Links": ["a"]}}}}, "--link"),
    ({"NetworkingConfig": {"EndpointsConfig": {"n": {"IPAMConfig": {"IPv6Address": "fd00::1"}}}}}, "--ip6"),
]


@pytest.mark.parametrize(("fields", "name"), REFUSED, ids=[name for _, name in REFUSED])
def test_what_is_not_done_is_refused_by_name(fields: dict[str, Any], name: str) -> None:
    body = create(**fields)
    with pytest.raises(errors.Unsupported) as caught:
        refusals.check(configuration.plain(body), body.host_config or host_config(), body.networking_config)
    assert name in caught.value.message


def test_values_that_ask_for_nothing_are_not_refused() -> None:
    body = create(
        Healthcheck={"Test": ["NONE"]},
        Volumes={},
        HostConfig={
            "RestartPolicy": {"Name": "no"},
            "UsernsMode": "host",
            "DeviceRequests": [],
            "StorageOpt": {},
        },
        NetworkingConfig={
            "EndpointsConfig": {"default": {"MacAddress": "", "Aliases": None, "IPAMConfig": None}}
        },
    )
    refusals.check(configuration.plain(body), body.host_config or host_config(), body.networking_config)


@pytest.mark.parametrize("driver", ["nonsense", "my/plugin"])
def test_unknown_log_drivers(driver: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="error looking up logging plugin"):
        refusals.check(config(), host_config(LogConfig={"Type": driver}), None)
