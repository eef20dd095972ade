"""What every command gets: the engine to talk to, and the user's three streams.

Owns the choice of the host and the writing of output. Output is written at once, unbuffered: a command
collects what it prints, or streams it.
"""

from __future__ import annotations

import posix

from sampan.cli.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.engine import Engine

DEFAULT_HOST = "unix:///run/sampan.sock"


def environment(name: str) -> str:
    return posix.environ.get(name.encode(), b"").decode(errors="surrogateescape")


def write(descriptor: int, text: str | bytes) -> None:
    """Write all of it. A reader that went away ends the program by SIGPIPE, as it does for Docker's."""
    data = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    view = memoryview(data)
    while view:
        view = view[posix.write(descriptor, view) :]


class Context:
    """One call of the program: its global flags and its connection to an engine."""

    def __init__(self, hosts: list[str], config: str, debug: bool) -> None:
        self.config_folder = config
        self.debug = debug
        self._hosts = hosts
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The client, made at first use: `--help` needs no engine."""
        if self._engine is None:
            from sampan.cli.engine import Engine

            if len(self._hosts) > 1:
                raise Failure("Failed to initialize: unable to resolve sampan endpoint: Specify only one -H")
            host = (self._hosts[0] if self._hosts else "") or environment("SAMPAN_HOST")
            self._engine = Engine(host or DEFAULT_HOST, may_start=not host)
        return self._engine

    def out(self, text: str | bytes) -> None:
        if text:
            write(1, text)

    def line(self, text: str) -> None:
        write(1, text + "\n")

    def error(self, text: str) -> None:
        write(2, text + "\n")
