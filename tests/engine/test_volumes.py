"""Volumes and containers: what is kept, what goes, and what a killed daemon leaves."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

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


def test_options_name_what_is_mounted(engine: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("outside")
    bind = ["--opt", "type=none", "--opt", f"device={tmp_path}", "--opt"]
    assert engine.docker("volume", "create", *bind, "o=bind", "outer").returncode == 0
    assert engine.sampan("volume", "create", *bind, "o=bind,ro", "sealed").returncode == 0
    read = ["busybox", "sh", "-c", "cat /m/file && touch /m/new"]
    assert engine.docker("run", "--rm", "-v", "outer:/m", *read).stdout == "outside"
    assert "Read-only file system" in engine.docker("run", "--rm", "-v", "sealed:/m", *read).stderr
    tmpfs = ["type=volume", "source=fast", "target=/m", "volume-opt=type=tmpfs", "volume-opt=device=tmpfs"]
    mount = ",".join([*tmpfs, "volume-opt=o=size=1m"])
    write = ["sh", "-c", "echo kept > /m/file; exec sleep 1000"]
    assert engine.docker("run", "-d", "--name", "one", "--mount", mount, "busybox", *write).returncode == 0
    shared = ["run", "--rm", "-v", "fast:/m", "busybox", "sh", "-c", "df -k /m | tail -1; cat /m/file"]
    engine.kill()
    engine.launch()
    assert engine.docker(*shared).stdout.split()[:2] == ["tmpfs", "1024"]
    assert engine.docker(*shared).stdout.endswith("kept\n"), "it stays while the first one runs"
    assert engine.docker("rm", "-f", "one").returncode == 0
    assert "No such file" in engine.docker(*shared).stderr, "and goes with the last one"
    options = engine.docker("volume", "inspect", "-f", "{{.Options}}", "fast").stdout
    assert options == "map[device:tmpfs o:size=1m type:tmpfs]\n"
    assert "fast" not in engine.docker("system", "df", "-v").stdout
    assert engine.docker("volume", "prune", "-a", "-f").returncode == 0
    assert {"fast", "outer", "sealed"} <= volumes(engine), "what options name is not pruned"
    assert engine.docker("volume", "rm", "fast", "outer", "sealed").returncode == 0
    assert (tmp_path / "file").read_text() == "outside"


@pytest.mark.skipif(not os.path.exists("/dev/loop-control"), reason="the kernel has no loop devices")
@pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="mkfs.ext4 (e2fsprogs) is not installed")
def test_an_image_of_a_disk_as_a_volume(engine: EngineProcess, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with open(disk, "wb") as file:
        file.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(disk)], check=True)
    create = ["volume", "create", "--opt", "type=ext4", "--opt", f"device={disk}"]
    assert engine.docker(*create, "plain").returncode == 0
    assert engine.docker(*create, "--opt", "o=loop", "disk").returncode == 0
    write = ["busybox", "sh", "-c", "echo more >> /m/file; cat /m/file"]
    assert "block device required" in engine.docker("run", "--rm", "-v", "plain:/m", *write).stderr
    assert engine.docker("run", "--rm", "-v", "disk:/m", *write).stdout == "more\n"
    assert engine.docker("run", "--rm", "-v", "disk:/m", *write).stdout == "more\nmore\n"
    assert engine.docker("volume", "rm", "plain", "disk").returncode == 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["foo=bar"], 'invalid option: "foo"'),
        (["type=tmpfs"], 'missing required option: "device"'),
        (["device=/x"], 'missing required option: "type"'),
        (["o=ro"], 'missing required option: "device"'),
        (["size=10m"], "quota size requested but no quota support"),
    ],
)
def test_options_that_docker_does_not_take(engine: EngineProcess, given: list[str], told: str) -> None:
    options = [word for option in given for word in ("--opt", option)]
    refused = engine.docker("volume", "create", *options, "wrong")
    assert refused.returncode == 1
    assert refused.stderr == f"Error response from daemon: create wrong: {told}\n"


def test_what_cannot_be_mounted(engine: EngineProcess) -> None:
    options = ["--opt", "type=none", "--opt", "device=/nowhere", "--opt", "o=bind"]
    assert engine.docker("volume", "create", *options, "lost").returncode == 0
    path = engine.docker("volume", "inspect", "-f", "{{.Mountpoint}}", "lost").stdout.strip()
    refused = engine.docker("run", "--rm", "-v", "lost:/m", "busybox", "true")
    assert refused.returncode == 127
    assert (
        f"error while mounting volume '{path}': failed to mount local volume: "
        f"mount /nowhere:{path}, flags: 0x1000: no such file or directory"
    ) in refused.stderr
    assert engine.docker("volume", "rm", "lost").returncode == 0


def test_a_part_of_a_volume(engine: EngineProcess) -> None:
    fill = "mkdir /v/a && echo one > /v/a/f && ln -s a /v/inside && ln -s / /v/outside && ln -s ../.. /v/up"
    assert engine.docker("run", "--rm", "-v", "parts:/v", "busybox", "sh", "-c", fill).returncode == 0

    def run(subpath: str, *command: str) -> subprocess.CompletedProcess[str]:
        mount = f"type=volume,source=parts,target=/m,volume-subpath={subpath}"
        return engine.docker("run", "--rm", "--mount", mount, "busybox", *command)

    try:
        assert run("a", "cat", "/m/f").stdout == "one\n"
        assert run("a/f", "cat", "/m").stdout == "one\n"
        assert run("inside", "cat", "/m/f").stdout == "one\n"
        assert run("a", "touch", "/m/new").returncode == 0
        assert "no such file or directory" in run("b", "true").stderr
        for link in ("outside", "outside/etc", "up"):
            refused = run(link, "true")
            assert refused.returncode == 125
            assert "path concatenation escapes the base directory" in refused.stderr
        for path in ("../x", "/a", "a/../../x"):
            assert "subpath must be a relative path within the volume" in run(path, "true").stderr
    finally:
        assert engine.docker("volume", "rm", "parts").returncode == 0


def test_an_image_as_a_mount(engine: EngineProcess) -> None:
    """It is read-only, and stays while a container mounts it, even when its image is removed."""
    tar = engine.directory / "rootfs.tar"
    assert engine.docker("import", str(tar), "lender").returncode == 0
    mount = ["--mount", "type=image,source=lender,target=/m"]
    try:
        run = engine.docker("run", "--name", "borrower", *mount, "busybox", "sh", "-c", "ls /m; touch /m/x")
        assert "bin" in run.stdout and "Read-only file system" in run.stderr
        shown = engine.docker("inspect", "-f", "{{json .Mounts}}", "borrower").stdout
        assert '"Type":"image"' in shown and '"Name":"lender"' in shown and '"RW":false' in shown
        part = f"{mount[1]},image-subpath=bin/busybox"
        compare = ["run", "--rm", "--mount", part, "busybox", "cmp", "/m", "/bin/busybox"]
        assert engine.docker(*compare).returncode == 0
        missing = engine.docker("run", "--rm", "--mount", f"{mount[1]},image-subpath=no", "busybox", "true")
        assert "cannot access path lender/no: lstat" in missing.stderr
        assert "using" in engine.docker("rmi", "lender").stderr
        assert engine.docker("rmi", "-f", "lender").returncode == 0
        engine.kill()
        engine.launch()
        assert "bin" in engine.docker("start", "-a", "borrower").stdout
        absent = engine.docker("create", "--mount", "type=image,source=lender,target=/m", "busybox", "true")
        assert "No such image: lender:latest" in absent.stderr
    finally:
        assert engine.docker("rm", "-f", "borrower").returncode == 0
