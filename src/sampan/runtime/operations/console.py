"""The container's terminal: a pair from the container's own devpts, and /dev/console on top of it."""

from __future__ import annotations

import errno
import os

from sampan.linux import files, mounts, terminals
from sampan.records import dataclass
from sampan.runtime.gotext import go_error
from sampan.runtime.operations import Context, start_failed
from sampan.runtime.operations.mounts import attach_over

# devpts(5): the multiplexer is device 5:2, the console 5:1.
_PTMX = os.makedev(5, 2)


@dataclass(frozen=True, slots=True)
class OpenConsole:
    """Open a terminal, send its master to the parent. `bind`: also make it /dev/console (not for an exec)."""

    size: tuple[int, int] | None
    bind: bool

    def describe(self) -> str:
        return "open a terminal" + (" as /dev/console" if self.bind else "")

    def execute(self, context: Context) -> None:
        try:
            master = self._open_master(context)
            try:
                terminals.unlock(master)
                # By TIOCGPTPEER and not by name: /dev/pts/N could be something else by now (CVE-2025-52565).
                context.console = terminals.peer_of(master)
                if self.size is not None:
                    terminals.set_window_size(master, *self.size)
                if self.bind:
                    self._bind(context)
                context.channel.console(master)
            finally:
                os.close(master)
        except OSError as error:
            raise start_failed(f"error opening the console: {go_error(error)}") from error

    def _open_master(self, context: Context) -> int:
        multiplexer = context.root.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
        found = os.fstat(multiplexer)
        if found.st_rdev != _PTMX or mounts.filesystem_magic(multiplexer) != mounts.DEVPTS_SUPER_MAGIC:
            os.close(multiplexer)
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY), "/dev/pts/ptmx")
        return multiplexer

    def _bind(self, context: Context) -> None:
        assert context.console is not None
        flags = mounts.OPEN_TREE_CLONE | mounts.OPEN_TREE_CLOEXEC | files.AT_EMPTY_PATH
        source = mounts.open_tree("", flags, dir_fd=context.console)
        try:
            target = context.root.make_file("/dev/console")
            try:
                attach_over(source, target)
            finally:
                os.close(target)
        finally:
            os.close(source)
