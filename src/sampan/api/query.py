"""The query string of a request: percent decoding, and values as Docker's handlers read them.

Owns Go's rules: a flag is true unless it is empty, `0`, `no`, `false` or `none`; a missing number is zero; a
broken escape refuses the request. Hand-written, since `urllib.parse` would cost the idle engine memory for
two functions.
"""

from __future__ import annotations

from collections.abc import Iterator

from sampan import errors
from sampan.api import decoding
from sampan.wire import gotime

_FALSE = frozenset(("", "0", "no", "false", "none"))
_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
_INT64 = 1 << 63


def unquote(text: str, *, plus: bool = False) -> str:
    """`text` with its percent escapes decoded (and `+` as a blank in a query). Refuses a broken escape, as Go
    does.
    """
    if plus:
        text = text.replace("+", " ")
    if "%" not in text:
        return text
    first, *pieces = text.split("%")
    decoded = bytearray(first.encode())
    for piece in pieces:
        digits = piece[:2]
        if len(digits) < 2 or not _HEXADECIMAL.issuperset(digits):
            raise errors.InvalidArgument(f'invalid URL escape "%{digits}"')
        decoded.append(int(digits, 16))
        decoded += piece[2:].encode()
    return decoded.decode(errors="replace")


class Query:
    """The parameters of one request. Unknown ones are ignored, as dockerd does: they belong to other
    versions.
    """

    __slots__ = ("_text", "_values")

    def __init__(self, text: str = "") -> None:
        self._text = text
        self._values: dict[str, list[str]] = {}

    def parse(self) -> None:
        """Decode the string; before this there are no values. Raises InvalidArgument for a broken escape."""
        for name, value in _pairs(self._text):
            self._values.setdefault(name, []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, default: str = "") -> str:
        """The first value of `name`."""
        return self._values.get(name, (default,))[0]

    def texts(self, name: str) -> tuple[str, ...]:
        """All values of `name`, in order."""
        return tuple(self._values.get(name, ()))

    def flag(self, name: str, default: bool = False) -> bool:
        if name not in self._values:
            return default
        return self.text(name).strip().lower() not in _FALSE

    def integer(self, name: str, default: int = 0) -> int:
        """A number, `default` when it is missing or empty."""
        value = self.text(name)
        return self._atoi(value) if value else default

    def required_integer(self, name: str) -> int:
        return self._atoi(self.text(name))

    def optional_integer(self, name: str) -> int | None:
        """A number, None when it is missing or empty."""
        value = self.text(name)
        return self._atoi(value) if value else None

    def moment(self, name: str) -> int | None:
        """A time as `since` and `until` give it, in nanoseconds since 1970; None when it is missing."""
        value = self.text(name)
        if not value:
            return None
        try:
            return gotime.parse_unix(value)
        except ValueError as error:
            raise errors.InvalidArgument(str(error)) from None

    def filters(self) -> dict[str, list[str]]:
        """The `filters` parameter: name → values. Takes both forms: {"a": ["b"]} and {"a": {"b": true}}."""
        value = self.text("filters")
        return decoding.filters(value) if value else {}

    @staticmethod
    def _atoi(value: str) -> int:
        digits = value[1:] if value[:1] in ("-", "+") else value
        if not (digits.isascii() and digits.isdigit()):
            raise errors.InvalidArgument(f'strconv.Atoi: parsing "{value}": invalid syntax')
        number = int(value)
        if not -_INT64 <= number < _INT64:
            raise errors.InvalidArgument(f'strconv.Atoi: parsing "{value}": value out of range')
        return number


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for pair in text.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            yield unquote(name, plus=True), unquote(value, plus=True)
