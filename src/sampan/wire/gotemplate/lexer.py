"""Template text to items: a state machine with one method per state, after the lexical rules of
text/template.

Owns the tokens. Must not know what a parser makes of them. One pass, no backtracking, no `re`.
"""

from __future__ import annotations

LEFT_DELIMITER = "{{"
RIGHT_DELIMITER = "}}"
LEFT_COMMENT = "/*"
RIGHT_COMMENT = "*/"
SPACES = " \t\r\n"
KEYWORDS = frozenset(
    ["block", "break", "continue", "define", "else", "end", "if", "nil", "range", "template", "with"]
)
END = ""  # what `_next` returns behind the last character


class Item:
    """A token: its kind, its text, where it starts (an index into the text) and its line."""

    __slots__ = ("kind", "line", "position", "text")

    def __init__(self, kind: str, text: str, position: int, line: int) -> None:
        self.kind = kind
        self.text = text
        self.position = position
        self.line = line

    def __str__(self) -> str:
        """As the parser's error texts quote it."""
        if self.kind == "eof":
            return "EOF"
        if self.kind == "error":
            return self.text
        if self.kind in KEYWORDS or self.kind == "dot":
            return f"<{self.text}>"
        if len(self.text) > 10:
            return f"{quote(self.text[:10])}..."
        return quote(self.text)


class LexicalError(Exception):
    """The text cannot be cut into items; ends the stream as an item of kind `error`."""


def is_alphanumeric(character: str) -> bool:
    return character == "_" or character.isalnum()


def quote(text: str) -> str:
    """strconv.Quote: a Go string literal of `text`, in double quotes."""
    return '"' + escape(text, '"') + '"'


def escape(text: str, delimiter: str, ascii_only: bool = False) -> str:
    """The inside of a Go literal: what does not print is written as an escape."""
    names = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
    out = []
    for character in text:
        code = ord(character)
        if character == delimiter or character == "\\":
            out.append("\\" + character)
        elif character in names:
            out.append(names[character])
        elif 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8 (surrogateescape)
            out.append(f"\\x{code - 0xDC00:02x}")
        elif character.isprintable() and (code < 0x7F or not ascii_only):
            out.append(character)
        elif code < 0x20 or code == 0x7F:
            out.append(f"\\x{code:02x}")
        elif code < 0x10000:
            out.append(f"\\u{code:04x}")
        else:
            out.append(f"\\U{code:08x}")
    return "".join(out)


def lex(text: str) -> list[Item]:
    """All items of `text`; the last one is of kind `eof` or `error`."""
    return _Lexer(text).run()


class _Lexer:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.start = 0
        self.line = 1
        self.start_line = 1
        self.depth = 0
        self.inside = False
        self.items: list[Item] = []

    def run(self) -> list[Item]:
        try:
            while self._step():
                pass
        except LexicalError as error:
            self.items.append(Item("error", str(error), self.start, self.start_line))
        return self.items

    def _step(self) -> bool:
        if self.inside:
            self._inside_action()
            return True
        return self._text()

    # Positions and characters.

    def _next(self) -> str:
        if self.position >= len(self.text):
            return END
        character = self.text[self.position]
        self.position += 1
        if character == "\n":
            self.line += 1
        return character

    def _peek(self) -> str:
        return self.text[self.position] if self.position < len(self.text) else END

    def _skip(self, end: int) -> None:
        self.line += self.text.count("\n", self.position, end)
        self.position = end

    def _ignore(self) -> None:
        self.start, self.start_line = self.position, self.line

    def _emit(self, kind: str) -> None:
        text = self.text[self.start : self.position]
        self.items.append(Item(kind, text, self.start, self.start_line))
        self._ignore()

    def _accept_run(self, characters: str) -> None:
        while (character := self._peek()) and character in characters:
            self._next()

    def _accept(self, characters: str) -> bool:
        character = self._peek()
        if character and character in characters:
            self._next()
            return True
        return False

    def _looking_at(self, text: str, offset: int = 0) -> bool:
        return self.text.startswith(text, self.position + offset)

    def _at_right_delimiter(self) -> tuple[bool, bool]:
        """Whether the action ends here, and whether a trim marker (` -}}`) drops the space behind it."""
        spaced = self._peek()
        if spaced and spaced in SPACES and self._looking_at("-" + RIGHT_DELIMITER, 1):
            return True, True
        return self._looking_at(RIGHT_DELIMITER), False

    def _at_terminator(self) -> bool:
        """Whether an identifier may end here: this refuses `{{.X+1}}` and the like early."""
        character = self._peek()
        return character == END or character in " \t\r\n.,|:()" or self._looking_at(RIGHT_DELIMITER)

    # States.

    def _text(self) -> bool:
        found = self.text.find(LEFT_DELIMITER, self.position)
        end = len(self.text) if found < 0 else found
        trimmed = end
        if found >= 0 and self._left_trim(found):
            while trimmed > self.position and self.text[trimmed - 1] in SPACES:
                trimmed -= 1
        self._skip(trimmed)
        if self.position > self.start:
            self._emit("text")
        self._skip(end)
        self._ignore()
        if found < 0:
            self._emit("eof")
            return False
        self._left_delimiter()
        return True

    def _left_trim(self, delimiter: int) -> bool:
        marker = self.text[delimiter + 2 : delimiter + 4]
        return len(marker) == 2 and marker[0] == "-" and marker[1] in SPACES

    def _left_delimiter(self) -> None:
        trim = 2 if self._left_trim(self.position) else 0
        if self._looking_at(LEFT_COMMENT, 2 + trim):
            self._skip(self.position + 2 + trim)
            self._ignore()
            self._comment()
            return
        self.position += 2
        self._emit("left delimiter")
        self._skip(self.position + trim)
        self._ignore()
        self.depth = 0
        self.inside = True

    def _comment(self) -> None:
        end = self.text.find(RIGHT_COMMENT, self.position + 2)
        if end < 0:
            raise LexicalError("unclosed comment")
        self._skip(end + 2)
        ends, trim = self._at_right_delimiter()
        if not ends:
            raise LexicalError("comment ends before closing delimiter")
        self._skip(self.position + (4 if trim else 2))
        if trim:
            self._accept_run(SPACES)
        self._ignore()

    def _right_delimiter(self, trim: bool) -> None:
        if trim:
            self._skip(self.position + 2)
            self._ignore()
        self.position += 2
        self._emit("right delimiter")
        if trim:
            self._accept_run(SPACES)
            self._ignore()
        self.inside = False

    def _inside_action(self) -> None:
        ends, trim = self._at_right_delimiter()
        if ends:
            if self.depth:
                raise LexicalError("unclosed left paren")
            self._right_delimiter(trim)
            return
        character = self._peek()
        if character == END:
            raise LexicalError("unclosed action")
        if character in SPACES:
            self._space()
        elif character in "\"`$'":
            self._next()
            {'"': self._quoted, "`": self._raw, "$": self._variable, "'": self._character}[character]()
        elif character == "." and self.text[self.position + 1 : self.position + 2] not in tuple("0123456789"):
            self._next()
            self._field()
        elif character in "+-.0123456789":
            self._number()
        elif is_alphanumeric(character):
            self._identifier()
        else:
            self._punctuation(self._next())

    def _punctuation(self, character: str) -> None:
        if character == "=":
            self._emit("assign")
        elif character == ":":
            if self._next() != "=":
                raise LexicalError("expected :=")
            self._emit("declare")
        elif character == "|":
            self._emit("pipe")
        elif character == "(":
            self.depth += 1
            self._emit("left paren")
        elif character == ")":
            self.depth -= 1
            if self.depth < 0:
                raise LexicalError("unexpected right paren")
            self._emit("right paren")
        elif " " <= character <= "~":
            self._emit("character")
        else:
            raise LexicalError(f"unrecognized character in action: {_code_point(character)}")

    def _space(self) -> None:
        while (character := self._peek()) and character in SPACES:
            if self._at_right_delimiter()[1]:
                break  # the space belongs to the trim marker
            self._next()
        self._emit("space")

    def _identifier(self) -> None:
        while is_alphanumeric(self._peek()):
            self._next()
        self._require_terminator()
        word = self.text[self.start : self.position]
        if word in KEYWORDS:
            self._emit(word)
        else:
            self._emit("bool" if word in ("true", "false") else "identifier")

    def _field(self) -> None:
        self._field_or_variable("field")

    def _variable(self) -> None:
        self._field_or_variable("variable")

    def _field_or_variable(self, kind: str) -> None:
        if self._at_terminator():
            self._emit("variable" if kind == "variable" else "dot")
            return
        while is_alphanumeric(self._peek()):
            self._next()
        self._require_terminator()
        self._emit(kind)

    def _require_terminator(self) -> None:
        if not self._at_terminator():
            raise LexicalError(f"bad character {_code_point(self._peek())}")

    def _character(self) -> None:
        self._until("'", "unterminated character constant")
        self._emit("character constant")

    def _quoted(self) -> None:
        self._until('"', "unterminated quoted string")
        self._emit("string")

    def _until(self, delimiter: str, complaint: str) -> None:
        while (character := self._next()) != delimiter:
            if character == "\\":
                character = self._next()
            if character in (END, "\n"):
                raise LexicalError(complaint)

    def _raw(self) -> None:
        end = self.text.find("`", self.position)
        if end < 0:
            raise LexicalError("unterminated raw quoted string")
        self._skip(end + 1)
        self._emit("raw string")

    def _number(self) -> None:
        if not self._scan_number():
            raise LexicalError(f"bad number syntax: {quote(self.text[self.start : self.position])}")
        if self._peek() and self._peek() in "+-":  # a complex number: 1+2i
            if not self._scan_number() or self.text[self.position - 1] != "i":
                raise LexicalError(f"bad number syntax: {quote(self.text[self.start : self.position])}")
            self._emit("complex")
        else:
            self._emit("number")

    def _scan_number(self) -> bool:
        self._accept("+-")
        digits = "0123456789_"
        if self._accept("0"):
            if self._accept("xX"):
                digits = "0123456789abcdefABCDEF_"
            elif self._accept("oO"):
                digits = "01234567_"
            elif self._accept("bB"):
                digits = "01_"
        self._accept_run(digits)
        if self._accept("."):
            self._accept_run(digits)
        exponent = {11: "eE", 23: "pP"}.get(len(digits))
        if exponent and self._accept(exponent):
            self._accept("+-")
            self._accept_run("0123456789_")
        self._accept("i")
        if is_alphanumeric(self._peek()):
            self._next()
            return False
        return True


def _code_point(character: str) -> str:
    """fmt's %#U: U+0040 '@'."""
    if not character:
        return "U+FFFFFFFFFFFFFFFF"
    shown = f" '{character}'" if character.isprintable() else ""
    return f"U+{ord(character):04X}{shown}"
