"""The pipes of a process without a terminal.

Owns making them and which end is whose. Our ends have the names that `handover` uses.
"""

from __future__ import annotations

import os

from sampan.runtime.launch import Stdio


class Pipes:
    """stdin is /dev/null unless `stdin_open`; with `discard` stdout and stderr are, too."""

    def __init__(self, *, stdin_open: bool, discard: bool) -> None:
        self.ours: dict[str, int] = {}
        stdin = self._open("stdin", 1) if stdin_open else _open_null()
        if discard:
            self.theirs = Stdio(stdin, _open_null(), _open_null())
        else:
            self.theirs = Stdio(stdin, self._open("stdout", 0), self._open("stderr", 0))

    def close_theirs(self) -> None:
        """The process has its own by now, or never will."""
        for fd in (self.theirs.stdin, self.theirs.stdout, self.theirs.stderr):
            os.close(fd)

    def _open(self, name: str, our_end: int) -> int:
        ends = os.pipe2(os.O_CLOEXEC)
        self.ours[name] = ends[our_end]
        return ends[1 - our_end]


def _open_null() -> int:
    return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
