"""Volumes and containers: what is kept, what goes, and what a killed daemon leaves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.busybox import busybox_rootfs_tar
from tests.engines import EngineProcess, sampan_engine

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("volumes")]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    engine = sampan_engine(tmp_path_factory.mktemp("volumes") / "engine")
    try:
        engine.launch()
        tar = engine.directory / "rootfs.tar"
        tar.write_bytes(busybox_rootfs_tar())
        assert engine.docker("import", str(tar), "busybox").returncode == 0
        assert engine.docker("import", "-c", "VOLUME /etc /data", str(tar), "declares").returncode == 0
        yield engine
    finally:
        engine.close()


def volumes(engine: EngineProcess) -> set[str]:
    return set(engine.docker("volume", "ls", "-q").stdout.split())


def test_a_volume_outlives_container_and_daemon(engine: EngineProcess) -> None:
    write = ["run", "-d", "--name", "writer", "-v", "kept:/data", "busybox", "sh", "-c"]
    assert engine.docker(*write, "echo one > /data/file; exec sleep 1000").returncode == 0
    engine.kill()
    engine.launch()
    assert engine.docker("exec", "writer", "cat", "/data/file").stdout == "one\n"
    assert engine.docker("volume", "rm", "kept").stderr.startswith(
        "Error response from daemon: remove kept: volume is in use - ["
    )
    assert engine.docker("restart", "-t", "0", "writer").returncode == 0
    assert engine.docker("rm", "-f", "-v", "writer").returncode == 0
    read = engine.docker("run", "--rm", "-v", "kept:/elsewhere:ro", "busybox", "cat", "/elsewhere/file")
    assert read.stdout == "one\n"
    assert engine.docker("volume", "rm", "kept").returncode == 0


def test_what_an_image_declares(engine: EngineProcess) -> None:
    before = volumes(engine)
    assert engine.docker("run", "-d", "--name", "box", "declares", "sleep", "1000").returncode == 0
    assert len(volumes(engine) - before) == 2
    listed = engine.docker("exec", "box", "ls", "/etc").stdout
    assert "passwd" in listed and "hosts" in listed
    lent = engine.docker("run", "--rm", "--volumes-from", "box:ro", "busybox", "touch", "/data/x")
    assert "Read-only file system" in lent.stderr
    assert len(volumes(engine) - before) == 2, "it was borrowed, not made"
    assert engine.docker("rm", "-f", "box").returncode == 0
    assert len(volumes(engine) - before) == 2, "without -v they stay"
    assert engine.docker("volume", "prune", "-f").returncode == 0
    assert volumes(engine) == before


def test_auto_remove_takes_what_has_no_name(engine: EngineProcess) -> None:
    before = volumes(engine)
    assert engine.docker("run", "--rm", "-v", "named:/n", "-v", "/x", "declares", "true").returncode == 0
    assert volumes(engine) - before == {"named"}
    assert engine.docker("volume", "rm", "named").returncode == 0


def test_a_container_that_cannot_be_made_leaves_no_volume(engine: EngineProcess) -> None:
    before = volumes(engine)
    refused = engine.docker("create", "-v", "/x", "-v", "new:/y", "-v", "not ok:/z", "busybox", "true")
    assert refused.returncode == 1 and "includes invalid characters" in refused.stderr
    assert volumes(engine) == before


def test_both_clients_and_disk_usage(engine: EngineProcess) -> None:
    assert engine.sampan("volume", "create", "--label", "a=b", "mine").stdout == "mine\n"
    for client in (engine.docker, engine.sampan):
        assert client("volume", "ls", "--filter", "label=a=b", "--format", "{{.Name}}").stdout == "mine\n"
        assert client("volume", "inspect", "-f", "{{.Driver}} {{.Labels.a}}", "mine").stdout == "local b\n"
        assert client("inspect", "--type", "volume", "-f", "{{.Name}}", "mine").stdout == "mine\n"
        assert client("volume", "inspect", "nope").returncode == 1
    engine.docker("run", "--rm", "-v", "mine:/m", "busybox", "sh", "-c", "head -c 5000 /dev/zero > /m/f")
    row = next(
        line for line in engine.docker("system", "df", "-v").stdout.split("\n") if line.startswith("mine")
    )
    assert row.split() == ["mine", "0", "5kB"]
    assert engine.sampan("volume", "rm", "mine", "nope").returncode == 1
    assert "mine" not in volumes(engine)
