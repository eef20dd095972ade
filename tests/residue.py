"""What an engine may leave behind in the kernel and on disk, counted: compared before and after by tests."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.engines import EngineProcess

Residue = dict[str, list[str]]


def residue(engine: EngineProcess) -> Residue:
    """Everything of the engine's that outlives a container only by mistake."""
    return {
        "mounts": _mounts(engine.directory),
        "links": _lines(engine.in_netns("ip", "-o", "link"), lambda line: line.split(": ")[1].split("@")[0]),
        "cgroups": _cgroups(engine.cgroup_parent),
        "processes": _processes(engine),
        "ports": _elements(engine),
        "exec-root": _entries(engine.exec_root / "containers"),
        "containers": _entries(engine.data_root / "containers"),
        "layers": _layers(engine.data_root),
    }


def settled_residue(engine: EngineProcess) -> Residue:
    """The residue of an engine at rest: what goes after an answer (links do) is gone."""
    before = residue(engine)
    while True:
        time.sleep(0.5)
        now = residue(engine)
        if now == before:
            return now
        before = now


def assert_same_residue(engine: EngineProcess, before: Residue, seconds: float = 15) -> None:
    """What is freed after the answer (links die with their namespace) gets `seconds` to go."""
    deadline = time.monotonic() + seconds
    while (now := residue(engine)) != before and time.monotonic() < deadline:
        time.sleep(0.1)
    for kind, things in before.items():
        assert now[kind] == things, f"{kind}: {now[kind]} instead of {things}"


def _mounts(directory: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return sorted(line.split()[4] for line in lines if str(directory) in line)


def _lines(command: list[str], pick: Callable[[str], str]) -> list[str]:
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sorted(pick(line) for line in output.splitlines())


def _cgroups(parent: str) -> list[str]:
    """Of each hierarchy of cgroup v1, or of the only one of v2."""
    top = Path("/sys/fs/cgroup")
    return sorted(
        str(path) for pattern in (parent, f"*/{parent}") for path in top.glob(f"{pattern}/*") if path.is_dir()
    )


def _processes(engine: EngineProcess) -> list[str]:
    """The names of the engine's processes; how many there are matters, their ids do not."""
    namespace, found = os.stat(engine.netns).st_ino, []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{pid}/ns/net").st_ino == namespace:
                found.append(Path(f"/proc/{pid}/comm").read_text().strip())
        except OSError:
            continue
    return sorted(found)


def _elements(engine: EngineProcess) -> list[str]:
    """Published ports: the elements of the NAT maps of our own table."""
    rules = subprocess.run(
        engine.in_netns("nft", "list", "ruleset"), capture_output=True, text=True, check=True
    ).stdout
    return sorted(line.strip() for line in rules.splitlines() if "elements" in line)


def _entries(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def _layers(data_root: Path) -> list[str]:
    """Folders two levels below `layers`: the driver's layers, writable layers and work in progress."""
    return sorted(str(path.relative_to(data_root)) for path in data_root.glob("layers/*/*/*"))
