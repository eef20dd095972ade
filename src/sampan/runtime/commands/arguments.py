"""The command line's grammar: runc's, which is that of Go's urfave/cli.

Owns parsing and the help texts. An option may be written with one or two dashes, its value after "=" or a
space; options end at the first word that is none, so that `exec ID ls -l` needs no "--".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sampan import errors
from sampan.records import dataclass


class UsageError(errors.InvalidArgument):
    """The command line is wrong; the help text follows the message."""


@dataclass(frozen=True, slots=True)
class Option:
    """`names` without dashes, the long one first. A flag takes no value; a repeated option keeps all its
    values.
    """

    names: tuple[str, ...]
    help: str
    flag: bool = False
    repeated: bool = False

    @property
    def name(self) -> str:
        return self.names[0]


@dataclass(frozen=True, slots=True)
class Global:
    """The options before the command."""

    root: str
    log: str
    log_format: str
    debug: bool


@dataclass(frozen=True, slots=True)
class Arguments:
    """What was parsed: options by their long names, and the words after them."""

    settings: Global
    values: dict[str, list[str]]
    words: tuple[str, ...]

    def text(self, name: str, default: str = "") -> str:
        return self.values[name][-1] if name in self.values else default

    def flag(self, name: str) -> bool:
        return name in self.values and self.values[name][-1] == "true"

    def all(self, name: str) -> tuple[str, ...]:
        return tuple(self.values.get(name, ()))

    def given(self, name: str) -> bool:
        return name in self.values

    def number(self, name: str) -> int | None:
        if name not in self.values:
            return None
        text = self.values[name][-1]
        try:
            return int(text, 10)
        except ValueError:
            raise UsageError(f'invalid value "{text}" for flag -{name}: parse error') from None


@dataclass(frozen=True, slots=True)
class Command:
    """One verb. `words` are the least and the most words after the options. `run` returns the exit code."""

    name: str
    usage: str
    summary: str
    run: Callable[[Arguments], int]
    options: tuple[Option, ...] = ()
    words: tuple[int, int | None] = (1, 1)
    failure_code: int = 1
    prefix: str = ""  # before its error messages, as in runc: "exec failed: "

    def help(self) -> str:
        options = "[command options] " if self.options else ""
        lines = [
            f"NAME:\n   sampan-runtime {self.name} - {self.summary}\n",
            f"USAGE:\n   sampan-runtime {self.name} {options}{self.usage}\n",
        ]
        if self.options:
            lines.append("OPTIONS:\n" + option_help(self.options))
        return "\n".join(lines)

    def check(self, words: Sequence[str]) -> None:
        least, most = self.words
        if least == most and len(words) != least:
            raise UsageError(f'sampan-runtime: "{self.name}" requires exactly {least} argument(s)')
        if len(words) < least:
            raise UsageError(f'sampan-runtime: "{self.name}" requires a minimum of {least} argument(s)')
        if most is not None and len(words) > most:
            raise UsageError(f'sampan-runtime: "{self.name}" requires a maximum of {most} argument(s)')


def option_help(options: Sequence[Option]) -> str:
    def label(option: Option) -> str:
        names = (f"--{name}" if len(name) > 1 else f"-{name}" for name in option.names)
        return ", ".join(name if option.flag else f"{name} value" for name in names)

    width = max(len(label(option)) for option in options)
    return "".join(f"   {label(option):<{width}}  {option.help}\n" for option in options)


def parse(options: Sequence[Option], words: Sequence[str]) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """Split words into option values, by long name, and the rest."""
    known = {name: option for option in options for name in option.names}
    values: dict[str, list[str]] = {}
    rest = list(words)
    while rest:
        word = rest[0]
        if word == "--":
            rest.pop(0)
            break
        if not word.startswith("-") or word == "-":
            break
        rest.pop(0)
        name, equals, value = word.lstrip("-").partition("=")
        if name not in known:
            raise UsageError(f"flag provided but not defined: -{name}")
        option = known[name]
        if option.flag:
            value = value if equals else "true"
            if value not in ("true", "false"):
                raise UsageError(f'invalid boolean value "{value}" for -{name}: parse error')
        elif not equals:
            if not rest:
                raise UsageError(f"flag needs an argument: -{name}")
            value = rest.pop(0)
        if option.repeated:
            values.setdefault(option.name, []).append(value)
        else:
            values[option.name] = [value]
    return values, tuple(rest)
