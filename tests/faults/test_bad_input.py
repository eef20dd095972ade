"""Bad input gets one clear line and the right code, and leaves nothing behind: counted before and after."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.busybox import busybox_rootfs_tar
from tests.engines import EngineProcess, sampan_engine
from tests.residue import Residue, assert_same_residue, settled_residue

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("bad-input")]

# Command line after `docker`, exit code, and what the error says.
REFUSED = [
    ("run --rm nosuch:image true", 125, "nosuch"),
    ("run --rm --nosuchflag busybox true", 125, "unknown flag: --nosuchflag"),
    ("run --rm -p 80:99999 busybox true", 125, "invalid containerPort: 99999"),
    ("run --rm -p 18888:80 busybox true", 125, "address already in use"),
    ("run --rm busybox nosuchcommand", 127, "executable file not found in $PATH"),
    ("run --rm busybox /etc/passwd", 126, "permission denied"),
    ("run --rm -u nobody-here busybox true", 125, "unable to find user nobody-here"),
    ("run --rm -m 12q busybox true", 125, "invalid suffix: 'q'"),
    ("run --rm -m 1m busybox true", 125, "Minimum memory limit allowed is 6MB"),
    ("create --name taken busybox true", 1, 'The container name "/taken" is already in use'),
    ("rm taken", 1, "cannot remove a running container"),
    ("run --rm -v /etc:relative busybox true", 125, "must be absolute"),
    ("run --rm --restart always busybox true", 125, "--restart"),
    ("exec taken nosuchcommand", 126, "executable file not found in $PATH"),
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    engine = sampan_engine(tmp_path_factory.mktemp("bad") / "engine")
    try:
        engine.launch()
        load_busybox(engine)
        _check(engine.docker("run", "-d", "--name", "taken", "busybox", "sleep", "1000"))
        _check(engine.docker("run", "--rm", "busybox", "true"))
        yield engine
    finally:
        engine.close()


@pytest.fixture
def before(engine: EngineProcess) -> Iterator[Residue]:
    """Counts what is there before the test, and makes sure that nothing else is there afterwards."""
    found = settled_residue(engine)
    yield found
    assert_same_residue(engine, found)
    assert engine.docker("inspect", "-f", "{{.State.Running}}", "taken").stdout == "true\n"


def load_busybox(engine: EngineProcess) -> None:
    archive = engine.directory / "rootfs.tar"
    archive.write_bytes(busybox_rootfs_tar())
    _check(engine.docker("import", str(archive), "busybox"))


@pytest.fixture(scope="module")
def foreign_server(engine: EngineProcess) -> Iterator[None]:
    """A process that is not ours holds port 18888 of the engine's host."""
    script = (
        "import socket,time; s=socket.create_server(('0.0.0.0',18888)); print(1,flush=True); time.sleep(1000)"
    )
    with subprocess.Popen(engine.in_netns("python3", "-c", script), stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline()
        yield
        server.kill()


def test_refused(engine: EngineProcess, foreign_server: None, before: Residue) -> None:
    for line, code, text in REFUSED:
        done = engine.docker(*line.split())
        assert done.returncode == code, f"{line}: {done}"
        assert text.lower() in (done.stdout + done.stderr).lower(), f"{line}: {done}"


def test_bodies(engine: EngineProcess, before: Residue) -> None:
    large = b'{"Image":"busybox","Cmd":["true"],"Env":["A=' + b"a" * (20 << 20) + b'"]}'
    status, answer = _post(engine, "/v1.41/containers/create?name=large", large, "application/json")
    assert status == 201, answer[-200:]
    # As with dockerd: the program cannot be executed, which the log tells.
    _check(engine.docker("start", "large"))
    assert engine.docker("wait", "large").stdout == "1\n"
    assert "argument list too long" in engine.docker("logs", "large").stderr
    _check(engine.docker("rm", "large"))
    for body, kind in ((b"no json", "application/json"), (b"{}", "text/plain")):
        status, answer = _post(engine, "/v1.41/containers/create", body, kind)
        assert status == 400, (status, answer[:200])
        assert b'"message"' in answer


def test_client_that_goes_away_while_attached(engine: EngineProcess, before: Residue) -> None:
    _check(
        engine.docker("run", "-d", "--name", "chatty", "busybox", "sh", "-c", "while :; do echo line; done")
    )
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(engine.socket))
    head = "POST /v1.41/containers/chatty/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\n"
    client.sendall(f"{head}Upgrade: tcp\r\nConnection: Upgrade\r\n\r\n".encode())
    assert client.recv(4096).startswith(b"HTTP/1.1 101")
    client.recv(100_000)
    client.close()
    time.sleep(0.2)
    assert engine.docker("exec", "chatty", "echo", "alive").stdout == "alive\n"
    _check(engine.docker("rm", "-f", "chatty"))


def test_full_disk(tmp_path: Path) -> None:
    engine = sampan_engine(tmp_path / "engine")
    engine.data_root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", engine.data_root], check=True)
    try:
        engine.launch()
        load_busybox(engine)
        _check(engine.docker("run", "--rm", "busybox", "true"))
        before = settled_residue(engine)
        large = engine.directory / "large.tar"
        subprocess.run(
            ["dd", "if=/dev/zero", f"of={engine.directory}/zeros", "bs=1M", "count=32", "status=none"],
            check=True,
        )
        subprocess.run(["tar", "-C", engine.directory, "-cf", large, "zeros"], check=True)
        done = engine.docker("import", str(large), "large")
        assert done.returncode == 1
        assert "no space left on device" in done.stderr.lower()
        assert_same_residue(engine, before)
        assert engine.docker("run", "--rm", "busybox", "echo", "fine").stdout == "fine\n"
    finally:
        engine.close()


def _post(engine: EngineProcess, path: str, body: bytes, kind: str) -> tuple[int, bytes]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(engine.socket))
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        try:
            client.sendall(f"{head}Connection: close\r\n\r\n".encode() + body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all of it was read
        answer = b""
        while part := client.recv(65536):
            answer += part
    return int(answer.split()[1]), answer


def _check(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
