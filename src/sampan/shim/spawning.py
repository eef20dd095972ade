"""The messages between the engine and the zygote.

Owns their fields and their form; both ends import this module. Each packet on the SOCK_SEQPACKET socket is
one message; the engine sends `Spawn`, the zygote answers each in its turn with `Spawned` or `SpawnFailure`,
and ends at the end of the stream. What is said to a shim afterwards is in `protocol`.

    Spawn           container id, NUL, directory
    Spawned         the pid in decimal
    SpawnFailure    the message

No JSON here: what the zygote writes to between two forks is no longer shared by the shims before and after.
"""

from __future__ import annotations

from sampan import errors
from sampan.records import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Spawn:
    """Fork a shim. One descriptor travels with it: the shim's end of its first controller connection."""

    fds: ClassVar[tuple[str, ...]] = ("control",)
    container: str
    directory: str


@dataclass(frozen=True, slots=True)
class Spawned:
    """The shim exists."""

    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailure:
    """No shim was made."""

    message: str


# Far more than a container id and a path.
MAX_REQUEST = 8192


def encode_spawn(request: Spawn) -> bytes:
    return f"{request.container}\0{request.directory}".encode()


def decode_spawn(packet: bytes) -> Spawn:
    """Raises InvalidArgument."""
    container, separator, directory = packet.decode("utf-8", "replace").partition("\0")
    if not separator:
        raise errors.InvalidArgument("zygote: malformed request")
    return Spawn(container, directory)


def encode_pid(pid: int) -> bytes:
    return b"%d" % pid


def encode_failure(message: str) -> bytes:
    return message.encode()


def decode_spawned(packet: bytes) -> Spawned | SpawnFailure:
    return Spawned(int(packet)) if packet.isdigit() else SpawnFailure(packet.decode("utf-8", "replace"))
