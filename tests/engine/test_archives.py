"""Files of containers: archives in and out, changes, export, commit; and what a hostile container tries."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors
import pytest

from tests.busybox import busybox_rootfs_tar
from tests.engines import EngineProcess, sampan_engine

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("archives")]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    engine = sampan_engine(tmp_path_factory.mktemp("archives") / "engine")
    try:
        engine.launch()
        tar = engine.directory / "rootfs.tar"
        tar.write_bytes(busybox_rootfs_tar())
        assert engine.docker("import", "-c", 'CMD ["sleep", "1000"]', str(tar), "busybox").returncode == 0
        yield engine
    finally:
        engine.close()


@pytest.fixture
def box(engine: EngineProcess) -> Iterator[EngineProcess]:
    """An engine with a running container "box"."""
    assert engine.docker("run", "-d", "--name", "box", "busybox").returncode == 0
    yield engine
    assert engine.docker("rm", "-f", "box").returncode == 0


def run(engine: EngineProcess, script: str) -> None:
    done = engine.docker("exec", "box", "sh", "-c", script)
    assert done.returncode == 0, done.stderr


def archive(*members: tuple[str, bytes, str | bytes], mode: int = 0o644) -> bytes:
    """Members as (name, type, link target or content)."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, mode
            if isinstance(content, bytes):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                info.linkname = content
                tar.addfile(info)
    return data.getvalue()


def put(engine: EngineProcess, path: str, data: bytes, container: str = "box") -> str:
    """`docker cp - box:PATH`; returns the error, or nothing."""
    source = engine.directory / "put.tar"
    source.write_bytes(data)
    with source.open("rb") as file:
        done = engine.docker("cp", "-", f"{container}:{path}", stdin=file)
    return done.stderr.strip() if done.returncode else ""


def names(engine: EngineProcess, source: str, cli: str = "docker") -> list[str]:
    """The members of `docker cp SOURCE -`."""
    done = getattr(engine, cli)("cp", source, "-", text=False)
    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        return [member.name for member in tar]


@pytest.mark.parametrize("state", ["running", "stopped"])
@pytest.mark.parametrize("cli", ["docker", "sampan"])
def test_in_and_out(box: EngineProcess, tmp_path: Path, cli: str, state: str) -> None:
    run(box, "mkdir -p /d/e; echo one > /d/f; ln -s f /d/l; ln /d/f /d/h; mkfifo /d/p; chown 7:8 /d/e")
    if state == "stopped":
        assert box.docker("kill", "box").returncode == 0

    def copy(*arguments: str) -> None:
        done = getattr(box, cli)("cp", *arguments)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr

    assert names(box, "box:/d", cli) == ["d", "d/e", "d/f", "d/h", "d/l", "d/p"]
    assert names(box, "box:/d/.", cli) == [".", "./e", "./f", "./h", "./l", "./p"]
    assert names(box, "box:d/f", cli) == ["f"]
    copy("box:/d/f", f"{tmp_path}/new")
    assert (tmp_path / "new").read_text() == "one\n"
    copy("-L", "box:/d/l", f"{tmp_path}/followed")
    assert (tmp_path / "followed").read_text() == "one\n"
    copy("box:/d", f"{tmp_path}/out")
    assert sorted(os.listdir(tmp_path / "out")) == ["e", "f", "h", "l", "p"]
    assert (tmp_path / "out/f").samefile(tmp_path / "out/h") and os.readlink(tmp_path / "out/l") == "f"
    copy("box:/d/.", f"{tmp_path}/out/e")
    copy("box:/d/e", f"{tmp_path}/out")
    assert sorted(os.listdir(tmp_path / "out/e")) == ["e", "f", "h", "l", "p"]
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/file").write_text("two\n")
    os.chmod(tmp_path / "tree/sub/file", 0o4711)
    (tmp_path / "tree/link").symlink_to("sub/file")
    copy(f"{tmp_path}/tree", "box:/copied")
    copy(f"{tmp_path}/tree/.", "box:/d")
    copy("-L", f"{tmp_path}/tree/link", "box:/real")
    assert names(box, "box:/copied", cli) == ["copied", "copied/link", "copied/sub", "copied/sub/file"]
    assert "d/sub/file" in names(box, "box:/d", cli)
    if state == "stopped":
        assert box.docker("start", "box").returncode == 0
    run(box, "test -u /copied/sub/file && grep two /d/sub/file && test $(stat -c %u:%g /d/e) = 7:8")
    run(box, "test -f /real && test ! -L /real && test -L /d/link")


@pytest.mark.parametrize(
    "arguments",
    [
        ("a", "b"),
        ("box:/a", "box:/b"),
        ("box:/nope", "OUT"),
        ("box:/d/f", "OUT/nodir/x"),
        ("box:/d/f", "OUT/new/"),
        ("box:/d", "OUT/file"),
        ("/nope", "box:/d"),
        ("OUT/file", "box:/d/f/"),
        ("OUT/file", "box:/no/such"),
        ("OUT/file", "box:/new/"),
        ("OUT", "box:/d/f"),
        ("-", "box:/d/f"),
        ("OUT/file/", "box:/d"),
        ("box:/d/f", "nobody:"),
        ("OUT/file", "nobody:/x"),
        ("nobody:/x", "OUT"),
        ("", "box:/x"),
        ("box:/d/f/", "OUT"),
    ],
)
def test_both_clients_refuse_alike(box: EngineProcess, tmp_path: Path, arguments: tuple[str, str]) -> None:
    run(box, "mkdir /d; echo > /d/f; mkfifo /d/fifo")
    (tmp_path / "file").write_text("")
    words = [word.replace("OUT", str(tmp_path)) for word in arguments]
    own, other = (one("cp", *words, stdin=subprocess.DEVNULL) for one in (box.sampan, box.docker))
    assert own.returncode == other.returncode == 1
    # Go's client tells of its own broken pipe first.
    told = other.stderr.replace("//", "/").splitlines()
    told = [line for line in told if line and not line.startswith("time=")]
    assert own.stderr.splitlines() == [line for line in told if "--help" not in line]


def test_what_is_mounted_is_seen(engine: EngineProcess, tmp_path: Path) -> None:
    """Volumes, binds and the engine's own files, whether the container runs or not."""
    (tmp_path / "bound").mkdir()
    (tmp_path / "bound/file").write_text("bound\n")
    options = ["-v", "seen:/v", "-v", f"{tmp_path}/bound:/v/deeper:ro", "--tmpfs", "/t", "--hostname", "here"]
    assert engine.docker("create", "--name", "box", *options, "busybox").returncode == 0
    try:
        assert put(engine, "/v", archive(("new", tarfile.REGTYPE, b"1"))) == ""
        assert put(engine, "/v/deeper", archive(("new", tarfile.REGTYPE, b"1"))).endswith(
            "mounted volume is marked read-only"
        )
        assert names(engine, "box:/v") == ["v", "v/deeper", "v/deeper/file", "v/new"]
        assert engine.docker("start", "box").returncode == 0
        run(engine, "echo in memory > /t/x")
        assert names(engine, "box:/v") == ["v", "v/deeper", "v/deeper/file", "v/new"]
        assert names(engine, "box:/t") == ["t", "t/x"]
        assert b"here" in engine.docker("cp", "box:/etc/hostname", "-", text=False).stdout  # type: ignore[operator]
        assert put(engine, "/t", archive(("y", tarfile.REGTYPE, b"1"))) == ""
        run(engine, "test -e /t/y")
        assert engine.docker("kill", "box").returncode == 0
        assert b"here" in engine.docker("cp", "box:/etc/hostname", "-", text=False).stdout  # type: ignore[operator]
    finally:
        engine.docker("rm", "-f", "box")
        engine.docker("volume", "rm", "seen")


def test_a_read_only_root(engine: EngineProcess) -> None:
    options = ["--read-only", "-v", "/v", "--name", "box"]
    assert engine.docker("run", "-d", *options, "busybox").returncode == 0
    try:
        member = archive(("new", tarfile.REGTYPE, b"1"))
        assert put(engine, "/etc", member).endswith("container rootfs is marked read-only")
        assert put(engine, "/v", member) == ""
        run(engine, "test -e /v/new")
    finally:
        engine.docker("rm", "-f", "-v", "box")


def test_what_cannot_be(box: EngineProcess, tmp_path: Path) -> None:
    run(box, "mkdir /d /d/folder; echo > /d/file; ln -s /nowhere/x /d/broken")
    missing = "Could not find the file /nope in container box"
    assert missing in box.docker("cp", "box:/nope", str(tmp_path)).stderr
    # The docker CLI looks before it writes; docker-py does not.
    client = docker.APIClient(base_url=box.host)
    try:
        for target, status, text in (
            ("/nope", 404, missing),
            ("/d/broken", 404, "Could not find the file /d/broken in container box"),
            ("/d/file", 400, "extraction point is not a directory"),
            ("", 400, "path cannot be empty"),
        ):
            with pytest.raises(docker.errors.APIError) as refused:
                client.put_archive("box", target, archive())
            assert refused.value.status_code == status and text in refused.value.explanation
    finally:
        client.close()
    (tmp_path / "folder").write_text("")
    (tmp_path / "file").mkdir()
    clash = box.docker("cp", str(tmp_path / "folder"), "box:/d").stderr
    assert 'cannot overwrite directory "/d/folder" with non-directory' in clash
    clash = box.docker("cp", str(tmp_path / "file"), "box:/d").stderr
    assert 'cannot overwrite non-directory "/d/file" with directory' in clash
    for data in (b"garbage", archive(("x", tarfile.REGTYPE, b"1" * 2000))[:700]):
        assert "unexpected EOF" in put(box, "/d", data)
    assert "invalid tar header" in put(box, "/d", os.urandom(2048))
    run(box, "test ! -e /d/x -o -s /d/x && test -d /d/folder && test -f /d/file")


def test_archives_stay_in_the_container(box: EngineProcess) -> None:
    """Links of the archive and of the container lead where the container sees them lead (CVE-2018-15664)."""
    run(
        box,
        "mkdir -p /d/e; ln -s /etc /d/abs; ln -s ../../../../../../etc /d/rel; ln -s /proc/1/root /d/magic",
    )
    link, file, hard = tarfile.SYMTYPE, tarfile.REGTYPE, tarfile.LNKTYPE
    for target in ("abs", "rel"):
        assert put(box, "/d", archive((f"{target}/mark-{target}", file, b"1"))) == ""
        assert put(box, f"/d/{target}", archive((f"via-{target}", file, b"1"))) == ""
        run(box, f"test -s /etc/mark-{target} -a -s /etc/via-{target}")
    assert put(box, "/d", archive(("a", link, "/etc"), ("a/inside", file, b"1"))) == ""
    run(box, "test -s /etc/inside")
    for mark in ("mark-abs", "mark-rel", "via-abs", "via-rel", "inside"):
        assert not Path("/etc", mark).exists()
    assert put(box, "/d", archive(("magic/x", file, b"1"))) != ""
    assert "is outside of" in put(box, "/d", archive(("../../x", file, b"1")))
    assert "invalid hardlink" in put(box, "/d", archive(("h", hard, "../../../etc/passwd")))
    assert put(box, "/d", archive(("/absolute/x", file, b"1"))) == ""
    run(box, "test -s /d/absolute/x")


def test_devices_and_fifos_are_never_opened(box: EngineProcess) -> None:
    """Neither to read nor to write: the engine has devices that the container has not."""
    disk = os.stat(box.directory).st_dev
    run(box, f"mkdir /d; mknod /d/disk b {os.major(disk)} {os.minor(disk)}; mkfifo /d/fifo")
    done = box.docker("cp", "box:/d", "-", text=False)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:  # type: ignore[arg-type]
        kinds = {member.name: member.type for member in tar}
    assert (kinds["d/disk"], kinds["d/fifo"]) == (tarfile.BLKTYPE, tarfile.FIFOTYPE)
    files = [(name, tarfile.REGTYPE, b"1") for name in ("disk", "fifo")]
    assert put(box, "/d", archive(*files)) == ""
    run(box, "test -f /d/disk -a -f /d/fifo")


def test_a_race_of_links_does_not_lead_out(box: EngineProcess, tmp_path: Path) -> None:
    """A folder that becomes a link to / and back, as fast as the container can (CVE-2018-15664)."""
    swap = "mkdir -p /r/real/etc; cd /r; while :; do mv real x; ln -s / real; rm real; mv x real; done"
    assert box.docker("exec", "-d", "box", "sh", "-c", swap).returncode == 0
    mark = f"sampan-race-{os.getpid()}"
    for _ in range(20):
        put(box, "/r/real/etc", archive((mark, tarfile.REGTYPE, b"1")))
        out = box.docker("cp", "box:/r/real/etc/hostname", "-", text=False).stdout
        assert os.uname().nodename.encode() not in out  # type: ignore[operator]
        assert not Path("/etc", mark).exists()


def test_a_link_in_the_place_of_a_mount_does_not_lead_out(engine: EngineProcess, tmp_path: Path) -> None:
    """The mounts of a stopped container are made anew: a link in their place is the container's own."""
    outside = tmp_path / "outside"
    outside.mkdir()
    try:
        members = archive(("v", tarfile.SYMTYPE, str(outside)), ("bin", tarfile.DIRTYPE, b""))
        (tmp_path / "linked.tar").write_bytes(members)
        assert engine.docker("import", "-c", "CMD x", str(tmp_path / "linked.tar"), "linked").returncode == 0
        assert engine.docker("create", "--name", "box", "-v", "link:/v/w", "linked").returncode == 0
        assert put(engine, "/v/w", archive(("mark", tarfile.REGTYPE, b"1")), "box") == ""
        assert names(engine, "box:/v/w/.") == [".", "./mark"]
        assert list(outside.iterdir()) == []
    finally:
        engine.docker("rm", "-f", "box")
        engine.docker("volume", "rm", "link")
        engine.docker("rmi", "-f", "linked")


def test_a_start_waits_for_a_copy(engine: EngineProcess, tmp_path: Path) -> None:
    """Two mounts of one writable layer would corrupt it."""
    assert engine.docker("create", "--name", "box", "busybox").returncode == 0
    try:
        copying = subprocess.Popen(["docker", "-H", engine.host, "cp", "-", "box:/"], stdin=subprocess.PIPE)
        assert copying.stdin is not None
        data = archive(("slow", tarfile.REGTYPE, b"1" * 5000))
        copying.stdin.write(data[:3000])
        copying.stdin.flush()
        starting = threading.Thread(target=engine.docker, args=("start", "box"))
        while b"slow" not in engine.docker("diff", "box").stdout.encode():
            pass
        starting.start()
        starting.join(0.5)
        state = engine.docker("inspect", "-f", "{{.State.Status}}", "box").stdout.strip()
        copying.stdin.write(data[3000:])
        copying.stdin.close()
        assert copying.wait(20) == 0
        starting.join(20)
        assert state == "created"
        assert engine.docker("inspect", "-f", "{{.State.Status}}", "box").stdout.strip() == "running"
        run(engine, "test $(wc -c < /slow) = 5000")
    finally:
        engine.docker("rm", "-f", "box")


def test_the_containers_user_owns_what_comes(engine: EngineProcess, tmp_path: Path) -> None:
    assert engine.docker("run", "-d", "--name", "box", "-u", "12:34", "busybox").returncode == 0
    try:
        (tmp_path / "f").write_text("")
        assert engine.docker("cp", "-a", str(tmp_path / "f"), "box:/tmp/").returncode == 0
        run(engine, "test $(stat -c %u:%g /tmp/f) = 12:34")
    finally:
        engine.docker("rm", "-f", "box")


def test_changes(box: EngineProcess) -> None:
    assert box.docker("diff", "box").stdout == ""
    run(
        box,
        "rm -rf /bin/ls; mkdir -p /new/deep; echo > /new/deep/f; chmod 711 /root; touch -r /etc/passwd /t;"
        "rm -r /var; mkdir /var; touch -c -r /etc/passwd /etc/passwd",
    )
    found = box.docker("diff", "box").stdout.splitlines()
    for line in ("D /bin/ls", "C /bin", "A /new", "A /new/deep/f", "C /root", "A /t"):
        assert line in found
    assert not any("/proc" in line or "/dev" in line or "hostname" in line for line in found)
    assert [line[2:] for line in found] == sorted(
        (line[2:] for line in found), key=lambda path: path.split("/")
    )


def test_export_and_commit(box: EngineProcess, tmp_path: Path) -> None:
    run(box, "echo new > /etc/new; rm /bin/ls; mkdir /folder; chown 5:6 /folder; ln /etc/new /etc/hard")
    exported = box.docker("export", "box", text=False)
    with tarfile.open(fileobj=io.BytesIO(exported.stdout)) as tar:  # type: ignore[arg-type]
        members = {member.name: member for member in tar}
    assert "etc/new" in members and "bin/ls" not in members and "." not in members
    assert members["etc/hostname"].size == 0 and not any(name.startswith("proc/") for name in members)
    made = box.docker(
        "commit", "-a", "me", "-m", "why", "-c", "ENV a=b", "-c", "WORKDIR /folder", "box", "made:1"
    )
    assert made.returncode == 0 and made.stdout.startswith("sha256:")
    shown = json.loads(box.docker("inspect", "made:1").stdout)[0]
    assert shown["Id"] == made.stdout.strip() and shown["Author"] == "me" and shown["Comment"] == "why"
    assert len(shown["RootFS"]["Layers"]) == 2 and "a=b" in shown["Config"]["Env"]
    assert box.docker("inspect", "-f", "{{.State.Status}}", "box").stdout == "running\n"
    check = "pwd; cat /etc/new; test -e /bin/ls || echo gone; stat -c %u:%g /folder;"
    check += "test /etc/hard -ef /etc/new && echo same"
    ran = box.docker("run", "--rm", "made:1", "sh", "-c", check)
    assert "/folder\nnew\n" in ran.stdout and "gone\n5:6\nsame\n" in ran.stdout
    assert (
        box.docker("commit", "-c", "RUN x", "box")
        .stderr.strip()
        .endswith("run is not a valid change command")
    )
    assert "must be lowercase" in box.docker("commit", "box", "BAD").stderr
    assert "No such container: nobody" in box.docker("commit", "nobody").stderr
    assert box.docker("rmi", "made:1").returncode == 0


def test_nothing_is_left_behind(box: EngineProcess, tmp_path: Path) -> None:
    """Neither mounts nor descriptors, also when clients go away in the middle."""
    run(box, "dd if=/dev/zero of=/big bs=1M count=20 2>/dev/null")
    before = Path("/proc/self/mounts").read_text()
    for _ in range(3):
        client = subprocess.Popen(
            ["docker", "-H", box.host, "cp", "box:/big", "-"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert client.stdout is not None
        client.stdout.read(1000)
        client.kill()
        client.wait()
        client.stdout.close()
    assert box.docker("kill", "box").returncode == 0
    assert names(box, "box:/big") == ["big"]
    assert box.docker("start", "box").returncode == 0
    assert Path("/proc/self/mounts").read_text() == before
