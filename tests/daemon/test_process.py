"""The daemon as a process: what it makes, who else may start, and how it ends."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engines import PYTHON, EngineProcess, ping, sampan_engine

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

SECONDS = 20


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    engine = sampan_engine(tmp_path)
    try:
        engine.launch()
        yield engine
    finally:
        engine.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def another(engine: EngineProcess, *options: str) -> subprocess.CompletedProcess[str]:
    """Start a second daemon; `options` override those of the first."""
    command = [
        PYTHON,
        "-I",
        "-m",
        "sampan.daemon",
        "--config-file",
        f"{engine.directory}/daemon.json",
        *options,
    ]
    return subprocess.run(engine.in_netns(*command), capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_leaves_no_files_when_it_ends(engine: EngineProcess, number: signal.Signals) -> None:
    assert engine.process is not None
    pidfile = engine.directory / "pid"
    assert pidfile.read_text() == str(engine.process.pid)
    assert (mode(engine.socket), mode(engine.data_root), mode(engine.exec_root)) == (0o660, 0o710, 0o700)
    engine.process.send_signal(number)
    assert engine.process.wait(SECONDS) == 0
    assert not pidfile.exists()
    assert not engine.socket.exists()
    assert 'level=info msg="Daemon shutdown complete"' in engine.log()


def test_a_reload_is_refused_and_ends_nothing(engine: EngineProcess) -> None:
    assert engine.process is not None
    engine.process.send_signal(signal.SIGHUP)
    until(lambda: "reload configuration" in engine.log())
    assert ping(engine.socket)


def test_a_second_daemon_harms_the_first_nowhere(engine: EngineProcess, tmp_path: Path) -> None:
    """The data root, the pid file and the socket each keep a second daemon out."""
    own = [f"--data-root={tmp_path}/data2", f"--exec-root={tmp_path}/exec2"]
    pidfile, socket = f"--pidfile={tmp_path}/pid", f"-H=unix://{engine.socket}"
    for options, message in (
        ([f"--data-root={engine.data_root}", f"--exec-root={tmp_path}/exec2"], "another daemon is using"),
        ([*own, pidfile], "is still running"),
        ([*own, f"--pidfile={tmp_path}/pid2", socket], "address already in use"),
    ):
        refused = another(engine, *options)
        assert refused.returncode == 1
        assert message in refused.stderr
        assert ping(engine.socket)
    assert sorted(path.name for path in tmp_path.glob("pid*")) == ["pid"]


@pytest.mark.parametrize(
    "options", [["--bip", "nonsense"], ["--bip", "1.2.3.4/16", "--data-root", "/proc/x"]]
)
def test_a_daemon_that_cannot_start_leaves_nothing(tmp_path: Path, options: list[str]) -> None:
    engine = sampan_engine(tmp_path, "-H", f"unix://{tmp_path}/second.sock", *options)
    try:
        with pytest.raises(RuntimeError, match="failed to start daemon: "):
            engine.launch()
        assert not engine.socket.exists()
        assert not (tmp_path / "second.sock").exists()
        assert not (tmp_path / "pid").exists()
    finally:
        engine.close()


def test_a_killed_daemon_does_not_keep_its_successor_out(engine: EngineProcess) -> None:
    engine.kill()
    assert engine.socket.exists()
    assert (engine.directory / "pid").exists()
    engine.launch()
    assert ping(engine.socket)


def test_it_listens_on_several_sockets(tmp_path: Path) -> None:
    engine = sampan_engine(tmp_path, "-H", f"unix://{tmp_path}/second.sock", "-H", "tcp://127.0.0.1:2375")
    try:
        engine.launch()
        assert ping(tmp_path / "second.sock")
        page = engine.in_netns("curl", "-s", "http://127.0.0.1:2375/_ping")
        assert subprocess.run(page, capture_output=True, check=False).stdout == b"OK"
        foreign = engine.in_netns("curl", "-s", "-H", "Host: evil.example", "http://127.0.0.1:2375/_ping")
        assert (
            b"does not serve the host name"
            in subprocess.run(foreign, capture_output=True, check=False).stdout
        )
    finally:
        engine.close()
