"""How a client's connection and its wishes for a stream look to the engine.

Owns the seam between engine and api: the engine sees a client that it can accept, and whose socket it can
take to hand it to a shim. Knows no HTTP.
"""

from __future__ import annotations

import socket
from typing import Protocol

from sampan.records import dataclass


class HijackedClient(Protocol):
    """A client whose connection becomes the stdin and stdout of a process.

    The engine checks the request, calls `accept`, and then takes the socket: from there on no byte passes
    through the daemon.
    """

    @property
    def early(self) -> bytes:
        """What the client has sent behind its request already: the beginning of stdin."""
        ...

    async def accept(self, *, tty: bool) -> None:
        """Tell the client that the stream follows: raw with a terminal, else multiplexed."""
        ...

    def detach_socket(self) -> socket.socket:
        """Give up the connection; the caller owns the socket. Raises ConnectionError if it is gone."""
        ...


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Which log entries to read. Times are nanoseconds since 1970; a `tail` of None means all."""

    stdout: bool = False
    stderr: bool = False
    follow: bool = False
    since: int | None = None
    until: int | None = None
    timestamps: bool = False
    details: bool = False
    tail: int | None = None


@dataclass(frozen=True, slots=True)
class AttachOptions:
    """Which streams to join. `detach_keys` as the CLI writes them: "ctrl-p,ctrl-q"."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    stream: bool = False
    logs: bool = False
    detach_keys: str = ""
