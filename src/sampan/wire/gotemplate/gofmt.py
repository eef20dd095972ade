"""Go's fmt: Sprint, Sprintln and Sprintf over the values of templates.

Owns the verbs, flags and error marks (`%!d(string=x)`) of fmt. A pointer inside another value, which Go
prints as an address, is printed as what it points to. Must not know templates.
"""

from __future__ import annotations

from sampan.wire.gotemplate.lexer import escape, quote
from sampan.wire.gotemplate.values import NO_VALUE, Function, NilPointer, Struct, is_nil, kind, type_name

FLOAT_DIGITS = {"e": 6, "E": 6, "f": 6, "F": 6, "g": -1, "G": -1, "v": -1}
INTEGER_BASES = {"d": 10, "v": 10, "b": 2, "o": 8, "O": 8, "x": 16, "X": 16}
MAX_NUMBER = 1_000_000  # fmt refuses widths and precisions beyond


class Spec:
    """The flags, width and precision of one verb. For `%v`, `+` means fields and `#` syntax."""

    __slots__ = ("fields", "minus", "plus", "precision", "sharp", "space", "syntax", "width", "zero")

    def __init__(self) -> None:
        self.minus = self.plus = self.sharp = self.space = self.zero = False
        self.fields = self.syntax = False
        self.width: int | None = None
        self.precision: int | None = None

    def pad(self, text: str) -> str:
        if self.width is None or len(text) >= self.width:
            return text
        if self.minus:
            return text + " " * (self.width - len(text))
        return ("0" if self.zero else " ") * (self.width - len(text)) + text


PLAIN = Spec()


def sprint(values: list[object]) -> str:
    """Operands side by side, with a space between two of which neither is a string."""
    out = []
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            out.append(" ")
        out.append(format_value(value, "v", PLAIN))
    return "".join(out)


def sprintln(values: list[object]) -> str:
    return " ".join(format_value(value, "v", PLAIN) for value in values) + "\n"


def sprintf(template: str, values: list[object]) -> str:
    return _Printer(template, values).run()


class _Printer:
    """One run of Sprintf: the format, the operands, and which operand comes next."""

    def __init__(self, template: str, values: list[object]) -> None:
        self.template = template
        self.values = values
        self.index = 0
        self.argument = 0
        self.reordered = False
        self.good = True
        self.out: list[str] = []

    def run(self) -> str:
        while self.index < len(self.template):
            found = self.template.find("%", self.index)
            if found < 0:
                self.out.append(self.template[self.index :])
                break
            self.out.append(self.template[self.index : found])
            self.index = found + 1
            self._directive()
        if not self.reordered and self.argument < len(self.values):
            extra = ", ".join(_typed(value) for value in self.values[self.argument :])
            self.out.append(f"%!(EXTRA {extra})")
        return "".join(self.out)

    def _peek(self) -> str:
        return self.template[self.index : self.index + 1]

    def _directive(self) -> None:
        spec = Spec()
        self.good = True
        names = {"#": "sharp", "0": "zero", "+": "plus", "-": "minus", " ": "space"}
        while (flag := self._peek()) and flag in names:
            setattr(spec, names[flag], True)
            self.index += 1
        indexed = self._argument_number()
        spec.width, indexed = self._number(indexed, "WIDTH")
        if spec.width is not None and spec.width < 0:
            spec.width, spec.minus = -spec.width, True
        if self._peek() == ".":
            self.index += 1
            if indexed:
                self.good = False  # an index may not stand between width and point
            indexed = self._argument_number()
            spec.precision, indexed = self._number(indexed, "PREC")
            spec.precision = spec.precision or 0
        if not indexed:
            self._argument_number()
        spec.zero = spec.zero and not spec.minus
        if self._peek() == "v":
            spec.fields, spec.syntax = spec.plus, spec.sharp
            spec.plus = spec.sharp = False
        self._verb(spec)

    def _verb(self, spec: Spec) -> None:
        verb = self._peek()
        self.index += 1
        if not verb:
            self.out.append("%!(NOVERB)")
        elif verb == "%":
            self.out.append("%")
        elif not self.good:
            self.out.append(f"%!{verb}(BADINDEX)")
        elif self.argument >= len(self.values):
            self.out.append(f"%!{verb}(MISSING)")
        else:
            self.out.append(format_value(self.values[self.argument], verb, spec))
            self.argument += 1

    def _argument_number(self) -> bool:
        """An explicit `[n]`. Says whether there was one."""
        if self._peek() != "[":
            return False
        self.reordered = True
        end = self.template.find("]", self.index)
        digits = self.template[self.index + 1 : end] if end > 0 else ""
        self.index = end + 1 if end > 0 else self.index + 1
        if digits.isascii() and digits.isdigit() and 1 <= int(digits) <= len(self.values):
            self.argument = int(digits) - 1
        else:
            self.good = False
        return True

    def _number(self, indexed: bool, name: str) -> tuple[int | None, bool]:
        """A width or precision: digits, or `*` for an operand."""
        if self._peek() == "*":
            self.index += 1
            value = self.values[self.argument] if self.argument < len(self.values) else None
            self.argument += 1
            low = 0 if name == "PREC" else -MAX_NUMBER
            if isinstance(value, int) and not isinstance(value, bool) and low <= value <= MAX_NUMBER:
                return value, False
            self.out.append(f"%!(BAD{name})")
            return None, False
        start = self.index
        while self._peek() and self._peek() in "0123456789":
            self.index += 1
        digits = self.template[start : self.index]
        if not digits:
            return None, indexed
        if indexed:  # "%[3]2d"
            self.good = False
        return int(digits) if len(digits) < 8 and int(digits) <= MAX_NUMBER else None, indexed


def _typed(value: object) -> str:
    if value is None or value is NO_VALUE:
        return "<nil>"
    return f"{type_name(value)}={format_value(value, 'v', PLAIN)}"


def bad_verb(value: object, verb: str, spec: Spec = PLAIN) -> str:
    if value is None or value is NO_VALUE:
        return f"%!{verb}(<nil>)"
    return f"%!{verb}({type_name(value)}={format_value(value, 'v', spec)})"


def format_value(value: object, verb: str, spec: Spec) -> str:
    """One operand by one verb."""
    if verb == "T":
        return spec.pad("<nil>" if is_nil(value) and value is None else type_name(value))
    if value is None or value is NO_VALUE:
        return spec.pad("<nil>") if verb == "v" else bad_verb(value, verb)
    text = getattr(value, "go_string", None)
    if text is not None and verb in "vsqxX" and not spec.syntax:
        return _string(text(), value, verb, spec)
    match kind(value):
        case "bool":
            return spec.pad("true" if value else "false") if verb in "tv" else bad_verb(value, verb, spec)
        case "int" | "uint":
            return _integer(value, verb, spec)  # type: ignore[arg-type]
        case "float":
            return _float(value, verb, spec)  # type: ignore[arg-type]
        case "complex":
            return _complex(value, verb, spec)  # type: ignore[arg-type]
        case "string":
            return _string(value, value, verb, spec)  # type: ignore[arg-type]
    return _compound(value, verb, spec)


def _string(text: str, value: object, verb: str, spec: Spec) -> str:
    if spec.syntax:
        return spec.pad(quote(text))
    if verb not in "vsqxX":
        return bad_verb(value, verb, spec)
    if verb in "xX":
        return spec.pad(_hex(text, verb, spec))
    if spec.precision is not None:
        text = text[: spec.precision]
    if verb == "q":
        raw = spec.sharp and "`" not in text and all(c.isprintable() or c == "\t" for c in text)
        text = f"`{text}`" if raw else f'"{escape(text, chr(34), ascii_only=spec.plus)}"'
    return spec.pad(text)


def _hex(text: str, verb: str, spec: Spec) -> str:
    data = text.encode(errors="surrogateescape")[: spec.precision]
    prefix = "0x" if spec.sharp else ""
    digits = [f"{byte:02x}" for byte in data]
    if spec.space:
        shown = " ".join(prefix + pair for pair in digits)
    else:
        shown = (prefix if digits else "") + "".join(digits)
    return shown.upper() if verb == "X" else shown


def _integer(value: int, verb: str, spec: Spec) -> str:
    number = int(value)
    if verb == "c":
        return spec.pad(_character(number))
    if verb == "q":
        return spec.pad("'" + escape(_character(number), "'", ascii_only=spec.plus) + "'")
    if verb == "U":
        shown = (
            f" '{chr(number)}'"
            if spec.sharp and 0 <= number <= 0x10FFFF and chr(number).isprintable()
            else ""
        )
        return spec.pad(f"U+{number:04X}{shown}")
    base = INTEGER_BASES.get(verb)
    if base is None:
        return bad_verb(value, verb, spec)
    if spec.syntax and getattr(value, "unsigned", False):
        return spec.pad(f"0x{number:x}")
    digits = f"{abs(number):{ {10: 'd', 2: 'b', 8: 'o', 16: 'x'}[base] }}"
    sign = "-" if number < 0 else "+" if spec.plus else " " if spec.space else ""
    prefix = _integer_prefix(verb, digits, spec)
    if spec.precision is not None:
        digits = "" if spec.precision == 0 and number == 0 else digits.rjust(spec.precision, "0")
    elif spec.zero and spec.width is not None:
        digits = digits.rjust(spec.width - len(sign), "0")
    text = sign + prefix + digits
    text = text.upper() if verb == "X" else text
    if spec.zero and spec.precision is not None:
        return text.rjust(spec.width or 0)
    return spec.pad(text)


def _integer_prefix(verb: str, digits: str, spec: Spec) -> str:
    if verb == "O":
        return "0o"
    if not spec.sharp:
        return ""
    return {"b": "0b", "x": "0x", "X": "0x", "o": "" if digits.startswith("0") else "0"}.get(verb, "")


def _character(number: int) -> str:
    return chr(number) if 0 <= number <= 0x10FFFF and not 0xD800 <= number < 0xE000 else "\ufffd"


def _float(value: float, verb: str, spec: Spec) -> str:
    if verb in "bxX" and verb:
        text = value.hex() if verb != "X" else value.hex().upper()
        return spec.pad(text)
    if verb not in FLOAT_DIGITS:
        return bad_verb(value, verb, spec)
    text = float_text(value, verb, spec.precision if spec.precision is not None else FLOAT_DIGITS[verb])
    if spec.plus and text[0] not in "+-":
        text = "+" + text
    elif spec.space and text[0] not in "+-":
        text = " " + text
    if spec.zero and spec.width is not None and text[-1].isdigit():
        sign = text[0] if text[0] in "+- " else ""
        return sign + text[len(sign) :].rjust(spec.width - len(sign), "0")
    return spec.pad(text)


def float_text(value: float, verb: str, precision: int) -> str:
    """strconv.FormatFloat; a precision of -1 means as many digits as the value needs."""
    if value != value or value in (float("inf"), float("-inf")):
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}[str(value)]
    if precision >= 0 or verb in "efEF":
        return f"{value:.{max(precision, 0)}{'g' if verb == 'v' else verb}}"
    digits, power = _shortest(abs(value))
    sign = "-" if str(value).startswith("-") else ""
    if -4 <= power < 6:
        return sign + _positional(digits, power)
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{fraction}{'E' if verb == 'G' else 'e'}{power:+03d}"


def _shortest(value: float) -> tuple[str, int]:
    """The fewest digits that read back as `value`, and the power of ten of the first of them."""
    mantissa, _, exponent = repr(value).partition("e")
    whole, _, fraction = mantissa.partition(".")
    if whole != "0":
        power = len(whole) - 1
    else:
        power = len(fraction.lstrip("0")) - len(fraction) - 1
    digits = (whole + fraction).strip("0")
    return (digits, power + int(exponent or 0)) if digits else ("0", 0)


def _positional(digits: str, power: int) -> str:
    if power < 0:
        return "0." + "0" * (-power - 1) + digits
    whole = digits[: power + 1].ljust(power + 1, "0")
    fraction = digits[power + 1 :]
    return f"{whole}.{fraction}" if fraction else whole


def _complex(value: complex, verb: str, spec: Spec) -> str:
    if verb not in FLOAT_DIGITS:
        return bad_verb(value, verb, spec)
    signed = Spec()
    signed.plus = True
    signed.precision = spec.precision
    return spec.pad(f"({_float(value.real, verb, PLAIN)}{_float(value.imag, verb, signed)}i)")


def _compound(value: object, verb: str, spec: Spec) -> str:
    if spec.syntax:
        return _go_syntax(value, spec)
    if isinstance(value, list):
        return "[" + " ".join(format_value(element, verb, spec) for element in value) + "]"
    if isinstance(value, dict):
        pairs = (f"{format_value(k, verb, spec)}:{format_value(value[k], verb, spec)}" for k in sorted(value))
        return "map[" + " ".join(pairs) + "]"
    if isinstance(value, Struct):
        if spec.fields:
            inner = (f"{name}:{format_value(field, verb, spec)}" for name, field in value.fields.items())
        else:
            inner = (format_value(field, verb, spec) for field in value.fields.values())
        return "{" + " ".join(inner) + "}"
    if isinstance(value, NilPointer):
        return spec.pad("<nil>") if verb == "v" else bad_verb(None, verb)
    return spec.pad(f"{{{type_name(value)}}}" if not isinstance(value, Function) else "func()")


def _go_syntax(value: object, spec: Spec) -> str:
    name = type_name(value)
    if is_nil(value):
        return f"{name}(nil)" if not isinstance(value, NilPointer) else f"({name})(nil)"
    if isinstance(value, list):
        return f"{name}{{" + ", ".join(format_value(element, "v", spec) for element in value) + "}"
    if isinstance(value, dict):
        pairs = (f"{quote(str(k))}:{format_value(value[k], 'v', spec)}" for k in sorted(value))
        return f"{name}{{" + ", ".join(pairs) + "}"
    if isinstance(value, Struct):
        inner = (f"{key}:{format_value(field, 'v', spec)}" for key, field in value.fields.items())
        return ("&" if value.pointer else "") + value.element + "{" + ", ".join(inner) + "}"
    return name
