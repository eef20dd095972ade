"""How Go's encoding/json names the first syntax error of a document.

Clients show these messages to their users, so a body that is refused gets the text that dockerd gives. Owns a
recursive scanner that follows the states of Go's (encoding/json, scanner.go); it never builds a value, and it
only runs for documents that msgspec has refused already.
"""

from __future__ import annotations

TRAILING = "unexpected content after JSON"
"""moby's word for a second value behind the first."""

_BLANKS = b" \t\r\n"
_DIGITS = b"0123456789"
_LITERALS = {b"t": b"true", b"f": b"false", b"n": b"null"}
_MAX_DEPTH = 500


class _Refused(Exception):
    """The message for the client."""


def explain(document: bytes) -> str:
    """Go's message for the first syntax error in `document`."""
    scanner = _Scanner(document)
    try:
        scanner.blanks()
        if scanner.position == len(document):
            return "EOF"
        scanner.value(0)
        scanner.blanks()
    except _Refused as refusal:
        return str(refusal)
    return TRAILING if scanner.position < len(document) else "invalid JSON"


class _Scanner:
    __slots__ = ("document", "position")

    def __init__(self, document: bytes) -> None:
        self.document = document
        self.position = 0

    def peek(self) -> bytes:
        """The byte at the position. The end of the document is an error wherever it is looked at."""
        if self.position >= len(self.document):
            raise _Refused("unexpected EOF")
        return self.document[self.position : self.position + 1]

    def refuse(self, context: str) -> _Refused:
        return _Refused(f"invalid character {_quote(self.peek())} {context}")

    def blanks(self) -> None:
        while self.position < len(self.document) and self.document[self.position] in _BLANKS:
            self.position += 1

    def value(self, depth: int) -> None:
        self.blanks()
        first = self.peek()
        if depth > _MAX_DEPTH:
            raise _Refused("exceeded max depth")
        if first == b"{":
            self.members(depth)
        elif first == b"[":
            self.elements(depth)
        elif first == b'"':
            self.string()
        elif first in _LITERALS:
            self.literal(_LITERALS[first])
        elif first == b"-" or first in _DIGITS:
            self.number()
        else:
            raise self.refuse("looking for beginning of value")

    def members(self, depth: int) -> None:
        self.position += 1
        self.blanks()
        if self.peek() == b"}":
            self.position += 1
            return
        while True:
            self.blanks()
            if self.peek() != b'"':
                raise self.refuse("looking for beginning of object key string")
            self.string()
            self.blanks()
            if self.peek() != b":":
                raise self.refuse("after object key")
            self.position += 1
            self.value(depth + 1)
            if self.end_of_list(b"}", "after object key:value pair"):
                return

    def elements(self, depth: int) -> None:
        self.position += 1
        self.blanks()
        if self.peek() == b"]":
            self.position += 1
            return
        while True:
            self.value(depth + 1)
            if self.end_of_list(b"]", "after array element"):
                return

    def end_of_list(self, closing: bytes, context: str) -> bool:
        self.blanks()
        separator = self.peek()
        if separator not in (b",", closing):
            raise self.refuse(context)
        self.position += 1
        return separator == closing

    def string(self) -> None:
        self.position += 1
        while (byte := self.peek()) != b'"':
            if byte < b" ":
                raise self.refuse("in string literal")
            self.position += 1
            if byte == b"\\":
                self.escape()
        self.position += 1

    def escape(self) -> None:
        kind = self.peek()
        if kind not in b'bfnrt\\/"u':
            raise self.refuse("in string escape code")
        self.position += 1
        for _ in range(4 if kind == b"u" else 0):
            if self.peek() not in b"0123456789abcdefABCDEF":
                raise self.refuse("in \\u hexadecimal character escape")
            self.position += 1

    def literal(self, word: bytes) -> None:
        for expected in word:
            if self.peek() != bytes((expected,)):
                raise self.refuse(f"in literal {word.decode()} (expecting {_quote(bytes((expected,)))})")
            self.position += 1

    def number(self) -> None:
        if self.peek() == b"-":
            self.position += 1
        if self.peek() not in _DIGITS:
            raise self.refuse("in numeric literal")
        if self.peek() == b"0":
            self.position += 1
        else:
            self.digits()
        if self.document[self.position : self.position + 1] == b".":
            self.position += 1
            if self.peek() not in _DIGITS:
                raise self.refuse("after decimal point in numeric literal")
            self.digits()
        if self.document[self.position : self.position + 1] in (b"e", b"E"):
            self.position += 1
            if self.peek() in (b"+", b"-"):
                self.position += 1
            if self.peek() not in _DIGITS:
                raise self.refuse("in exponent of numeric literal")
            self.digits()

    def digits(self) -> None:
        while self.position < len(self.document) and self.document[self.position] in _DIGITS:
            self.position += 1


def _quote(byte: bytes) -> str:
    """A byte as Go's `quoteChar` prints it: single quotes, the double quote plain."""
    special = {b"'": "'\\''", b'"': "'\"'", b"\n": "'\\n'", b"\r": "'\\r'", b"\t": "'\\t'", b"\\": "'\\\\'"}
    if byte in special:
        return special[byte]
    code = byte[0]
    if code < 0x20 or code == 0x7F:
        return f"'\\x{code:02x}'"
    # Go makes a rune of the byte: what is not ASCII shows as the Latin-1 character of the same number.
    return f"'{chr(code)}'" if not 0x80 <= code < 0xA1 else f"'\\u{code:04x}'"
