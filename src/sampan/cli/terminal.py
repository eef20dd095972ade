"""The user's terminal: is there one, how big is it, raw mode and back.

Imported by the commands that attach. `termios` and `fcntl` are small C modules; `tty` would import more.
"""

from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.engine import Engine

DEFAULT_KEYS = b"\x10\x11"  # ctrl-p ctrl-q


def is_terminal(descriptor: int) -> bool:
    return posix.isatty(descriptor)


def window_size(descriptor: int = 1) -> tuple[int, int]:
    """(rows, columns) of the terminal; (0, 0) when there is none."""
    try:
        columns, rows = posix.get_terminal_size(descriptor)
    except OSError:
        return 0, 0
    return rows, columns


class RawMode:
    """The terminal on standard input without line editing, echo and signals, as cfmakeraw(3) does."""

    def __init__(self, wanted: bool, descriptor: int = 0) -> None:
        self.wanted = wanted
        self.descriptor = descriptor
        self.saved: list[object] | None = None

    def __enter__(self) -> RawMode:
        if self.wanted and posix.isatty(self.descriptor):
            import termios

            mode = termios.tcgetattr(self.descriptor)
            self.saved = [*mode[:6], list(mode[6])]
            mode[0] &= ~(
                termios.IGNBRK
                | termios.BRKINT
                | termios.PARMRK
                | termios.ISTRIP
                | termios.INLCR
                | termios.IGNCR
                | termios.ICRNL
                | termios.IXON
            )
            mode[1] &= ~termios.OPOST
            mode[2] = mode[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
            mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
            mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
            termios.tcsetattr(self.descriptor, termios.TCSANOW, mode)
        return self

    def __exit__(self, *_: object) -> None:
        if self.saved is not None:
            import termios

            termios.tcsetattr(self.descriptor, termios.TCSANOW, self.saved)  # type: ignore[arg-type]
            self.saved = None


def resize(engine: Engine, path: str, larger: int = 0) -> None:
    """Tell the engine the size of our terminal, for the container or exec at `path`.

    It may have ended meanwhile, which is no error. `larger` adds to both sides.
    """
    from sampan.cli.failure import Failure

    rows, columns = window_size()
    if not rows and not columns:
        return
    try:
        engine.post(path + "/resize", {"h": str(rows + larger), "w": str(columns + larger)})
    except Failure:
        pass


def parse_detach_keys(text: str) -> bytes:
    """`ctrl-p,ctrl-q` or `a,b` as the bytes that the keys send. Raises ValueError in Docker's words."""
    codes = bytearray()
    for key in text.split(","):
        if len(key) == 1:
            codes += key.encode()
            continue
        letter = key.removeprefix("ctrl-")
        if (
            not key.startswith("ctrl-")
            or len(letter) != 1
            or not ("a" <= letter <= "z" or letter in "@[\\]^_")
        ):
            raise ValueError(f"Unknown character: '{key}'")
        codes.append(ord(letter.upper()) - ord("@"))
    return bytes(codes)


class DetachKeys:
    """Watches what the user types for the keys that detach.

    A part of the sequence is held back until it is clear that the rest does not follow.
    """

    def __init__(self, keys: bytes) -> None:
        self.keys = keys
        self.matched = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What to send on, and whether the user detached."""
        out = bytearray()
        for byte in data:
            if byte == self.keys[self.matched]:
                self.matched += 1
                if self.matched == len(self.keys):
                    return bytes(out), True
                continue
            out += self.keys[: self.matched]
            self.matched = 0
            out.append(byte)
        return bytes(out), False
