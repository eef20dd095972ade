"""JSON as Go's encoding/json writes it, for output that is compared with Docker's byte by byte.

Owns the text form: key order as given, no blanks, Go's number format, and Go's escaping of `<`, `>` and `&`
(which `json.Marshal` and the template function `json` do, while the Engine API's encoder has it switched
off). Must not know what the documents mean. Imports only what costs nothing at start: the CLI uses it in
`--format '{{json .}}'`.
"""

from __future__ import annotations

from _json import encode_basestring as _quote  # the C function below `json`, without `json`'s import of `re`

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Go escapes the two line separators always: they end a line in JavaScript. The others only with HTML
# escaping.
_SEPARATORS = (("\u2028", "\\u2028"), ("\u2029", "\\u2029"))
_HTML = (("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e"))


def encode(value: object, *, escape_html: bool = True) -> str:
    """`value` as compact JSON, as Go's `json.Marshal` writes it (`SetEscapeHTML(false)` when not
    `escape_html`).
    """
    return "".join(_pieces(value, _Style(escape_html)))


def indent(value: object, *, prefix: str = "", step: str = "    ", escape_html: bool = True) -> str:
    """`value` as Go's `json.MarshalIndent` writes it: empty arrays and objects stay on one line."""
    return "".join(_pieces(value, _Style(escape_html, prefix, step)))


def quote(text: str, *, escape_html: bool = True) -> str:
    """One JSON string. What is not Unicode (a lone surrogate) becomes U+FFFD, as in Go."""
    try:
        text.encode()
    except UnicodeEncodeError:
        # Python keeps an undecodable byte as one surrogate (PEP 383); Go writes one U+FFFD for each such
        # byte.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    quoted: str = _quote(text)
    for character, escape in _SEPARATORS + _HTML if escape_html else _SEPARATORS:
        if character in quoted:
            quoted = quoted.replace(character, escape)
    return quoted


def number(value: float) -> str:
    """A float64 as Go writes it: no fraction for whole numbers, an exponent from 1e21 on and below 1e-6."""
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(f"json: unsupported value: {value}")
    if value == 0:
        return "-0" if str(value).startswith("-") else "0"
    digits, exponent = _shortest(abs(value))
    sign = "-" if value < 0 else ""
    if abs(value) < 1e-6 or abs(value) >= 1e21:
        fraction = f".{digits[1:]}" if len(digits) > 1 else ""
        # Go cuts the leading zero of a two-digit negative exponent (e-07 → e-7); positive ones have two
        # digits anyway.
        return f"{sign}{digits[0]}{fraction}e{exponent - 1:+d}"
    if exponent <= 0:
        return f"{sign}0.{'0' * -exponent}{digits}"
    if len(digits) <= exponent:
        return f"{sign}{digits}{'0' * (exponent - len(digits))}"
    return f"{sign}{digits[:exponent]}.{digits[exponent:]}"


def _shortest(value: float) -> tuple[str, int]:
    """The shortest digits that give `value` back and the decimal exponent: value = 0.digits * 10^exponent."""
    mantissa, _, power = repr(value).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    exponent = int(power or 0) + len(whole) - (len(whole + fraction) - len(digits))
    return digits.rstrip("0"), exponent


class _Style:
    """How the document is laid out: escaping, and the line break of each depth (None: compact)."""

    __slots__ = ("escape_html", "prefix", "step")

    def __init__(self, escape_html: bool, prefix: str = "", step: str | None = None) -> None:
        self.escape_html = escape_html
        self.prefix = prefix
        self.step = step

    def line(self, depth: int) -> str:
        return "" if self.step is None else f"\n{self.prefix}{self.step * depth}"


def _pieces(value: object, style: _Style, depth: int = 0) -> Iterator[str]:
    if value is None:
        yield "null"
    elif value is True:
        yield "true"
    elif value is False:
        yield "false"
    elif isinstance(value, str):
        yield quote(value, escape_html=style.escape_html)
    elif isinstance(value, int):
        yield str(value)
    elif isinstance(value, float):
        yield number(value)
    elif isinstance(value, dict):
        yield from _object(value, style, depth)
    elif isinstance(value, list | tuple):
        yield from _array(value, style, depth)
    else:
        raise TypeError(f"json: unsupported type: {type(value).__name__}")


def _object(value: dict[str, object], style: _Style, depth: int) -> Iterator[str]:
    if not value:
        yield "{}"
        return
    colon = ":" if style.step is None else ": "
    opening = "{"
    for key, member in value.items():
        yield opening + style.line(depth + 1) + quote(key, escape_html=style.escape_html) + colon
        yield from _pieces(member, style, depth + 1)
        opening = ","
    yield style.line(depth) + "}"


def _array(value: list[object] | tuple[object, ...], style: _Style, depth: int) -> Iterator[str]:
    if not value:
        yield "[]"
        return
    opening = "["
    for element in value:
        yield opening + style.line(depth + 1)
        yield from _pieces(element, style, depth + 1)
        opening = ","
    yield style.line(depth) + "]"
