"""Go's literals: quoted strings, characters and numbers, read as strconv reads them."""

from __future__ import annotations

from sampan.wire.gotemplate.lexer import quote

SIMPLE_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92}
HEX_LENGTHS = {"x": 2, "u": 4, "U": 8}
PREFIXES = {"0x": 16, "0o": 8, "0b": 2}


class LiteralError(ValueError):
    """Not a literal; the message is Go's."""


def unquote(literal: str) -> str:
    """strconv.Unquote, for the two kinds of string that a template has."""
    body = literal[1:-1]
    if literal[0] == "`":
        return body.replace("\r", "")
    if "\\" not in body:
        return body
    out = bytearray()
    index = 0
    while index < len(body):
        value, index = _unquote_character(body, index, '"')
        out += value
    return out.decode(errors="surrogateescape")


def _unquote_character(text: str, index: int, delimiter: str) -> tuple[bytes, int]:
    """The bytes of one character or escape at `index`, and where the next one starts."""
    if text[index] != "\\":
        return text[index].encode(errors="surrogateescape"), index + 1
    kind = text[index + 1 : index + 2]
    index += 2
    if kind in SIMPLE_ESCAPES and kind:
        return bytes([SIMPLE_ESCAPES[kind]]), index
    if kind == delimiter:
        return kind.encode(), index
    if kind in HEX_LENGTHS and kind:
        end = index + HEX_LENGTHS[kind]
        value = _digits(text[index:end], end - index, 16)
        if kind == "x":
            return bytes([value]), end
        if value > 0x10FFFF or 0xD800 <= value < 0xE000:
            raise LiteralError("invalid syntax")
        return chr(value).encode(), end
    value = _digits(text[index - 1 : index + 2], 3, 8)
    if value > 255:
        raise LiteralError("invalid syntax")
    return bytes([value]), index + 2


def _digits(text: str, length: int, base: int) -> int:
    allowed = "01234567" if base == 8 else "0123456789abcdefABCDEF"
    if len(text) != length or any(character not in allowed for character in text):
        raise LiteralError("invalid syntax")
    return int(text, base)


def parse_number(text: str) -> int | float | complex:
    """The value of a number or character constant, in the type that it has when nothing asks for another."""
    if text[0] == "'":
        return _character(text)
    if text[-1] == "i":
        return _complex(text)
    value = _integer(text)
    if value is not None:
        if not -(1 << 63) <= value < 1 << 64:
            raise LiteralError(f"integer overflow: {quote(text)}")
        return value
    number = _float(text)
    if number is None or not any(character in ".eEpP" for character in text):
        raise LiteralError(f"illegal number syntax: {quote(text)}")
    return number


def _character(text: str) -> int:
    try:
        value, end = _unquote_character(text, 1, "'")
        if text[end:] != "'":
            raise LiteralError
        if text[1:3] in ("\\x",) or (text[1] == "\\" and text[2:3].isdigit()):
            return value[0]
        return ord(value.decode())
    except (LiteralError, ValueError, IndexError, TypeError):
        raise LiteralError(f"malformed character constant: {text}") from None


def _complex(text: str) -> complex:
    try:
        return complex(text[:-1].replace("_", "") + "j")
    except ValueError:
        raise LiteralError(f"illegal number syntax: {quote(text)}") from None


def _integer(text: str) -> int | None:
    """strconv.ParseInt with base 0: prefixes, `_` behind a prefix only, a leading 0 for octal."""
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-") if text[0] in "+-" else text
    base = PREFIXES.get(digits[:2].lower(), 0)
    try:
        if base:
            return sign * int(digits[2:].removeprefix("_"), base)
        if len(digits) > 1 and digits[0] == "0":
            return sign * int(digits, 8)
        return None if not digits or digits[0] == "_" else sign * int(digits)
    except ValueError:
        return None


def _float(text: str) -> float | None:
    try:
        if "0x" in text.lower():
            return float.fromhex(text.replace("_", ""))
        return float(text)
    except (ValueError, OverflowError):
        return None
