"""The import budget: what `ps`, `run` and `exec` may load. Each module of the standard library here was
measured.

The interpreter itself has `sys`, `posix`, `time`, `io`, `codecs`, `encodings` loaded; `os`, `re`, `json`,
`enum`, `typing` and all that comes with them would cost more than the program.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.fake_engine import CLI, ROOT

# Loaded by any interpreter before the first line of the program, with -I -S.
BASE = set(
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True
    ).stdout.split()
)
ALLOWED = frozenset(["__future__", "_json", "_socket", "posix", "_signal", "time"])
ATTACHING = ALLOWED | {"select", "termios"}
SAMPAN = "sampan"

PROBE = """
import sys
sys.path.insert(0, {source!r})
import posix
def leave(status):
    posix.write(2, " ".join(sys.modules).encode())
    leave_really(0)
leave_really, posix._exit = posix._exit, leave
from sampan.cli.main import main
main(sys.argv[1:])
"""


def loaded(*arguments: str) -> set[str]:
    """The modules that the program has loaded when it ends."""
    probe = PROBE.format(source=str(ROOT / "src"))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", probe, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
    )
    last = done.stderr.rstrip("\n").rpartition("\n")[2]
    return set(last.split()) - BASE


@pytest.mark.parametrize("arguments", [["ps"], ["ps", "-aq"], ["stop", "x"], ["inspect", "x"], ["images"]])
def test_plain_commands(fake_engine, arguments: list[str]) -> None:  # type: ignore[no-untyped-def]
    modules = loaded("-H", fake_engine.host, *arguments)
    assert f"{SAMPAN}.cli.commands.{arguments[0]}" in modules
    assert {name for name in modules if not name.startswith(SAMPAN)} <= ALLOWED


@pytest.mark.parametrize("arguments", [["run", "--rm", "busybox", "true"], ["exec", "c", "true"]])
def test_attaching_commands(fake_engine, arguments: list[str]) -> None:  # type: ignore[no-untyped-def]
    modules = loaded("-H", fake_engine.host, *arguments)
    assert "sampan.cli.attachment" in modules
    assert {name for name in modules if not name.startswith(SAMPAN)} <= ATTACHING


def test_ps_loads_few_of_our_own_modules(fake_engine) -> None:  # type: ignore[no-untyped-def]
    """Each costs a tenth of a millisecond."""
    modules = {name for name in loaded("-H", fake_engine.host, "ps") if name.startswith(SAMPAN)}
    assert len(modules) <= 17, sorted(modules)
    assert "sampan.wire.gotemplate" not in modules


def test_templates_stay_lean(fake_engine) -> None:  # type: ignore[no-untyped-def]
    modules = loaded("-H", fake_engine.host, "ps", "--format", "table {{.ID}}\t{{json .Names}}")
    assert "sampan.wire.gotemplate" in modules
    assert {name for name in modules if not name.startswith(SAMPAN)} <= ALLOWED


def test_the_program_runs_isolated() -> None:
    done = subprocess.run([*CLI, "--version"], capture_output=True, text=True, timeout=30)
    assert done.stdout.startswith("Sampan version ")
