"""What `make bench` measures, each as a function of one engine that returns milliseconds or kilobytes."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.busybox import busybox_rootfs_tar
from tests.engines import EngineProcess

MANY = 20
BURST = 5
STOPPED = 500
REMOVED = 50
LISTED = 1000
LAUNCHER = Path(__file__).resolve().parent.parent / ".venv/bin/sampan"


@dataclass(frozen=True, slots=True)
class Pair:
    sampan: EngineProcess
    dockerd: EngineProcess

    def __iter__(self) -> Iterator[EngineProcess]:
        return iter((self.sampan, self.dockerd))


@dataclass(frozen=True, slots=True)
class Measure:
    """`goal` is how many times less ours has to be; `divide` says how much rarer than the others it runs, and
    `burst` how often in a row.
    """

    title: str
    run: Callable[[EngineProcess], float]
    goal: float
    unit: str = "ms"
    divide: int = 1
    burst: int = 1
    warm: bool = True


def prepare(engine: EngineProcess) -> None:
    """The image that all measures use, and one running container for `exec` and `ps`."""
    tar = engine.directory / "rootfs.tar"
    tar.write_bytes(busybox_rootfs_tar())
    _check(engine.docker("import", "-c", 'CMD ["sh"]', str(tar), "busybox"))


def run_bridge(engine: EngineProcess) -> float:
    return _timed(["docker", "-H", engine.host, "run", "--rm", "busybox", "true"])


def run_none(engine: EngineProcess) -> float:
    return _timed(["docker", "-H", engine.host, "run", "--rm", "--network", "none", "busybox", "true"])


def exec_true(engine: EngineProcess) -> float:
    _running(engine, "bench-exec")
    return _timed(["docker", "-H", engine.host, "exec", "bench-exec", "true"])


def many_at_once(engine: EngineProcess) -> float:
    names = [f"bench-many-{number}" for number in range(MANY)]
    began = time.perf_counter()
    runs = [
        subprocess.Popen(
            ["docker", "-H", engine.host, "run", "-d", "--name", name, "busybox", "sleep", "1000"],
            stdout=subprocess.DEVNULL,
        )
        for name in names
    ]
    codes = [run.wait() for run in runs]
    took = (time.perf_counter() - began) * 1000
    assert not any(codes), codes
    _check(engine.docker("rm", "-f", *names))
    return took


def copy_in(engine: EngineProcess) -> float:
    _running(engine, "bench-copy")
    took = _timed(["docker", "-H", engine.host, "cp", str(_tree(engine)), "bench-copy:/in"])
    _check(engine.docker("exec", "bench-copy", "rm", "-r", "/in"))
    return took


def copy_out(engine: EngineProcess) -> float:
    _running(engine, "bench-copy")
    if engine.docker("exec", "bench-copy", "test", "-d", "/out").returncode != 0:
        _check(engine.docker("cp", str(_tree(engine)), "bench-copy:/out"))
    took = _timed(["docker", "-H", engine.host, "cp", "bench-copy:/out", str(engine.directory / "out")])
    shutil.rmtree(engine.directory / "out")
    return took


def _tree(engine: EngineProcess) -> Path:
    """A tree of 500 MB: some big files, and many small ones."""
    tree = engine.directory / "tree"
    if not tree.exists():
        tree.mkdir()
        for number in range(50):
            (tree / f"big-{number}").write_bytes(os.urandom(8 << 20))
        for number in range(4000):
            folder = tree / str(number % 40)
            folder.mkdir(exist_ok=True)
            (folder / str(number)).write_bytes(os.urandom(24 << 10))
    return tree


def remove_many(engine: EngineProcess) -> float:
    names = [f"bench-remove-{number}" for number in range(REMOVED)]
    for name in names:
        _running(engine, name)
    return _timed(["docker", "-H", engine.host, "rm", "-f", *names])


def list_many(engine: EngineProcess) -> float:
    """`docker ps -a` by the same command line: what the engine takes to tell of them."""
    missing = LISTED - len(engine.docker("ps", "-aq", "--filter", "name=bench-listed").stdout.split())
    for _ in range(missing):
        name = f"bench-listed-{os.urandom(6).hex()}"
        _check(engine.docker("create", "--name", name, "--network", "none", "busybox"))
    return _timed(["docker", "-H", engine.host, "ps", "-a", "--filter", "name=bench-listed"])


def memory_per_container(engine: EngineProcess) -> float:
    """PSS that ten running containers add to the processes of a fresh engine, a tenth of it."""
    before = memory_idle(engine)
    names = [f"bench-memory-{number}" for number in range(10)]
    for name in names:
        _check(engine.docker("run", "-d", "--name", name, "-p", "80", "busybox", "sleep", "1000"))
    time.sleep(2)
    added = engine_memory(engine) - before
    _check(engine.docker("rm", "-f", *names))
    return added / len(names)


def memory_idle(engine: EngineProcess) -> float:
    """PSS of a fresh engine without containers, all its processes."""
    engine.docker("rm", "-f", "bench-exec")
    engine.terminate()
    engine.launch()
    time.sleep(3)
    return engine_memory(engine)


def ps(engine: EngineProcess) -> float:
    _running(engine, "bench-exec")
    client = [str(LAUNCHER)] if engine.name == "sampan" else ["docker"]
    return _timed([*client, "-H", engine.host, "ps"])


def start_engine(engine: EngineProcess) -> float:
    """From the start of the daemon until `_ping` answers, with `STOPPED` containers at rest."""
    there = len(engine.docker("ps", "-aq").stdout.split())
    for _ in range(STOPPED - there):
        _check(engine.docker("create", "busybox", "true"))
    engine.terminate()
    began = time.perf_counter()
    engine.launch()
    return (time.perf_counter() - began) * 1000


def engine_memory(engine: EngineProcess) -> float:
    """PSS in kB of all processes in the engine's network namespace; containers have their own."""
    namespace = os.stat(engine.netns).st_ino
    total = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if int(pid) != engine.anchor and os.stat(f"/proc/{pid}/ns/net").st_ino == namespace:
                total += _pss(pid)
        except OSError:
            continue
    return float(total)


def _pss(pid: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def _running(engine: EngineProcess, name: str) -> None:
    if not engine.docker("ps", "-q", "--filter", f"name={name}").stdout:
        _check(engine.docker("run", "-d", "--name", name, "busybox", "sleep", "100000"))


def _timed(command: list[str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    took = (time.perf_counter() - began) * 1000
    assert done.returncode == 0, done.stderr
    return took


def _check(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr


ALL: dict[str, Measure] = {
    "bridge": Measure("docker run --rm IMAGE true, on the bridge", run_bridge, 5, burst=BURST),
    "none": Measure("docker run --rm --network none IMAGE true", run_none, 5, burst=BURST),
    "exec": Measure("docker exec C true", exec_true, 3, burst=BURST),
    "many": Measure(f"{MANY} containers started at once, wall time", many_at_once, 4, divide=5),
    "ps": Measure("sampan ps against docker ps, whole process", ps, 1, burst=BURST),
    "memory": Measure(
        "memory that a running container adds (PSS)", memory_per_container, 3, "kB", 15, warm=False
    ),
    "idle": Measure("memory of the idle engine (PSS)", memory_idle, 2, "kB", 15, warm=False),
    "copy-in": Measure("docker cp of 500 MB into a container", copy_in, 1, divide=5),
    "copy-out": Measure("docker cp of 500 MB out of a container", copy_out, 1, divide=5),
    "remove": Measure(f"docker rm -f of {REMOVED} running containers", remove_many, 5, divide=8, warm=False),
    "list": Measure(f"docker ps -a with {LISTED} containers", list_many, 3, burst=BURST),
    "start": Measure(f"engine start with {STOPPED} stopped containers", start_engine, 1, divide=5),
}
