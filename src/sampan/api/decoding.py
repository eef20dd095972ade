"""JSON that a client sent: decoded into the engine's schema, or refused in the words of Go's encoding/json.

Owns the translation of msgspec's errors. The slow part, finding out how Go would name a syntax error, only
runs for bodies that are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from sampan import errors
from sampan.api import gosyntax

T = TypeVar("T")

_GO_KINDS = {
    "int": "number",
    "float": "number",
    "str": "string",
    "bool": "bool",
    "array": "array",
    "object": "object",
    "null": "null",
}
_GO_TYPES = {"int": "int64", "float": "float64", "str": "string", "bool": "bool", "array": "[]string"}


def decode(body: bytes, kind: type[T]) -> T:
    """`body` as a `kind`. Raises InvalidArgument with Go's words behind moby's "invalid JSON"."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        if body.strip() == b"null":
            return kind()  # as Go reads it: the zero value
        raise errors.InvalidArgument(f"invalid JSON: {_mismatch(str(error), kind.__name__)}") from None
    except msgspec.DecodeError:
        refusal = gosyntax.explain(body)
        if refusal == gosyntax.TRAILING:
            raise errors.InvalidArgument(refusal) from None
        raise errors.InvalidArgument(f"invalid JSON: {refusal}") from None
    except UnicodeDecodeError:
        raise errors.InvalidArgument("invalid JSON: invalid UTF-8 in a string") from None


def _mismatch(message: str, name: str) -> str:
    """msgspec's "Expected `str`, got `int` - at `$.Image`" as Go says it; other messages stay as they are."""
    parts = message.split("`")
    if len(parts) < 4 or not message.startswith("Expected `") or parts[2] != ", got ":
        return message
    expected = parts[1].split(" | ")[0]
    kind, target = _GO_KINDS.get(parts[3], parts[3]), _GO_TYPES.get(expected, expected)
    path = _without_indexes(parts[5].removeprefix("$")) if len(parts) > 5 else ""
    if not path:
        return f"json: cannot unmarshal {kind} into Go value of type {name}"
    return f"json: cannot unmarshal {kind} into Go struct field {name}{path} of type {target}"


def _without_indexes(path: str) -> str:
    """`.Mounts[0].Type` as `.Mounts.Type`: Go names fields, not elements."""
    return "".join(piece.partition("]")[2] if index else piece for index, piece in enumerate(path.split("[")))


def filters(text: str) -> dict[str, list[str]]:
    """The `filters` parameter. Both of Docker's forms: {"label": {"a": true}} and the older {"label":
    ["a"]}.
    """
    try:
        document = msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise errors.InvalidArgument("invalid filter") from None
    if not isinstance(document, Mapping):
        raise errors.InvalidArgument("invalid filter")
    return {str(name): _filter_values(values) for name, values in document.items()}


def _filter_values(values: object) -> list[str]:
    if values is None:
        return []
    if isinstance(values, Mapping | list) and all(isinstance(value, str) for value in values):
        return list(values)
    raise errors.InvalidArgument("invalid filter")
