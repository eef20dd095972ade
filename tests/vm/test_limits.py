"""Containers from end to end under limits: the engine is told with the command line, the kernel is asked.

Nothing here depends on the version of cgroups, unless a test says so.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sampan.runtime.cgroups import Cgroup, open_cgroups
from tests import busybox
from tests.engines import EngineProcess, sampan_engine
from tests.residue import assert_same_residue, settled_residue

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("limits")]

SECONDS = 60  # for what takes an instant, unless the processor is emulated
unified = pytest.mark.skipif(
    not Path("/sys/fs/cgroup/cgroup.controllers").exists(), reason="about cgroup v2 alone"
)


class Boat:
    """An engine with busybox as its image, and what the tests ask of it."""

    def __init__(self, engine: EngineProcess) -> None:
        self.engine = engine

    def sampan(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.engine.sampan(*words)

    def output(self, *words: str) -> str:
        """The output of a command that has to succeed."""
        done = self.sampan(*words)
        assert done.returncode == 0, done
        return done.stdout.strip()

    def start(self, *words: str) -> str:
        """The id of a new container in the background."""
        return self.output("run", "-d", *words)

    def inspect(self, container: str) -> Any:
        return json.loads(self.output("inspect", container))[0]

    def cgroup(self, container: str) -> Cgroup:
        return open_cgroups().cgroup(f"/{self.engine.cgroup_parent}/{container}")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    if not busybox.available():
        pytest.skip("busybox-static is not installed")
    engine = sampan_engine(tmp_path_factory.mktemp("limits") / "engine")
    try:
        engine.launch()
        engine.sampan("import", "-", "box", text=False, input=busybox.busybox_rootfs_tar(), check=True)
        # What is made with the first container, and stays, is there before anything is counted.
        engine.sampan("run", "--rm", "box", "true", check=True)
        yield engine
    finally:
        engine.close()


@pytest.fixture
def boat(engine: EngineProcess) -> Iterator[Boat]:
    """Each test leaves what it found, after its containers were removed by force."""
    before = settled_residue(engine)
    boat = Boat(engine)
    yield boat
    for container in boat.output("ps", "-aq").split():
        boat.output("rm", "-f", container)
    assert_same_residue(engine, before, SECONDS)


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)


def test_run_exec_logs_stop(boat: Boat) -> None:
    assert boat.output("run", "--rm", "box", "echo", "hello") == "hello"
    container = boat.start("--init", "box", "sh", "-c", "echo from the start; sleep 1000")
    eventually(lambda: boat.output("logs", container) == "from the start")
    assert boat.output("exec", container, "hostname") == container[:12]
    assert boat.sampan("exec", container, "sh", "-c", "exit 7").returncode == 7
    assert len(boat.cgroup(container).pids()) == 2
    boat.output("stop", container)
    state = boat.inspect(container)["State"]
    assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 143, False)
    assert not boat.cgroup(container).exists()


def test_memory(boat: Boat) -> None:
    container = boat.start("-m", "48m", "--memory-reservation", "24m", "box", "sleep", "1000")
    stats = boat.cgroup(container).stats()
    assert stats.memory_limit == 48 << 20
    assert 0 < (stats.memory_usage or 0) < 48 << 20
    shown = boat.output("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}", container)
    assert shown.endswith(" / 48MiB 1")
    # An exec counts as well: /dev/shm is the container's memory.
    boat.output("exec", container, "dd", "if=/dev/zero", "of=/dev/shm/x", "bs=1M", "count=20")
    assert (boat.cgroup(container).stats().memory_usage or 0) > 20 << 20


def test_out_of_memory(boat: Boat) -> None:
    container = boat.start("-m", "24m", "box", "tail", "/dev/zero")
    assert boat.output("wait", container) == "137"
    assert boat.inspect(container)["State"]["OOMKilled"] is True


def test_out_of_memory_of_a_child_is_not_the_end(boat: Boat) -> None:
    container = boat.start("-m", "24m", "box", "sh", "-c", "tail /dev/zero; echo $?; exit 3")
    assert boat.output("wait", container) == "3"
    assert boat.output("logs", container) == "137"


def test_processes(boat: Boat) -> None:
    forks = "i=0; while [ $i -lt 20 ]; do sleep 1000 & i=$((i+1)); done"
    container = boat.start("--pids-limit", "10", "box", "sh", "-c", f"sleep 1; {forks}")
    assert boat.output("wait", container) == "2"
    assert "can't fork" in boat.sampan("logs", container).stderr
    assert not boat.cgroup(container).exists()


def test_processor(boat: Boat) -> None:
    script = "while :; do :; done"
    container = boat.start("--cpus", "0.1", "--cpu-shares", "512", "box", "sh", "-c", script)
    eventually(lambda: boat.cgroup(container).stats().cpu_throttled_periods > 3)
    before, began = boat.cgroup(container).stats().cpu_total or 0, time.monotonic()
    time.sleep(1)
    used = (boat.cgroup(container).stats().cpu_total or 0) - before
    assert used / (time.monotonic() - began) / 1e9 < 0.3


def test_update(boat: Boat) -> None:
    container = boat.start("-m", "48m", "box", "sleep", "1000")
    limits = ("-m", "64m", "--memory-swap", "-1", "--pids-limit", "9", "--cpus", "0.5", "--cpuset-cpus", "0")
    boat.output("update", *limits, "--restart", "on-failure:3", container)
    stats = boat.cgroup(container).stats()
    assert (stats.memory_limit, stats.pids_limit) == (64 << 20, 9)
    allowed = boat.output("exec", container, "grep", "Cpus_allowed_list", "/proc/self/status")
    assert allowed.split()[1] == "0"
    config = boat.inspect(container)["HostConfig"]
    assert (config["Memory"], config["MemorySwap"], config["PidsLimit"]) == (64 << 20, -1, 9)
    assert config["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    boat.output("update", "--pids-limit", "-1", container)
    assert boat.cgroup(container).stats().pids_limit is None
    # What holds after the next start is what was asked for last.
    boat.output("restart", "-t", "0", container)
    assert boat.cgroup(container).stats().memory_limit == 64 << 20


def test_a_refused_update_changes_nothing(boat: Boat) -> None:
    container = boat.start("--cpuset-cpus", "0", "--pids-limit", "50", "box", "sleep", "1000")
    refused = boat.sampan("update", "--pids-limit", "20", "--cpuset-mems", "63", container)
    assert refused.returncode == 1 and "memory nodes are not available" in refused.stderr
    assert boat.cgroup(container).stats().pids_limit == 50
    assert boat.inspect(container)["HostConfig"]["PidsLimit"] == 50


def test_processor_set(boat: Boat) -> None:
    found = boat.output(
        "run", "--rm", "--cpuset-cpus", "0", "box", "grep", "Cpus_allowed_list", "/proc/self/status"
    )
    assert found.split() == ["Cpus_allowed_list:", "0"]
    refused = boat.sampan("run", "--rm", "--cpuset-cpus", "4000", "box", "true")
    assert refused.returncode == 125
    assert "Requested CPUs are not available" in refused.stderr


def test_pause(boat: Boat) -> None:
    container = boat.start("box", "sh", "-c", "while :; do :; done")
    boat.output("pause", container)
    cgroup = boat.cgroup(container)
    assert cgroup.is_frozen() and boat.inspect(container)["State"]["Status"] == "paused"
    used = cgroup.stats().cpu_total
    time.sleep(0.2)
    assert cgroup.stats().cpu_total == used
    refused = boat.sampan("exec", container, "true")
    assert refused.returncode == 1 and "is paused, unpause the container before exec" in refused.stderr
    boat.output("unpause", container)
    eventually(lambda: cgroup.stats().cpu_total != used)
    boat.output("pause", container)
    boat.output("rm", "-f", container)
    assert not cgroup.exists()


FUSE = "mknod /tmp/f c 10 229 || exit 3; (: < /tmp/f) && echo read; (: > /tmp/f) && echo written; true"


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ((), ""),
        (("--device", "/dev/fuse:/dev/fuse:r"), "read"),
        (("--device", "/dev/fuse:/dev/other:rw"), "read written"),
        (("--device-cgroup-rule", "c 10:229 w"), "written"),
        (("--privileged",), "read written"),
    ],
)
def test_devices(boat: Boat, options: tuple[str, ...], allowed: str) -> None:
    """Who may make a node of any device can open those alone that the cgroup allows, in an exec too."""
    container = boat.start(*options, "box", "sleep", "1000")
    assert boat.output("exec", container, "sh", "-c", FUSE).split() == allowed.split()
    boat.output("exec", container, "sh", "-c", "head -c1 /dev/urandom > /dev/null")


@unified
def test_own_view_of_the_tree(boat: Boat) -> None:
    script = "cat /proc/self/cgroup; cat /sys/fs/cgroup/pids.max; mkdir /sys/fs/cgroup/x"
    done = boat.sampan("run", "--rm", "--pids-limit", "33", "box", "sh", "-c", script)
    assert done.stdout.split() == ["0::/", "33"]
    assert "Read-only file system" in done.stderr


@unified
def test_an_init_that_makes_cgroups_of_its_own(boat: Boat) -> None:
    """As systemd does in a container. Its own cgroup may hold no process then: an exec goes where it is."""
    script = (
        "cd /sys/fs/cgroup; mkdir init other; echo 1 > init/cgroup.procs;"
        " echo +pids > cgroup.subtree_control; echo 9 > other/pids.max; echo ready; exec sleep 1000"
    )
    container = boat.start("--privileged", "box", "sh", "-ec", script)
    eventually(lambda: boat.output("logs", container) == "ready")
    assert boat.output("exec", container, "cat", "/proc/self/cgroup") == "0::/init"
    boat.output("pause", container)
    boat.output("unpause", container)
    boat.output("rm", "-f", container)
    assert not boat.cgroup(container).exists()
