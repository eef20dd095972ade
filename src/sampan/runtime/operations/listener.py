"""A seccomp filter whose questions an agent answers: its listener gets to the parent, which hands it on.

From the moment the filter is loaded, any system call of this process may wait for the agent, which has
nothing to answer with before it has the listener. So this process then does but one call, write(2), which no
profile may send to an agent: to tell the descriptor's number, and to wait, by writing into a full pipe.
"""

from __future__ import annotations

import fcntl
import os

from sampan.linux import seccomp
from sampan.records import dataclass
from sampan.runtime.gotext import go_error
from sampan.runtime.operations import Context, start_failed


@dataclass(frozen=True, slots=True)
class LoadNotifyingSeccomp:
    program: bytes
    flags: int

    def describe(self) -> str:
        return (
            f"load a seccomp filter of {len(self.program) // 8} instructions, and let an agent answer for it"
        )

    def execute(self, context: Context) -> None:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        os.write(writer, bytes(fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)))
        context.channel.listening(reader)
        os.close(reader)
        try:
            # Close-on-exec by itself.
            listener = seccomp.load_filter(self.program, self.flags)
        except OSError as error:
            raise start_failed(f"unable to init seccomp: {go_error(error)}") from error
        context.channel.listener(listener)
        os.write(writer, b"\0")
