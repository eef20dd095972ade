"""Health checks: the rules, and real probes in real containers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan import errors
from sampan.engine import health
from sampan.engine.record import HEALTHY, STARTING, UNHEALTHY, Health, Probe
from sampan.engine.schema import ContainerConfig, HealthConfig
from tests.busybox import busybox_rootfs_tar
from tests.engine.test_restarts import eventually, look
from tests.engines import EngineProcess, sampan_engine

pytestmark = pytest.mark.xdist_group("health")


def after(old: Health, code: int, *, retries: int = 0, in_start_period: bool = False) -> Health:
    return health.after(
        old, Probe(1, 2, code, ""), HealthConfig(retries=retries), in_start_period=in_start_period
    )


@given(st.lists(st.sampled_from([0, 1, -1, 2]), max_size=30), st.integers(1, 5))
def test_the_rules(codes: list[int], retries: int) -> None:
    now, streak = Health(), 0
    for number, code in enumerate(codes):
        now = after(now, code, retries=retries)
        streak = 0 if code == 0 else streak + 1
        assert now.failing_streak == streak
        assert (now.status == UNHEALTHY) == (streak >= retries)
        assert (now.status == STARTING) == (0 not in codes[: number + 1] and streak < retries)
        assert [probe.exit_code for probe in now.log] == codes[: number + 1][-5:]


def test_failures_in_the_start_period_do_not_count() -> None:
    now = after(after(Health(), 1, retries=1, in_start_period=True), 1, retries=1, in_start_period=True)
    assert (now.status, now.failing_streak) == (STARTING, 0)
    now = after(after(now, 0, in_start_period=True), 1, retries=2, in_start_period=True)
    assert (now.status, now.failing_streak) == (HEALTHY, 1)


def test_what_a_probe_runs() -> None:
    def command(test: list[str] | None, **more: object) -> list[str]:
        return health.command(ContainerConfig(healthcheck=HealthConfig(test=test), **more))  # type: ignore[arg-type]

    assert command(["CMD", "a", "b"]) == ["a", "b"]
    assert command(["CMD-SHELL", "a && b"]) == ["/bin/sh", "-c", "a && b"]
    assert command(["CMD-SHELL", "a"], shell=["/bin/ash", "-xc"]) == ["/bin/ash", "-xc", "a"]
    assert command(["NONE"]) == command([]) == command(None) == health.command(ContainerConfig()) == []


def test_what_is_left_open_is_the_images() -> None:
    image = HealthConfig(test=["CMD", "x"], interval=5_000_000, retries=7)
    own = HealthConfig(interval=9_000_000)
    assert health.merge(own, image) == HealthConfig(test=["CMD", "x"], interval=9_000_000, retries=7)
    assert health.merge(None, image) == image and health.merge(own, None) == own


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (HealthConfig(interval=5), "Interval in Healthcheck cannot be less than 1ms"),
        (HealthConfig(timeout=-1), "Timeout in Healthcheck cannot be less than 1ms"),
        (HealthConfig(retries=-1), "Retries in Healthcheck cannot be negative"),
    ],
)
def test_wrong_checks(config: HealthConfig, words: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=words):
        health.check(config)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    engine = sampan_engine(tmp_path_factory.mktemp("health") / "engine")
    try:
        engine.launch()
        tar = engine.directory / "rootfs.tar"
        tar.write_bytes(busybox_rootfs_tar())
        check = "HEALTHCHECK --interval=200ms --retries=2 CMD echo seen; test ! -e /bad"
        assert engine.docker("import", str(tar), "busybox").returncode == 0
        assert engine.docker("import", "-c", check, str(tar), "checked").returncode == 0
        yield engine
    finally:
        engine.close()


def status(engine: EngineProcess, name: str) -> str:
    return look(engine, name, "{{.State.Health.Status}}")


@pytest.mark.root
def test_an_images_check(engine: EngineProcess) -> None:
    with subprocess.Popen(
        ["docker", "-H", engine.host, "events", "--filter", "event=health_status", "--format", "{{.Action}}"],
        stdout=subprocess.PIPE,
        text=True,
    ) as events:
        assert engine.docker("run", "-d", "--name", "box", "checked", "sleep", "1000").returncode == 0
        assert "(health: starting)" in engine.docker("ps").stdout
        eventually(lambda: status(engine, "box") == "healthy")
        assert "(healthy)" in engine.docker("ps", "--filter", "health=healthy").stdout
        engine.docker("exec", "box", "touch", "/bad")
        eventually(lambda: status(engine, "box") == "unhealthy")
        engine.docker("exec", "box", "rm", "/bad")
        eventually(lambda: status(engine, "box") == "healthy")
        found = json.loads(look(engine, "box", "{{json .State.Health}}"))
        assert found["FailingStreak"] == 0 and len(found["Log"]) <= 5
        assert found["Log"][-1]["ExitCode"] == 0 and found["Log"][-1]["Output"] == "seen\n"
        engine.kill()
        engine.launch()
        eventually(lambda: status(engine, "box") == "healthy")
        assert engine.docker("stop", "-t", "0", "box").returncode == 0
        assert status(engine, "box") == "unhealthy"
        events.terminate()
        assert events.stdout is not None
        told = events.stdout.read().split("\n")
    assert told[:3] == ["health_status: healthy", "health_status: unhealthy", "health_status: healthy"]


@pytest.mark.root
def test_a_probe_that_does_not_end(engine: EngineProcess) -> None:
    options = ["--health-cmd", "sleep 100", "--health-interval", "100ms", "--health-timeout", "200ms"]
    engine.docker("run", "-d", "--name", "slow", *options, "busybox", "sleep", "1000")
    eventually(lambda: status(engine, "slow") == "unhealthy")
    found = json.loads(look(engine, "slow", "{{json .State.Health.Log}}"))
    assert {(probe["ExitCode"], probe["Output"]) for probe in found} == {
        (-1, "Health check exceeded timeout (200ms)")
    }
    engine.docker("pause", "slow")
    assert "sleep 100\n" not in engine.docker("top", "slow", "-o", "pid,args").stdout
    assert engine.docker("rm", "-f", "slow").returncode == 0


@pytest.mark.root
def test_no_check(engine: EngineProcess) -> None:
    engine.docker("run", "-d", "--name", "plain", "--no-healthcheck", "checked", "sleep", "1000")
    assert look(engine, "plain", "{{json .State}}").find("Health") < 0
    assert engine.docker("ps", "-q", "--filter", "health=none").stdout
    assert engine.docker("rm", "-f", "plain").returncode == 0


@pytest.mark.root
def test_a_container_that_is_to_end_when_it_is_unhealthy(engine: EngineProcess) -> None:
    options = ["--restart", "always", "--label", f"{health.RESTART_LABEL}=true"]
    script = "trap 'exit 3' TERM; while :; do sleep 0.05; done"
    check = ["--health-cmd", "false", "--health-interval", "100ms", "--health-retries", "1"]
    engine.docker("run", "-d", "--name", "ill", *options, *check, "busybox", "sh", "-c", script)
    eventually(lambda: int(look(engine, "ill", "{{.RestartCount}}")) >= 1)
    assert engine.docker("rm", "-f", "ill").returncode == 0
