"""A JSON document to typed values, by the names in `schema`."""

from __future__ import annotations

from sampan.cli.typed.schema import TYPES
from sampan.wire.gotemplate.values import (
    Duration,
    Integer,
    Map,
    NilPointer,
    Slice,
    StringSlice,
    Struct,
    Time,
    Unsigned,
)
from sampan.wire.gotime import ZERO, parse_rfc3339

Field = tuple[str, str, str, bool]  # Go's name, JSON's name, type, omitempty


class _Uint16(Unsigned):
    go_type = "uint16"


INTEGERS: dict[str, type[int]] = {"int": int, "int64": Integer, "uint64": Unsigned, "uint16": _Uint16}
_parsed: dict[str, tuple[Field, ...]] = {}


def fields(name: str) -> tuple[Field, ...]:
    """The fields of a struct type."""
    found = _parsed.get(name)
    if found is None:
        parsed = []
        for line in TYPES[name].split("\n"):
            head, _, kind = line.strip().partition(" ")
            if head:
                go_name, _, json_name = head.partition("=")
                parsed.append((go_name, json_name or go_name, kind.removesuffix("?"), kind.endswith("?")))
        found = _parsed[name] = tuple(parsed)
    return found


def decode(kind: str, value: object) -> object:
    """`value` as the Go type `kind`; a missing or null one is that type's zero value."""
    if kind in TYPES:
        return struct(kind, value)
    if kind.startswith("*"):
        return _pointer(kind[1:], value)
    if kind.startswith("[]"):
        return _slice(kind[2:], value)
    if kind.startswith("map["):
        return _map(kind[4:-1], value)
    match kind:
        case "string":
            return value if isinstance(value, str) else ""
        case "bool":
            return value is True
        case "time":
            return _time(value)
        case "duration":
            return Duration(value if isinstance(value, int) else 0)
        case "struct {}":
            return Struct("struct {}", {})
    if kind in INTEGERS:
        return INTEGERS[kind](value if isinstance(value, int) else 0)
    return value


def struct(kind: str, value: object, pointer: bool = False) -> Struct:
    document = value if isinstance(value, dict) else {}
    members = fields(kind)
    return Struct(
        kind,
        {name: decode(type_, document.get(key)) for name, key, type_, _ in members},
        tuple((key, omit_empty) for _, key, _, omit_empty in members),
        pointer,
    )


def _pointer(kind: str, value: object) -> object:
    if value is None:
        return NilPointer(kind, [field[0] for field in fields(kind)] if kind in TYPES else ())
    return struct(kind, value, pointer=True) if kind in TYPES else decode(kind, value)


def _slice(kind: str, value: object) -> Slice:
    result = StringSlice() if kind == "string" else Slice()
    if kind != "string":
        result.go_type = f"[]{kind}"
    result.is_nil = not isinstance(value, list)
    if isinstance(value, list):
        result += [decode(kind, element) for element in value]
    return result


def _map(kind: str, value: object) -> Map:
    result = Map()
    result.go_type = f"map[string]{kind}"
    result.missing = decode(kind, None)
    result.is_nil = not isinstance(value, dict)
    if isinstance(value, dict):
        result.update({key: decode(kind, element) for key, element in value.items()})
    return result


def _time(value: object) -> Time:
    try:
        return Time(parse_rfc3339(value) if isinstance(value, str) else ZERO)
    except ValueError:
        return Time(ZERO)


def untyped(value: object) -> object:
    """The document as Go reads it without types: numbers stay text (json.Number)."""
    from sampan.wire.gojson import number
    from sampan.wire.gotemplate.values import Number

    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return Number(value)
    if isinstance(value, float):
        return Number(number(value))
    if isinstance(value, list):
        return [untyped(element) for element in value]
    if isinstance(value, dict):
        return {key: untyped(element) for key, element in value.items()}
    return value
