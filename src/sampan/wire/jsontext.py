"""JSON without the `json` package: the same C scanner and encoder, without the import of `re` behind it.

Owns JSON between processes: `parse` and `text` are `json.loads` and compact `json.dumps`; `decode` and
`encode` are more tolerant, for what a command line passes on. For JSON that the user reads there is
`wire.gojson`.
"""

from __future__ import annotations

from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WHITESPACE = " \t\n\r"


class _Rules:
    """What the C scanner reads its options from."""

    strict = False
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}


class _StrictRules(_Rules):
    strict = True


_scanner = make_scanner(_Rules())  # type: ignore[arg-type]
_strict_scanner = make_scanner(_StrictRules())  # type: ignore[arg-type]


def _scan(text: str) -> tuple[object, int]:
    """One value at the start of `text`, and where it ends. Raises ValueError."""
    try:
        return _scanner(text, 0)
    except StopIteration:
        raise ValueError("not a JSON document") from None
    except SystemError:
        # The scanner raises json's own error, and does not find it where json is not imported.
        raise ValueError("a broken JSON document") from None


def _refuse(value: object) -> object:
    raise TypeError(f"not JSON: {value!r}")


_encode = make_encoder(None, _refuse, encode_basestring, None, ":", ",", False, False, False)
_encode_ascii = make_encoder(None, _refuse, encode_basestring_ascii, None, ":", ",", False, False, False)
_encode_sorted = make_encoder(None, _refuse, encode_basestring_ascii, None, ":", ",", True, False, False)


def parse(data: bytes | str) -> Any:
    """One document in UTF-8. Raises ValueError, with json's own words."""
    text = (data.decode() if isinstance(data, bytes) else data).strip(WHITESPACE)
    try:
        value, end = _strict_scanner(text, 0)
        if end == len(text):
            return value
    except (StopIteration, SystemError):  # see `_scan`
        pass
    import json  # it tells what is wrong, and where

    return json.loads(data)


def text(value: object, *, sort_keys: bool = False) -> str:
    """Compact JSON in ASCII."""
    return "".join((_encode_sorted if sort_keys else _encode_ascii)(value, 0))


def decode(data: bytes | str) -> object:
    """One document. Raises ValueError."""
    text = data.decode(errors="replace") if isinstance(data, bytes) else data
    stripped = text.lstrip(WHITESPACE)
    value, end = _scan(stripped)
    if stripped[end:].strip(WHITESPACE):
        raise ValueError("extra data behind a JSON document")
    return value


def decode_stream(text: str) -> tuple[list[object], str]:
    """The complete documents at the start of `text`, one behind the other, and what follows them.

    An object is complete when the scanner reaches its end; streams of the engine hold nothing but objects.
    """
    found: list[object] = []
    while text := text.lstrip(WHITESPACE):
        try:
            value, end = _scan(text)
        except ValueError:
            break
        found.append(value)
        text = text[end:]
    return found, text


def encode(value: object) -> bytes:
    """Compact JSON in UTF-8; an undecodable byte of an argument stays as it was."""
    return "".join(_encode(value, 0)).encode(errors="surrogateescape")
