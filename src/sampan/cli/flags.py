"""Commands and their flags: tables in, parsed options out, with the rules and texts of Docker's parser
(pflag).

A flag is a tuple `(name, shorthand, type, usage, default)`; the last is optional, and a `usage` of None hides
the flag from help. The type is also what help shows. This module reads the plain ones (bool, string, int,
uint16, list, strings, filter); a command brings `convert` for the others, by the name of the flag or of the
type: functions from the text to a value, which raise ValueError in Docker's words.

Imported by every command: tables are constants, so a hundred flags cost nothing until they are parsed.
"""

from __future__ import annotations

from sampan.cli.failure import PROGRAM, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sampan.cli.context import Context

    Flag = tuple[str, str, str, str | None] | tuple[str, str, str, str | None, object]
    Run = Callable[[Context, "Options", list[str]], int]

TRUE = frozenset(["1", "t", "T", "TRUE", "true", "True"])
FALSE = frozenset(["0", "f", "F", "FALSE", "false", "False"])
REPEATED = frozenset(["list", "strings", "map", "filter", "mount", "network", "ulimit", "gpu-request"])
INTEGER_BITS = {"int": 64, "uint16": 16, "uint": 64}


class Command:
    """One verb: how it is called, what it says in help, its flags, how many arguments it takes, and what it
    does.
    """

    __slots__ = ("aliases", "convert", "flags", "interspersed", "maximum", "minimum", "run", "short", "usage")

    def __init__(
        self,
        usage: str,
        short: str,
        run: Run,
        *,
        aliases: Sequence[str] = (),
        flags: Sequence[Flag] = (),
        convert: Mapping[str, Callable[[str], object]] | None = None,
        minimum: int = 0,
        maximum: int | None = None,
        interspersed: bool = True,
    ) -> None:
        self.usage = usage
        self.short = short
        self.run = run
        self.aliases = aliases
        self.flags = flags
        self.convert = convert or {}
        self.minimum = minimum
        self.maximum = maximum
        self.interspersed = interspersed


class Options:
    """The parsed flags of one call, by name, each getter for one type of flag."""

    __slots__ = ("_values", "changed")

    def __init__(self, values: dict[str, object]) -> None:
        self._values = values
        self.changed: set[str] = set()

    def flag(self, name: str) -> bool:
        return bool(self._values.get(name, False))

    def text(self, name: str) -> str:
        return str(self._values.get(name, ""))

    def number(self, name: str) -> int:
        value = self._values.get(name, 0)
        assert isinstance(value, int)
        return value

    def items(self, name: str) -> list[str]:
        """All texts of a flag that may be given several times, in their order."""
        return [str(item) for item in self.values(name)]

    def values(self, name: str) -> list[object]:
        """The same for a flag whose texts were converted to something else."""
        found = self._values.get(name)
        return list(found) if isinstance(found, list) else []

    def get(self, name: str) -> object:
        return self._values.get(name)

    def set(self, name: str, value: object) -> None:
        self._values[name] = value
        self.changed.add(name)


class FlagError(Exception):
    """The flags are wrong; the message is Docker's."""


class HelpWanted(Exception):
    """`--help` was given."""


def parse(command: Command, arguments: list[str]) -> tuple[Options, list[str]]:
    """The options and the positional arguments. Raises FlagError or HelpWanted."""
    return _Parser(command).run(arguments)


class _Parser:
    def __init__(self, command: Command) -> None:
        self.command = command
        self.by_name: dict[str, Flag] = {}
        self.by_letter: dict[str, Flag] = {}
        values: dict[str, object] = {}
        for flag in command.flags:
            self.by_name[flag[0]] = flag
            if flag[1]:
                self.by_letter[flag[1]] = flag
            if len(flag) > 4:
                values[flag[0]] = flag[4]
        self.options = Options(values)

    def run(self, arguments: list[str]) -> tuple[Options, list[str]]:
        positional: list[str] = []
        rest = list(reversed(arguments))
        while rest:
            argument = rest.pop()
            if argument == "--":
                positional += reversed(rest)
                break
            if len(argument) < 2 or argument[0] != "-":
                positional.append(argument)
                if not self.command.interspersed:
                    positional += reversed(rest)
                    break
            elif argument[1] == "-":
                self._long(argument, rest)
            else:
                self._short(argument, rest)
        return self.options, positional

    def _long(self, argument: str, rest: list[str]) -> None:
        name, equals, value = argument[2:].partition("=")
        if not name or name[0] == "-":
            raise FlagError(f"bad flag syntax: {argument}")
        flag = self.by_name.get(name)
        if flag is None:
            if name == "help":
                self._help(value if equals else "true")
                return
            raise FlagError(f"unknown flag: --{name}")
        if not equals:
            if flag[2] == "bool":
                value = "true"
            elif rest:
                value = rest.pop()
            else:
                raise FlagError(f"flag needs an argument: --{name}")
        self._set(flag, value)

    def _short(self, argument: str, rest: list[str]) -> None:
        letters = argument[1:]
        while letters:
            letter, following = letters[0], letters[1:]
            flag = self.by_letter.get(letter)
            if flag is None:
                if letter == "h":
                    raise HelpWanted("Flag shorthand -h has been deprecated, use --help\n")
                raise FlagError(f"unknown shorthand flag: '{letter}' in -{letters}")
            if following[:1] == "=" and len(following) > 1:
                value, letters = following[1:], ""
            elif flag[2] == "bool":
                value, letters = "true", following
            elif following:
                value, letters = following, ""
            elif rest:
                value, letters = rest.pop(), ""
            else:
                raise FlagError(f"flag needs an argument: '{letter}' in -{letters}")
            self._set(flag, value)

    def _help(self, text: str) -> None:
        try:
            if parse_bool(text):
                raise HelpWanted("")
        except ValueError as error:
            raise FlagError(f'invalid argument "{text}" for "--help" flag: {error}') from None

    def _set(self, flag: Flag, text: str) -> None:
        name, letter, kind = flag[:3]
        try:
            value = self._convert(name, kind, text)
        except ValueError as error:
            shown = f"-{letter}, --{name}" if letter else f"--{name}"
            raise FlagError(f'invalid argument "{_escaped(text)}" for "{shown}" flag: {error}') from None
        if kind in REPEATED:
            values = self.options.values(name) + (value if isinstance(value, list) else [value])
            self.options.set(name, values)
        else:
            self.options.set(name, value)

    def _convert(self, name: str, kind: str, text: str) -> object:
        if kind == "bool":
            return parse_bool(text)
        if kind in INTEGER_BITS:
            return parse_integer(text, INTEGER_BITS[kind], signed=kind == "int")
        convert = self.command.convert.get(name) or self.command.convert.get(kind)
        if convert is not None:
            return convert(text)
        if kind == "filter":
            return parse_filter(text)
        if kind == "strings":
            return text.split(",")
        return text


def _escaped(text: str) -> str:
    """The inside of Go's %q, for what users type."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")


def parse_bool(text: str) -> bool:
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def parse_integer(text: str, bits: int = 64, signed: bool = True) -> int:
    """strconv.ParseInt or ParseUint with base 0: prefixes 0x, 0o, 0b and a leading 0 for octal."""
    function = "ParseInt" if signed else "ParseUint"
    digits = text[1:] if signed and text[:1] in ("-", "+") else text
    try:
        if not digits or not digits[0].isdigit() or not digits.isascii():
            raise ValueError
        octal = len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567_"
        value = int(digits, 8 if octal else 0)
    except ValueError:
        raise ValueError(f'strconv.{function}: parsing "{text}": invalid syntax') from None
    value = -value if text[0] == "-" else value
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if not low <= value <= high:
        raise ValueError(f'strconv.{function}: parsing "{text}": value out of range')
    return value


def parse_filter(text: str) -> str:
    """`name=value` with spaces trimmed and the name in lower case."""
    if not text:
        return ""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("bad format of filter (expected name=value)")
    return f"{name.strip().lower()}={value.strip()}"


def filters(options: Options, name: str = "filter") -> dict[str, dict[str, bool]]:
    """The filters as the API wants them: {"status": {"running": true, "paused": true}}."""
    found: dict[str, dict[str, bool]] = {}
    for item in options.items(name):
        if item:
            key, _, value = item.partition("=")
            found.setdefault(key, {})[value] = True
    return found


def check_arguments(command: Command, path: str, count: int) -> None:
    """Docker's complaint about too few or too many arguments."""
    low, high = command.minimum, command.maximum
    if low <= count and (high is None or count <= high):
        return
    verb = "Run"
    if high == 0:
        wanted = "accepts no arguments"
    elif low == high:
        wanted = f"requires {low} argument{'s' * (low != 1)}"
    elif high is None:
        wanted, verb = f"requires at least {low} argument{'s' * (low != 1)}", "See"
    elif low == 0:
        wanted = f"requires at most {high} argument{'s' * (high != 1)}"
    else:
        wanted = f"requires at least {low} and at most {high} arguments"
    raise Failure(
        f"{PROGRAM}: '{PROGRAM} {path}' {wanted}\n\nUsage:  {use_line(command, path)}\n\n"
        f"{verb} '{PROGRAM} {path} --help' for more information"
    )


def use_line(command: Command, path: str) -> str:
    return f"{PROGRAM} {path} {command.usage}".rstrip()
