"""One process of the container, its init or an exec, from its launch until exit code and output are final.

Owns the pidfd and the streams. Knows nothing of the runtime. The shim is the parent of all of them
and reaps each by its pidfd, so there is no SIGCHLD handler and no race with pids that are used again.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from sampan.linux import signals as signal
from sampan.shim.loop import IN, Loop, Timer
from sampan.shim.streams import Streams

# A process that has ended may have left others that hold its output open. dockerd waits as long for them.
DRAIN_SECONDS = 2.0


class Process:
    """A running process. `on_death` is called once it is reaped."""

    def __init__(
        self, loop: Loop, pid: int, pidfd: int, streams: Streams, on_death: Callable[[], None] | None = None
    ) -> None:
        self.pid = pid
        self.streams = streams
        self.exit_code: int | None = None
        self._loop = loop
        self._pidfd = pidfd
        self._on_death = on_death
        self._patience: Timer | None = None
        loop.register(self._pidfd, IN, self._ready)

    @property
    def finished(self) -> bool:
        """Whether it is dead and its output complete."""
        return self.exit_code is not None and self._patience is None

    def kill(self, number: int) -> None:
        """Send a signal. Raises ProcessLookupError when it has ended."""
        if self.exit_code is not None:
            raise ProcessLookupError(f"process {self.pid} has ended")
        signal.pidfd_send_signal(self._pidfd, number)

    def close(self) -> None:
        """Forget the process, dead or alive."""
        if self.exit_code is None:
            self._loop.unregister(self._pidfd)
            os.close(self._pidfd)

    def settle(self) -> None:
        """Stop waiting for output that is complete."""
        if self._patience is not None and self.streams.ended:
            self._stop_waiting()

    def _ready(self, _events: int) -> None:
        result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        if result is None:
            return
        self.close()
        exited = result.si_code == os.CLD_EXITED
        self.exit_code = result.si_status if exited else 128 + result.si_status
        self._patience = self._loop.call_after(DRAIN_SECONDS, self._stop_waiting)
        if self._on_death is not None:
            self._on_death()
        self.streams.drain()
        self.settle()

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
            self.streams.finish()
