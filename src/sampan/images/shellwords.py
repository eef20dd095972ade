"""Words of a Dockerfile instruction: quotes, escapes and `$variables`, as Docker's shell lexer reads them.

Owns the expansion rules of the Dockerfile reference ("Environment replacement"). Pure; raises InvalidArgument
with the lexer's texts.
"""

from __future__ import annotations

from collections.abc import Mapping

from sampan import errors

ESCAPE = "\\"
_BLANKS = " \t\n\r\v\f"
_SPECIAL = frozenset("@*#?-$!")
_DIGITS = frozenset("0123456789")
_NAME_START = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_NAME = _NAME_START | _DIGITS


def expand(word: str, variables: Mapping[str, str]) -> str:
    """Return the word without its quotes and with its variables replaced."""
    return "".join(_Lexer(word, variables).words(split=False))


def expand_words(word: str, variables: Mapping[str, str]) -> list[str]:
    """The same, but blanks outside of quotes part it into several words."""
    return _Lexer(word, variables).words(split=True)


class _Lexer:
    def __init__(self, word: str, variables: Mapping[str, str]) -> None:
        self._word = word
        self._variables = variables
        self._at = 0

    def words(self, *, split: bool) -> list[str]:
        words: list[str] = []
        current, started = "", False
        while (character := self._peek()) is not None:
            # Blanks part words when they stand bare, or come out of a bare variable.
            bare = character not in "'\"" + ESCAPE
            piece = self._piece(character)
            if not (split and bare):
                current, started = current + piece, True
                continue
            for one in piece:
                if one not in _BLANKS:
                    current, started = current + one, True
                elif started:
                    words.append(current)
                    current, started = "", False
        return [*words, current] if started or not split else words

    def _piece(self, character: str) -> str:
        if character == "'":
            return self._single_quoted()
        if character == '"':
            return self._double_quoted()
        if character == "$":
            return self._variable()
        self._at += 1
        if character == ESCAPE:
            # A backslash goes, and with it the meaning of what it stands before.
            character = self._peek() or ""
            self._at += len(character)
        return character

    def _single_quoted(self) -> str:
        end = self._word.find("'", self._at + 1)
        if end < 0:
            raise self._failure("unexpected end of statement while looking for matching single-quote")
        text = self._word[self._at + 1 : end]
        self._at = end + 1
        return text

    def _double_quoted(self) -> str:
        self._at += 1
        text = ""
        while (character := self._peek()) != '"':
            if character is None:
                raise self._failure("unexpected end of statement while looking for matching double-quote")
            if character == "$":
                text += self._variable()
                continue
            self._at += 1
            if character == ESCAPE:
                # Within double quotes a backslash only takes the meaning of these.
                following = self._peek()
                if following is not None and following in '"$' + ESCAPE:
                    character = following
                    self._at += 1
            text += character
        self._at += 1
        return text

    def _variable(self) -> str:
        self._at += 1
        if self._peek() != "{":
            name = self._name()
            return self._variables.get(name, "") if name else "$"
        self._at += 1
        if self._peek() == "}":
            raise self._failure("syntax error: bad substitution")
        name = self._name()
        after = self._peek()
        if after == "}":
            self._at += 1
            return self._variables.get(name, "")
        if after is None or not name:
            what = "missing '}'" if after is None else "bad substitution"
            raise self._failure(f"syntax error: {what}")
        return self._modified(name)

    def _modified(self, name: str) -> str:
        """`${name:-word}`, `${name-word}` and the like for `+` and `?`."""
        checks_empty = self._peek() == ":"
        self._at += checks_empty
        modifier = self._peek()
        if modifier is None:
            raise self._failure("syntax error: missing '}'")
        if modifier not in "-+?":
            raise self._failure(f"unsupported modifier ({modifier}) in substitution")
        self._at += 1
        word = self._until_brace()
        value = self._variables.get(name)
        there = bool(value) if checks_empty else value is not None
        if modifier == "+":
            return word if there else ""
        if there:
            return value or ""
        if modifier == "?":
            default = "is not allowed to be unset" if value is None else "is not allowed to be empty"
            raise self._failure(f"{name}: {word or default}")
        return word

    def _until_brace(self) -> str:
        text = ""
        while (character := self._peek()) != "}":
            if character is None:
                raise self._failure("syntax error: missing '}'")
            text += self._piece(character)
        self._at += 1
        return text

    def _name(self) -> str:
        start = self._at
        character = self._peek()
        if character is None:
            return ""
        if character in _SPECIAL:
            self._at += 1
            return character
        allowed = _DIGITS if character in _DIGITS else _NAME_START
        while (character := self._peek()) is not None and character in allowed:
            allowed = allowed if allowed is _DIGITS else _NAME
            self._at += 1
        return self._word[start : self._at]

    def _peek(self) -> str | None:
        return self._word[self._at] if self._at < len(self._word) else None

    def _failure(self, what: str) -> errors.InvalidArgument:
        return errors.InvalidArgument(f"failed to process {_go_quoted(self._word)}: {what}")


def _go_quoted(text: str) -> str:
    """Quote as Go's %q does, as far as a Dockerfile has such characters."""
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r")):
        text = text.replace(plain, escaped)
    return f'"{text}"'
