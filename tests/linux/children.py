"""Doing in a forked child what must not happen to the test process, and bringing back what it saw."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest


def in_child(body: Callable[[], Any]) -> Any:
    """The result of `body`, run in a child; an exception there fails the test with the child's traceback."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        answer: tuple[bool, Any]
        try:
            answer = (True, body())
        except BaseException:
            answer = (False, traceback.format_exc())
        try:
            os.write(writer, pickle.dumps(answer))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    assert data, "the child died"
    succeeded, result = pickle.loads(data)
    if not succeeded:
        pytest.fail(result)
    return result


def end_of(body: Callable[[], object]) -> int:
    """The exit code of a child that runs `body`; negative if a signal killed it."""
    pid = os.fork()
    if pid == 0:
        try:
            body()
        except BaseException:
            traceback.print_exc()
            os._exit(255)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def status_field(name: str, pid: int | str = "self") -> str:
    """A field of /proc/PID/status."""
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith(f"{name}:"):
                return line.partition(":")[2].strip()
    raise AssertionError(f"no {name} in /proc/{pid}/status")
