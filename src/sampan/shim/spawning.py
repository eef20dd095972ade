"""The messages between the engine and the zygote.

Owns their fields and their JSON form; both ends import this module. Each packet on the SOCK_SEQPACKET socket
is one message; the engine sends `Spawn`, the zygote answers each in its turn with `Spawned` or
`SpawnFailure`, and ends at the end of the stream. What is said to a shim afterwards is in `protocol`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from sampan import errors
from sampan.shim.document import Document, decode, encode


@dataclass(frozen=True, slots=True)
class Spawn:
    """Fork a shim. One descriptor travels with it: the shim's end of its first controller connection."""

    OP: ClassVar[str] = "spawn"
    fds: ClassVar[tuple[str, ...]] = ("control",)
    container: str
    directory: str

    @classmethod
    def from_document(cls, document: object) -> Self:
        taken = Document("spawn", document)
        if taken.required("op", str) != cls.OP:
            raise errors.InvalidArgument(f"zygote: unknown operation {taken.required('op', str)}")
        return cls(taken.required("container", str), taken.required("directory", str))


@dataclass(frozen=True, slots=True)
class Spawned:
    """The shim exists."""

    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailure:
    """No shim was made."""

    message: str


def encode_spawn(request: Spawn) -> bytes:
    return encode({"op": request.OP, "container": request.container, "directory": request.directory})


def decode_spawn(packet: bytes) -> Spawn:
    return Spawn.from_document(decode(packet))


def encode_spawned(response: Spawned | SpawnFailure) -> bytes:
    if isinstance(response, Spawned):
        return encode({"pid": response.pid})
    return encode({"error": {"message": response.message}})


def decode_spawned(packet: bytes) -> Spawned | SpawnFailure:
    taken = Document("zygote reply", decode(packet))
    error = taken.optional("error", dict)
    if error is not None:
        return SpawnFailure(Document("error", error).required("message", str))
    return Spawned(taken.required("pid", int))
