"""The pid file and the lock of the data root."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sampan import errors
from sampan.daemon import pidfile


def test_a_living_process_keeps_its_file(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with subprocess.Popen(["sleep", "60"]) as other:
        path.write_text(f"{other.pid}\n")
        with pytest.raises(errors.Conflict, match=f"process with PID {other.pid} is still running"):
            pidfile.write(str(path))
        pidfile.remove(str(path))
        assert path.exists()
        other.kill()
    pidfile.write(str(path))
    assert path.read_text() == str(os.getpid())
    pidfile.remove(str(path))
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "garbage", "-1", "99999999"])
def test_a_stale_file_is_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "pid"
    path.write_text(content)
    pidfile.write(str(path))
    assert path.read_text() == str(os.getpid())
    assert os.listdir(tmp_path) == ["pid"]


def test_the_lock_is_exclusive_and_dies_with_its_holder(tmp_path: Path) -> None:
    holder = pidfile.lock(str(tmp_path))
    with pytest.raises(errors.Conflict, match="another daemon is using"):
        pidfile.lock(str(tmp_path))
    os.close(holder)
    os.close(pidfile.lock(str(tmp_path)))
