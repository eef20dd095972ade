"""JSON objects as packets, and typed access to their fields.

Owns the form of a packet on the control sockets (one JSON object, bounded) and the wording of what is wrong
with one. Knows no message.
"""

from __future__ import annotations

from collections.abc import Sequence

from sampan import errors
from sampan.wire import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    _T = TypeVar("_T")

# A packet has to fit the sender's socket buffer: net.core.wmem_default is 208 KiB, overhead included.
MAX_PACKET = 128 * 1024


def encode(document: dict[str, Any]) -> bytes:
    packet = jsontext.text(document).encode()
    if len(packet) > MAX_PACKET:
        raise errors.InvalidArgument(f"message of {len(packet)} bytes is too long for the shim")
    return packet


def decode(packet: bytes) -> object:
    try:
        return jsontext.parse(packet)
    except ValueError as error:
        raise errors.InvalidArgument(f"message is not JSON: {error}") from None


class Document:
    """Takes typed fields out of a JSON object, with errors that name the message and the field."""

    def __init__(self, name: str, document: object) -> None:
        if not isinstance(document, dict):
            raise errors.InvalidArgument(f"{name}: not a JSON object")
        self.name = name
        self.document: dict[str, Any] = document

    def optional(self, key: str, kind: type[_T]) -> _T | None:
        value = self.document.get(key)
        if value is None:
            return None
        # bool is an int to isinstance, and 1 is no flag.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise errors.InvalidArgument(f"{self.name}: {key} is not of type {kind.__name__}")
        return value

    def required(self, key: str, kind: type[_T]) -> _T:
        value = self.optional(key, kind)
        if value is None:
            raise errors.InvalidArgument(f"{self.name}: {key} is missing")
        return value

    def flag(self, key: str) -> bool:
        return bool(self.optional(key, bool))

    def list_of(self, key: str, kind: type[_T]) -> list[_T]:
        values: Sequence[Any] = self.optional(key, list) or []
        if not all(isinstance(value, kind) for value in values):
            raise errors.InvalidArgument(f"{self.name}: {key} is not a list of {kind.__name__}")
        return list(values)

    def size(self, key: str) -> tuple[int, int] | None:
        values = self.list_of(key, int)
        if not values:
            return None
        if len(values) != 2:
            raise errors.InvalidArgument(f"{self.name}: {key} is not [height, width]")
        return values[0], values[1]
