"""What Docker adds to the template language: its functions, and JSON as Go writes it.

The header functions stand in where a table's heading is made from the same template: they leave text as it
is.
"""

from __future__ import annotations

from sampan.wire.gotemplate.functions import BUILTINS, CallError
from sampan.wire.gotemplate.jsonvalue import to_json
from sampan.wire.gotemplate.values import Function, StringSlice


def _split(text: str, separator: str) -> StringSlice:
    return StringSlice(text.split(separator) if separator else text)


def _title(text: str) -> str:
    """strings.Title: each word begins with a capital letter, the rest stays."""
    out = []
    inside = False
    for character in text:
        out.append(character if inside else character.title())
        inside = character.isalnum() or character in "_'" if inside or character not in "_'" else True
    return "".join(out)


def _pad(text: str, prefix: int, suffix: int) -> str:
    if not text:
        return text
    if prefix < 0 or suffix < 0:
        raise CallError("strings: negative Repeat count")
    return " " * prefix + text + " " * suffix


def _truncate(text: str, length: int) -> str:
    data = text.encode(errors="surrogateescape")
    if len(data) < length:
        return text
    if length < 0:
        raise CallError(f"runtime error: slice bounds out of range [:{length}]")
    return data[:length].decode(errors="surrogateescape")


FUNCTIONS: dict[str, Function] = BUILTINS | {
    "join": Function(lambda parts, separator: separator.join(parts or ()), ("[]string", "string")),
    "json": Function(to_json, ("any",)),
    "lower": Function(str.lower, ("string",)),
    "pad": Function(_pad, ("string", "int", "int")),
    "split": Function(_split, ("string", "string")),
    "title": Function(_title, ("string",)),
    "truncate": Function(_truncate, ("string", "int")),
    "upper": Function(str.upper, ("string",)),
}

HEADER_FUNCTIONS: dict[str, Function] = FUNCTIONS | {
    "json": Function(lambda text: text, ("string",)),
    "lower": Function(lambda text: text, ("string",)),
    "title": Function(lambda text: text, ("string",)),
    "truncate": Function(lambda text, length: text, ("string", "int")),
    "upper": Function(lambda text: text, ("string",)),
}
