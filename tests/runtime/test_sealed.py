from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sampan
from sampan.runtime import sealed

pytestmark = pytest.mark.root

_SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(sampan.__file__)))

# Seals itself unless told not to.
_SEAL = f"""
import os, sys
sys.path.insert(0, {_SOURCE!r})
from sampan.runtime import sealed
if sys.argv[1] == "sealed":
    sealed.seal(["-c", sys.orig_argv[4], "sealed"])
"""
_WAIT = """
print(sealed.is_sealed(), flush=True)
sys.stdin.read()
"""
# What a container does to runc: have it execute itself again, by the link.
_EXECUTE_LINK = """
if os.fork() == 0:
    say = "import os; print(os.statvfs('/proc/self/exe').f_flag & os.ST_RDONLY)"
    os.execv("/proc/self/exe", [sys.executable, "-I", "-S", "-c", say])
os.wait()
"""


@pytest.fixture
def interpreter(tmp_path: Path) -> Path:
    """A copy of the interpreter, so that a successful attack ruins only that. Like a virtual environment."""
    program = tmp_path / "bin" / "python3"
    program.parent.mkdir()
    shutil.copy(os.path.realpath(sys.executable), program)
    home = os.path.dirname(os.path.realpath(sys.executable))
    (tmp_path / "pyvenv.cfg").write_text(f"home = {home}\n")
    return program


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _open_for_writing(path: str) -> int:
    """0, or the error's number; a successful attacker also writes."""
    try:
        fd = os.open(path, os.O_WRONLY)
    except OSError as error:
        assert error.errno is not None
        return error.errno
    os.write(fd, b"#!evil")
    os.close(fd)
    return 0


@pytest.mark.parametrize("mode", ["sealed", "open"])
def test_the_interpreter_cannot_be_written_to(interpreter: Path, mode: str) -> None:
    """CVE-2019-5736: hold /proc/PID/exe, wait for the end of the process, open it again for writing."""
    before = _hash(interpreter)
    command = [str(interpreter), "-I", "-S", "-c", _SEAL + _WAIT, mode]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdin is not None and victim.stdout is not None
        assert victim.stdout.readline() == f"{mode == 'sealed'}\n"
        held = os.open(f"/proc/{victim.pid}/exe", os.O_RDONLY)
        assert os.fstat(held).st_ino == interpreter.stat().st_ino
        assert _open_for_writing(f"/proc/{victim.pid}/exe") in (errno.ETXTBSY, errno.EROFS)
        victim.stdin.close()
        assert victim.wait() == 0
    try:
        found = _open_for_writing(f"/proc/self/fd/{held}")
    finally:
        os.close(held)
    # Without the seal the attack works: else this test would prove nothing.
    assert (found, _hash(interpreter) == before) == ((errno.EROFS, True) if mode == "sealed" else (0, False))


@pytest.mark.parametrize(("mode", "read_only"), [("sealed", "1\n"), ("open", "0\n")])
def test_what_is_executed_by_the_link_is_sealed_too(interpreter: Path, mode: str, read_only: str) -> None:
    command = [str(interpreter), "-I", "-S", "-c", _SEAL + _EXECUTE_LINK, mode]
    assert subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout == read_only


def test_a_sealed_interpreter_finds_its_library() -> None:
    """That of this environment: sys.prefix comes from argv[0], and the modules are there."""
    script = f"""
import sys
sys.path.insert(0, {_SOURCE!r})
from sampan.runtime import sealed
if not sealed.is_sealed():
    sealed.exec_sealed([sys.executable, "-I", "-c", sys.orig_argv[3]], {{"NAME": "value"}})
import os, json, pytest
print(json.dumps([sys.prefix, sys.executable, os.environ["NAME"]]))
"""
    result = subprocess.run(
        [sys.executable, "-I", "-c", script], stdout=subprocess.PIPE, text=True, check=True
    )
    assert result.stdout == f'["{sys.prefix}", "{sys.executable}", "value"]\n'


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_a_program_finds_libraries_beside_itself(tmp_path: Path) -> None:
    for folder in ("bin", "lib"):
        (tmp_path / folder).mkdir()
    library, program = tmp_path / "lib" / "libanswer.so", tmp_path / "bin" / "program"
    compile_ = ["cc", "-x", "c", "-", "-o"]
    subprocess.run([*compile_, library, "-shared"], input=b"int answer(void) { return 42; }", check=True)
    subprocess.run(
        [*compile_, program, "-Wl,-rpath,$ORIGIN/../lib", f"-L{tmp_path}/lib", "-lanswer"],
        input=b"int answer(void); int main(void) { return answer(); }",
        check=True,
    )
    pid = os.fork()
    if pid == 0:
        try:
            sealed.exec_sealed([str(program)], {})
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42


def test_this_process_is_not_sealed() -> None:
    assert not sealed.is_sealed()
