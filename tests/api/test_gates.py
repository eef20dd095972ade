"""Documents by version: fields come and go where Docker's version history says so."""

from __future__ import annotations

import pytest

from sampan.api import gates
from sampan.api.versions import Version
from sampan.engine.schema import BindOptions, ContainerCreate, HealthConfig, HostConfig, Mount

INSPECT: gates.Document = {
    "Id": "1",
    "ImageManifestDescriptor": {},
    "NetworkSettings": {"SandboxID": "s", "IPAddress": "172.17.0.2", "Ports": {}, "Networks": {"bridge": {}}},
}
USAGE: gates.Document = {
    "LayersSize": 100,
    "Images": [
        {"Id": "a", "Size": 70, "SharedSize": 10, "Containers": 1},
        {"Id": "b", "Size": 40, "SharedSize": 10, "Containers": 0},
    ],
    "Containers": [{"State": "running", "SizeRw": 5}, {"State": "exited"}, {"State": "created", "SizeRw": 3}],
    "Volumes": [],
    "BuildCache": [],
}
ALL = ("image", "container", "volume", "build-cache")


@pytest.mark.parametrize(
    ("version", "descriptor", "address"),
    [((1, 47), False, True), ((1, 48), True, True), ((1, 51), True, True), ((1, 52), True, False)],
)
def test_container(version: Version, descriptor: bool, address: bool) -> None:
    shown = gates.container(INSPECT, version)
    settings = shown["NetworkSettings"]
    assert isinstance(settings, dict)
    assert ("ImageManifestDescriptor" in shown, "IPAddress" in settings) == (descriptor, address)
    assert {"SandboxID", "Ports", "Networks"} <= settings.keys()
    assert "IPAddress" in INSPECT["NetworkSettings"]  # type: ignore[operator]


def test_container_list() -> None:
    newest: gates.Document = {"Health": {}, "HostConfig": {"NetworkMode": "bridge", "Annotations": {}}}
    assert gates.container_list([newest], (1, 52)) == [newest]
    assert gates.container_list([newest], (1, 51)) == [
        {"HostConfig": {"NetworkMode": "bridge", "Annotations": {}}}
    ]
    assert gates.container_list([newest], (1, 45))[0]["HostConfig"] == {"NetworkMode": "bridge"}


@pytest.mark.parametrize(
    ("version", "shown"),
    [((1, 43), {"Links"}), ((1, 44), {"Links", "DNSNames"}), ((1, 48), {"Links", "DNSNames", "GwPriority"})],
)
def test_endpoints(version: Version, shown: set[str]) -> None:
    endpoint = {"Links": None, "DNSNames": None, "GwPriority": 0}
    document: gates.Document = {"NetworkSettings": {"Networks": {"bridge": endpoint}}}
    for gated in (gates.container(document, version), *gates.container_list([document], version)):
        settings = gated["NetworkSettings"]
        assert isinstance(settings, dict)
        assert settings["Networks"]["bridge"].keys() == shown


def test_image() -> None:
    document: gates.Document = {"Size": 5, "VirtualSize": 5, "Container": "", "Config": {"Cmd": ["sh"]}}
    assert gates.image(document, (1, 50)) == {"Size": 5, "Config": {"Cmd": ["sh"]}}
    old = gates.image(document, (1, 43))
    assert old["VirtualSize"] == 5 and old["Container"] == ""
    assert isinstance(old["Config"], dict)
    assert (old["Config"]["Cmd"], old["Config"]["Hostname"]) == (["sh"], "")


def test_image_list() -> None:
    assert gates.image_list([{"Size": 5, "Containers": 2}], (1, 51)) == [{"Size": 5, "Containers": 2}]
    assert gates.image_list([{"Size": 5, "Containers": 2}], (1, 43)) == [
        {"Size": 5, "Containers": -1, "VirtualSize": 5}
    ]


def test_events_lose_their_old_words() -> None:
    document: gates.Document = {"status": "start", "id": "1", "from": "x", "Action": "start"}
    assert gates.event(document, (1, 51)) == document
    assert gates.event(document, (1, 52)) == {"Action": "start"}


def test_disk_usage_before_1_52() -> None:
    shown = gates.disk_usage(USAGE, (1, 51), types=ALL, verbose=False)
    assert shown == USAGE
    some = gates.disk_usage(USAGE, (1, 42), types=("container",), verbose=False)
    assert (some["LayersSize"], some["Images"], some["Containers"]) == (0, None, USAGE["Containers"])
    assert gates.disk_usage(USAGE, (1, 41), types=ALL, verbose=False)["BuilderSize"] == 0


def test_disk_usage_since_1_52() -> None:
    shown = gates.disk_usage(USAGE, (1, 52), types=ALL, verbose=False)
    nothing = {"ActiveCount": 0, "TotalCount": 0, "Reclaimable": 0, "TotalSize": 0}
    assert shown == {
        "ImageUsage": {"ActiveCount": 1, "TotalCount": 2, "Reclaimable": 30, "TotalSize": 100},
        "ContainerUsage": {"ActiveCount": 1, "TotalCount": 3, "Reclaimable": 3, "TotalSize": 8},
        "VolumeUsage": nothing,
        "BuildCacheUsage": nothing,
    }
    verbose = gates.disk_usage(USAGE, (1, 52), types=("image",), verbose=True)
    assert verbose == {"ImageUsage": shown["ImageUsage"] | {"Items": USAGE["Images"]}}  # type: ignore[operator]


BODY = ContainerCreate(
    healthcheck=HealthConfig(start_interval=5),
    host_config=HostConfig(
        annotations={"a": "b"},
        console_size=[1, 2],
        mounts=[
            Mount(
                bind_options=BindOptions(
                    non_recursive=True, create_mountpoint=True, read_only_force_recursive=True
                )
            )
        ],
    ),
)


def test_newer_wishes_of_older_clients_are_dropped() -> None:
    assert gates.container_create(BODY, (1, 44)) == BODY
    old = gates.container_create(BODY, (1, 39))
    assert old.healthcheck == HealthConfig()
    assert old.host_config == HostConfig(ipc_mode="shareable", mounts=[Mount(bind_options=BindOptions())])
    assert gates.container_create(ContainerCreate(image="x"), (1, 24)) == ContainerCreate(image="x")
