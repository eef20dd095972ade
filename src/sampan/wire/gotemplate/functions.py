"""The functions that every template has: text/template's own.

Owns what they do and Go's words for what they refuse. `and` and `or` are here by name only: `execute`
short-circuits them. Must not know nodes.
"""

from __future__ import annotations

from sampan.wire.gotemplate.gofmt import PLAIN, format_value, sprint, sprintf, sprintln
from sampan.wire.gotemplate.values import Byte, Function, NilPointer, is_nil, kind, truth, type_name

COMPARABLE = frozenset(["bool", "int", "uint", "float", "complex", "string"])
ORDERED = frozenset(["int", "uint", "float", "string"])
HTML = {"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"}
JAVASCRIPT = {
    "\\": "\\\\",
    "'": "\\'",
    '"': '\\"',
    "<": "\\u003C",
    ">": "\\u003E",
    "&": "\\u0026",
    "=": "\\u003D",
}
UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")


class CallError(Exception):
    """A function refuses its arguments."""


def _index(item: object, *indexes: object) -> object:
    if item is None:
        raise CallError("index of untyped nil")
    for index in indexes:
        if isinstance(item, NilPointer):
            raise CallError("index of nil pointer")
        if isinstance(item, dict):
            if not isinstance(index, str):
                raise CallError(f"value has type {type_name(index)}; should be string")
            item = item.get(index, getattr(item, "missing", None))
        elif isinstance(item, list):
            item = item[_position(index, len(item), "slice")]
        elif isinstance(item, str):
            data = item.encode(errors="surrogateescape")
            item = Byte(data[_position(index, len(data), "string")])
        else:
            raise CallError(f"can't index item of type {type_name(item)}")
    return item


def _position(index: object, length: int, name: str) -> int:
    position = _bounded(index, length)
    if position == length:  # Go's own check lets it pass, and reflect then refuses
        raise CallError(f"reflect: {name} index out of range")
    return position


def _bounded(index: object, length: int) -> int:
    if index is None:
        raise CallError("cannot index slice/array with nil")
    if not isinstance(index, int) or isinstance(index, bool):
        raise CallError(f"cannot index slice/array with type {type_name(index)}")
    if not 0 <= index <= length:
        raise CallError(f"index out of range: {index}")
    return int(index)


def _slice(item: object, *indexes: object) -> object:
    if item is None:
        raise CallError("slice of untyped nil")
    if len(indexes) > 3:
        raise CallError(f"too many slice indexes: {len(indexes)}")
    if not isinstance(item, str | list):
        raise CallError(f"can't slice item of type {type_name(item)}")
    if isinstance(item, str) and len(indexes) == 3:
        raise CallError("cannot 3-index slice a string")
    whole = item.encode(errors="surrogateescape") if isinstance(item, str) else item
    bounds = [_bounded(index, len(whole)) for index in indexes]
    start, end = (bounds + [0])[0], bounds[1] if len(bounds) > 1 else len(whole)
    for low, high in zip(bounds, bounds[1:], strict=False):  # noqa: RUF007
        if low > high:
            raise CallError(f"invalid slice index: {low} > {high}")
    part = whole[start:end]
    return part.decode(errors="surrogateescape") if isinstance(part, bytes) else type(item)(part)


def _length(item: object) -> int:
    if isinstance(item, str):
        return len(item.encode(errors="surrogateescape"))
    if isinstance(item, list | dict):
        return len(item)
    if item is None:
        raise CallError("reflect: call of reflect.Value.Type on zero Value")
    if isinstance(item, NilPointer):
        raise CallError("len of nil pointer")
    raise CallError(f"len of type {type_name(item)}")


def _call(name: str, function: object = None, *arguments: object) -> object:
    if function is None:
        raise CallError("call of nil")
    if not isinstance(function, Function):
        raise CallError(f"non-function {name} of type {type_name(function)}")
    if len(arguments) != len(function.parameters):
        raise CallError(
            f"wrong number of args for {name}: got {len(arguments)} want {len(function.parameters)}"
        )
    return function.call(*arguments)


# Comparisons.


def _kinds(left: object, right: object) -> tuple[str, str]:
    """Kinds for a comparison: signed and unsigned integers compare by value."""
    kinds = [("int" if found == "uint" else found) for found in (kind(left), kind(right))]
    return kinds[0], kinds[1]


def _equal(first: object, *others: object) -> bool:
    if not others:
        raise CallError("missing argument for comparison")
    return any(_same(first, other) for other in others)


def _same(left: object, right: object) -> bool:
    left_kind, right_kind = _kinds(left, right)
    if left_kind in COMPARABLE or right_kind in COMPARABLE:
        if left_kind == right_kind:
            return left == right
        if left is None or right is None:
            return False
        raise CallError("incompatible types for comparison")
    if is_nil(left) or is_nil(right):
        return is_nil(left) == is_nil(right)
    if isinstance(right, list | dict):
        raise CallError(f"non-comparable type {format_value(right, 'v', PLAIN)}: {type_name(right)}")
    return left is right


def _not_equal(left: object, right: object) -> bool:
    return not _same(left, right)


def _less(left: object, right: object) -> bool:
    left_kind, right_kind = _kinds(left, right)
    if left_kind not in COMPARABLE or right_kind not in COMPARABLE:
        raise CallError("invalid type for comparison")
    if left_kind != right_kind:
        raise CallError("incompatible types for comparison")
    if left_kind not in ORDERED:
        raise CallError("invalid type for comparison")
    if isinstance(left, str) and isinstance(right, str):
        return left.encode(errors="surrogateescape") < right.encode(errors="surrogateescape")
    return left < right  # type: ignore[operator,no-any-return]


def _less_or_equal(left: object, right: object) -> bool:
    return _less(left, right) or _same(left, right)


# Escapers.


def _text(*values: object) -> str:
    """The arguments of an escaper as one string."""
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    return sprint(list(values))


def _html(*values: object) -> str:
    return "".join(HTML.get(character, character) for character in _text(*values))


def _javascript(*values: object) -> str:
    return "".join(map(_javascript_character, _text(*values)))


def _javascript_character(character: str) -> str:
    if character in JAVASCRIPT:
        return JAVASCRIPT[character]
    if ord(character) < 0x20 or not character.isprintable():
        return f"\\u{ord(character):04X}"
    return character


def _query(*values: object) -> str:
    data = _text(*values).encode(errors="surrogateescape")
    return "".join(
        chr(byte) if chr(byte) in UNRESERVED else "+" if byte == 0x20 else f"%{byte:02X}" for byte in data
    )


BUILTINS: dict[str, Function] = {
    "and": Function(lambda *values: values, ("any",), "any"),
    "call": Function(_call, ("any",), "any"),
    "eq": Function(_equal, ("any",), "any"),
    "ge": Function(lambda left, right: not _less(left, right), ("any", "any")),
    "gt": Function(lambda left, right: not _less_or_equal(left, right), ("any", "any")),
    "html": Function(_html, (), "any"),
    "index": Function(_index, ("any",), "any"),
    "js": Function(_javascript, (), "any"),
    "le": Function(_less_or_equal, ("any", "any")),
    "len": Function(_length, ("any",)),
    "lt": Function(_less, ("any", "any")),
    "ne": Function(_not_equal, ("any", "any")),
    "not": Function(lambda value: not truth(value), ("any",)),
    "or": Function(lambda *values: values, ("any",), "any"),
    "print": Function(lambda *values: sprint(list(values)), (), "any"),
    "printf": Function(lambda template, *values: sprintf(template, list(values)), ("string",), "any"),
    "println": Function(lambda *values: sprintln(list(values)), (), "any"),
    "slice": Function(_slice, ("any",), "any"),
    "urlquery": Function(_query, (), "any"),
}
