"""docker-py drives the engine unchanged: its own idea of the API, at the newest version that both know."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest
from docker.errors import APIError, NotFound

from tests.busybox import busybox_rootfs_tar
from tests.engines import EngineProcess, sampan_engine

pytestmark = [pytest.mark.root, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    engine = sampan_engine(tmp_path_factory.mktemp("docker-py") / "engine")
    try:
        engine.launch()
        yield engine
    finally:
        engine.close()


@pytest.fixture(scope="module")
def client(engine: EngineProcess) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=engine.host, version="auto")
    client.api.import_image_from_data(busybox_rootfs_tar(), repository="busybox", tag="latest")
    yield client
    client.close()


def test_run(client: docker.DockerClient) -> None:
    assert client.containers.run("busybox", "echo hi", remove=True) == b"hi\n"
    assert client.containers.list(all=True) == []


def test_life(client: docker.DockerClient) -> None:
    container = client.containers.run(
        "busybox",
        ["sh", "-c", "echo out; exec sleep 1000"],
        detach=True,
        name="life",
        ports={"80/tcp": None},
        mem_limit="64m",
    )
    try:
        container.reload()
        assert container.status == "running"
        assert [port["HostIp"] for port in container.ports["80/tcp"]] == ["0.0.0.0", "::"]
        code, output = container.exec_run("id -u")
        assert (code, output) == (0, b"0\n")
        assert container.top()["Processes"][0][-1] == "sleep 1000"
        assert container.logs() == b"out\n"
        container.rename("renamed")
        container.pause()
        container.unpause()
        container.stop(timeout=0)
        assert container.wait()["StatusCode"] == 137
    finally:
        container.remove(force=True)


def test_images(client: docker.DockerClient) -> None:
    image = client.images.get("busybox")
    assert image.tags == ["busybox:latest"]
    archive = b"".join(image.save(named=True))
    assert client.images.load(archive)[0].id == image.id
    assert len(image.history()) == 1


def test_errors(client: docker.DockerClient) -> None:
    with pytest.raises(NotFound, match="No such container: nosuch"):
        client.containers.get("nosuch")
    with pytest.raises(APIError, match="executable file not found"):
        client.containers.run("busybox", "nosuch", remove=True)


def test_events(client: docker.DockerClient) -> None:
    stream = client.events(decode=True, filters={"type": "container"})
    container = client.containers.create("busybox", "true")
    container.start()
    container.wait()
    container.remove()
    seen = [next(stream)["Action"] for _ in range(4)]
    stream.close()
    assert seen == ["create", "start", "die", "destroy"]
