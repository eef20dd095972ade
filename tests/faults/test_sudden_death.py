"""`kill -9` of the daemon at random moments of a running workload: nothing is lost and nothing leaks."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.busybox import busybox_rootfs_tar
from tests.engines import EngineProcess, sampan_engine
from tests.residue import assert_same_residue, settled_residue

KILLS = 200
STEADY = ["steady-0", "steady-1"]
COUNTER = "i=0; while :; do i=$((i+1)); echo line $i; usleep 5000; done"
pytestmark = [pytest.mark.root, pytest.mark.slow]


@dataclass
class Workload:
    """Types commands until it is told to stop, and remembers what the engine promised by answering."""

    engine: EngineProcess
    number: int
    stopped: threading.Event = field(default_factory=threading.Event)
    there: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    exit_codes: dict[str, int] = field(default_factory=dict)

    def run(self) -> None:
        turn = 0
        while not self.stopped.is_set():
            turn += 1
            name, code = f"work-{self.number}-{turn}", random.randrange(1, 100)
            if self._docker("run", "-d", "--name", name, "-p", "80", "busybox", "sh", "-c", f"exit {code}"):
                self.there.add(name)
                self.exit_codes[name] = code
            if not self.stopped.is_set():
                self._docker("exec", random.choice(STEADY), "true")
            if self.there and random.random() < 0.5 and not self.stopped.is_set():
                victim = random.choice(sorted(self.there))
                self.there.discard(victim)
                if self._docker("rm", "-f", victim):
                    self.gone.add(victim)

    def _docker(self, *arguments: str) -> bool:
        return self.engine.docker(*arguments).returncode == 0


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    engine = sampan_engine(tmp_path / "engine")
    try:
        engine.launch()
        (tmp_path / "rootfs.tar").write_bytes(busybox_rootfs_tar())
        assert engine.docker("import", str(tmp_path / "rootfs.tar"), "busybox").returncode == 0
        yield engine
    finally:
        engine.close()


@pytest.mark.timeout(1500)
def test_nothing_is_lost_and_nothing_leaks(engine: EngineProcess) -> None:
    # The zygote is started beside the engine: after one container it is there for certain.
    assert engine.docker("run", "--rm", "busybox", "true").returncode == 0
    before = settled_residue(engine)
    for name in STEADY:
        done = engine.docker("run", "-d", "--name", name, "busybox", "sh", "-c", COUNTER)
        assert done.returncode == 0, done.stderr
    pids = _pids(engine)
    for number in range(KILLS):
        workload = Workload(engine, number)
        thread = threading.Thread(target=workload.run)
        thread.start()
        time.sleep(random.random() * 0.4)
        engine.kill()
        workload.stopped.set()
        thread.join()
        engine.launch()
        _check(engine, workload, number)
        assert _pids(engine) == pids, "a running container did not survive"
    for name in STEADY:
        _check_complete(engine, name)
    engine.docker("rm", "-f", *engine.docker("ps", "-aq").stdout.split())
    assert_same_residue(engine, before)


def _pids(engine: EngineProcess) -> str:
    return engine.docker("inspect", "-f", "{{.State.Running}} {{.State.Pid}}", *STEADY).stdout


def _check(engine: EngineProcess, workload: Workload, number: int) -> None:
    names = set(engine.docker("ps", "-a", "--format", "{{.Names}}").stdout.split())
    assert workload.there <= names, f"kill {number}: lost {workload.there - names}"
    assert not workload.gone & names, f"kill {number}: came back: {workload.gone & names}"
    for name in workload.there:
        code = int(engine.docker("wait", name).stdout)
        assert code == workload.exit_codes[name], f"kill {number}: exit code of {name}"
    if number % 10 == 0:
        for name in STEADY:
            assert engine.docker("exec", name, "echo", "alive").stdout == "alive\n"
    if left := engine.docker("ps", "-aq", "--filter", "name=work-").stdout.split():
        done = engine.docker("rm", "-f", *left)
        assert done.returncode == 0, done.stderr


def _check_complete(engine: EngineProcess, name: str) -> None:
    """Every line that the container wrote stands in its log once and in order."""
    path = engine.docker("inspect", "-f", "{{.LogPath}}", name).stdout.strip()
    assert engine.docker("stop", "-t", "0", name).returncode == 0
    files = sorted(
        Path(path).parent.glob(f"{Path(path).name}*"), key=lambda file: (len(file.name), file.name)
    )
    lines = [json.loads(line) for file in reversed(files) for line in file.read_text().splitlines()]
    numbers = [int(line["log"].split()[1]) for line in lines]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) > KILLS
