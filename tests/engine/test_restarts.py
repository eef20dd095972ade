"""Restart policies, with real containers and a daemon that is killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan import errors
from sampan.engine import restarts
from sampan.engine.record import Record, Status
from sampan.engine.restarts import Backoff
from sampan.engine.schema import ContainerConfig, HostConfig, RestartPolicy
from tests.busybox import busybox_rootfs_tar
from tests.engines import EngineProcess, sampan_engine


def policy(name: str, most: int = 0, *, rm: bool = False) -> HostConfig:
    return HostConfig(restart_policy=RestartPolicy(name=name, maximum_retry_count=most), auto_remove=rm)


def decide(name: str, most: int = 0, *, code: int = 1, count: int = 0, stopped: bool = False) -> bool:
    record = Record(
        id="1", name="n", created=0, image="i", config=ContainerConfig(), host_config=policy(name, most)
    )
    return restarts.after_an_end(
        record, Status(exit_code=code, restart_count=count, manually_stopped=stopped)
    )


def test_the_rules() -> None:
    assert not decide("no") and not decide("")
    assert decide("always", code=0) and decide("always", stopped=True)
    assert decide("unless-stopped", code=0) and not decide("unless-stopped", stopped=True)
    assert decide("on-failure") and not decide("on-failure", code=0)
    assert decide("on-failure", 2, count=1) and not decide("on-failure", 2, count=2)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (policy("sometimes"), "invalid restart policy 'sometimes'"),
        (policy("always", 3), "maximum retry count cannot be used with restart policy 'always'"),
        (policy("on-failure", -1), "maximum retry count cannot be negative"),
        (policy("always", rm=True), "can't create 'AutoRemove' container with restart policy"),
    ],
)
def test_wrong_policies(config: HostConfig, words: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=words):
        restarts.check(config)


@given(st.lists(st.floats(0, 9.9), max_size=30))
def test_pauses_double_up_to_a_minute(runs: list[float]) -> None:
    backoff = Backoff()
    pauses = [backoff.next(seconds) for seconds in runs]
    assert pauses == [min(0.1 * 2**number, 60.0) for number in range(len(runs))]
    assert backoff.next(10.0) == 0.1


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    engine = sampan_engine(tmp_path_factory.mktemp("restarts") / "engine")
    try:
        engine.launch()
        tar = engine.directory / "rootfs.tar"
        tar.write_bytes(busybox_rootfs_tar())
        assert engine.docker("import", str(tar), "busybox").returncode == 0
        yield engine
    finally:
        engine.close()


def look(engine: EngineProcess, name: str, what: str) -> str:
    return engine.docker("inspect", "-f", what, name).stdout.strip()


def eventually(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)


def run(engine: EngineProcess, name: str, restart: str, script: str) -> None:
    done = engine.docker("run", "-d", "--name", name, "--restart", restart, "busybox", "sh", "-c", script)
    assert done.returncode == 0, done.stderr


pytestmark = pytest.mark.xdist_group("restarts")


@pytest.mark.root
def test_on_failure(engine: EngineProcess) -> None:
    run(engine, "fails", "on-failure:2", "echo again; exit 3")
    eventually(lambda: look(engine, "fails", "{{.State.Status}} {{.RestartCount}}") == "exited 2")
    assert look(engine, "fails", "{{.State.ExitCode}}") == "3"
    assert engine.docker("logs", "fails").stdout == "again\n" * 3
    run(engine, "works", "on-failure", "exit 0")
    assert engine.docker("wait", "works").stdout == "0\n"
    assert look(engine, "works", "{{.RestartCount}} {{.State.Restarting}}") == "0 false"


@pytest.mark.root
def test_a_stop_is_for_good(engine: EngineProcess) -> None:
    run(engine, "lives", "always", "exec sleep 1000")
    pid = look(engine, "lives", "{{.State.Pid}}")
    assert engine.docker("exec", "lives", "kill", "-9", "1").returncode in (0, 137)
    run(engine, "ends", "always", "exit 1")
    eventually(lambda: look(engine, "ends", "{{.State.Restarting}}") == "true")
    listed = engine.docker("ps", "--filter", "status=restarting", "--format", "{{.Names}} {{.Status}}").stdout
    assert "ends Restarting (1) " in listed
    assert "is restarting, wait until" in engine.docker("exec", "ends", "true").stderr
    assert engine.docker("stop", "ends").returncode == 0
    assert look(engine, "ends", "{{.State.Status}}") == "exited"
    assert engine.docker("stop", "-t", "0", "lives").returncode == 0
    time.sleep(0.3)
    assert look(engine, "lives", "{{.State.Status}} {{.RestartCount}}") == "exited 0"
    assert pid != "0"
    assert engine.docker("rm", "lives", "ends").returncode == 0


@pytest.mark.root
def test_removal_between_two_runs(engine: EngineProcess) -> None:
    run(engine, "gone", "always", "exit 1")
    eventually(lambda: int(look(engine, "gone", "{{.RestartCount}}")) >= 4)
    refused = engine.docker("rm", "gone")
    assert refused.returncode == 1 and "You cannot remove a r" in refused.stderr
    assert engine.docker("rm", "-f", "gone").returncode == 0


@pytest.mark.root
def test_after_the_death_of_the_daemon(engine: EngineProcess) -> None:
    run(engine, "loop", "always", "exit 1")
    run(engine, "kept", "unless-stopped", "exec sleep 1000")
    run(engine, "stopped", "unless-stopped", "exec sleep 1000")
    run(engine, "asked", "always", "exec sleep 1000")
    assert engine.docker("stop", "-t", "0", "stopped", "asked").returncode == 0
    eventually(lambda: int(look(engine, "loop", "{{.RestartCount}}")) >= 3)
    before = int(look(engine, "loop", "{{.RestartCount}}"))
    pid = look(engine, "kept", "{{.State.Pid}}")
    engine.kill()
    engine.launch()
    eventually(lambda: int(look(engine, "loop", "{{.RestartCount}}")) > before)
    eventually(lambda: look(engine, "asked", "{{.State.Status}}") == "running")
    assert look(engine, "kept", "{{.State.Status}} {{.State.Pid}}") == f"running {pid}"
    assert look(engine, "stopped", "{{.State.Status}}") == "exited"
    assert engine.docker("rm", "-f", "loop", "kept", "stopped", "asked").returncode == 0
