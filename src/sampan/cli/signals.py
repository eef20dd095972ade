"""Signals of our process, for a loop that waits with poll: they arrive as bytes on a pipe.

Owns handlers for as long as it is entered. `_signal` is the builtin module under `signal`, which would import
`enum`.
"""

from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Iterable
else:
    import _signal

NAMES = ("HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "TERM", "CONT", "TSTP", "TTIN", "TTOU")


def default_signals() -> None:
    """Let an interrupt and a reader that went away end the process, as in any other program."""
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)


class SignalPipe:
    """Collects signals: poll `reader`, then `take()` their numbers."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self.numbers = list(numbers)
        self.reader, self._writer = posix.pipe2(posix.O_NONBLOCK | posix.O_CLOEXEC)
        self._saved: dict[int, object] = {}

    def __enter__(self) -> SignalPipe:
        _signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in self.numbers:
            self._saved[number] = _signal.signal(number, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._saved.items():
            _signal.signal(number, handler)  # type: ignore[arg-type]
        _signal.set_wakeup_fd(-1)
        posix.close(self.reader)
        posix.close(self._writer)

    def take(self) -> bytes:
        try:
            return posix.read(self.reader, 64)
        except BlockingIOError:
            return b""


def forwarded() -> list[int]:
    """The signals that a user may mean for the container."""
    return [getattr(_signal, f"SIG{name}") for name in NAMES]


def signal_name(number: int) -> str:
    for name in NAMES:
        if getattr(_signal, f"SIG{name}") == number:
            return name
    return str(number)


def window_change() -> int:
    return int(_signal.SIGWINCH)
