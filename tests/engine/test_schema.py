"""Request bodies: Go's rules for null, single strings and unknown fields."""

from __future__ import annotations

import msgspec
import pytest

from sampan.engine.schema import ContainerCreate, ExecCreate, HostConfig, Mount
from tests.engine.bodies import create


def test_null_is_the_zero_value() -> None:
    body = create(Hostname=None, Tty=None, HostConfig={"Memory": None, "Privileged": None, "Binds": None})
    assert body.hostname == "" and body.tty is False
    assert body.host_config is not None
    assert body.host_config.memory == 0 and body.host_config.privileged is False
    assert body.host_config.binds is None


def test_null_and_empty_lists_stay_apart() -> None:
    body = create(Env=[], Cmd=None, HostConfig={"Dns": [], "CapAdd": None})
    assert body.env == [] and body.cmd is None
    assert body.host_config is not None
    assert body.host_config.dns == [] and body.host_config.cap_add is None


def test_a_string_is_a_list_of_one() -> None:
    body = create(Cmd="true", Entrypoint=["sh", "-c"], HostConfig={"CapAdd": "NET_ADMIN"})
    assert body.cmd == ["true"] and body.entrypoint == ["sh", "-c"]
    assert body.host_config is not None and body.host_config.cap_add == ["NET_ADMIN"]
    assert msgspec.json.decode(b'{"Cmd":"id"}', type=ExecCreate).cmd == ["id"]


def test_unknown_fields_are_ignored_and_wrong_ones_refused() -> None:
    assert create(Image="x", FromTheFuture={"a": 1}).image == "x"
    with pytest.raises(msgspec.ValidationError):
        create(Image=1)


def test_docker_names_with_odd_capitals() -> None:
    names = set(msgspec.to_builtins(HostConfig()))
    assert {"UTSMode", "ContainerIDFile", "BlkioDeviceReadIOps", "IOMaximumIOps", "KernelMemoryTCP"} <= names
    assert {"NanoCpus", "CpusetCpus", "DnsOptions", "OomKillDisable", "ShmSize"} <= names


def test_mounts_show_only_what_was_said() -> None:
    mount = msgspec.convert({"Type": "tmpfs", "Target": "/t"}, Mount)
    assert msgspec.to_builtins(mount) == {"Type": "tmpfs", "Target": "/t"}


def test_a_body_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        create(Image="x").image = "y"  # type: ignore[misc]


def test_the_whole_body_of_docker_run_is_read() -> None:
    """A sample of what the CLI always sends: nothing of it is refused by type."""
    body = {
        "AttachStdout": True,
        "Env": None,
        "Cmd": ["echo"],
        "Image": "busybox",
        "Volumes": {},
        "Labels": {},
        "HostConfig": {
            "LogConfig": {"Type": "", "Config": {}},
            "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
            "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
            "ConsoleSize": [0, 0],
            "MemorySwappiness": -1,
            "Ulimits": [{"Name": "nofile", "Hard": 20, "Soft": 10}],
            "Devices": [
                {"PathOnHost": "/dev/null", "PathInContainer": "/dev/null", "CgroupPermissions": "rwm"}
            ],
            "DeviceRequests": [{"Driver": "", "Count": -1, "DeviceIDs": None, "Capabilities": [["gpu"]]}],
            "Mounts": [
                {"Type": "bind", "Source": "/a", "Target": "/b", "BindOptions": {"Propagation": "rslave"}}
            ],
            "Init": True,
        },
        "NetworkingConfig": {
            "EndpointsConfig": {"default": {"IPAMConfig": None, "GwPriority": 0, "DNSNames": None}}
        },
    }
    read = create(**body)
    assert isinstance(read, ContainerCreate) and read.host_config is not None
    assert read.host_config.port_bindings == {"80/tcp": [read.host_config.port_bindings["80/tcp"][0]]}  # type: ignore[index]
    assert read.host_config.ulimits is not None and read.host_config.ulimits[0].hard == 20
