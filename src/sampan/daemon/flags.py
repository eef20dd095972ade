"""The daemon's command line, parsed as dockerd's flag library (pflag) does.

Takes `--flag value`, `--flag=value`, `-H value`, `-Hvalue` and joined short switches (`-Dl debug`); lists and
maps may repeat. Table-driven and small: argparse alone would add half a megabyte to the idle engine.
"""

from __future__ import annotations

from sampan import errors
from sampan.daemon.options import (
    BOOL,
    DEFAULT_CONFIG_FILE,
    INT,
    LIST,
    MAP,
    STRING,
    TABLE,
    UNSUPPORTED,
    Option,
    Value,
)
from sampan.records import dataclass, field

# Flags that have no key in daemon.json.
_OWN = (
    Option("config-file", STRING, "Daemon configuration file", DEFAULT_CONFIG_FILE),
    Option("help", BOOL, "Print usage"),
    Option("validate", BOOL, "Validate daemon configuration and exit"),
    Option("version", BOOL, "Print version information and quit", short="v"),
)
_FLAGS = sorted((*TABLE, *_OWN), key=lambda option: option.name)
_LONG = {option.name: option for option in _FLAGS}
_SHORT = {option.short: option for option in _FLAGS if option.short}

_BOOLEANS = dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "FALSE", "false", "False"), False
)


_TITLE = """Usage:  sampan daemon [OPTIONS]

The engine: runs containers and serves Docker's API."""


class UsageError(errors.InvalidArgument):
    """The command line is wrong (exit status 125, as the docker CLI's)."""


@dataclass(slots=True)
class Flags:
    """What the command line says: `given` holds the values by key in daemon.json."""

    given: dict[str, Value] = field(default_factory=dict)

    @property
    def config_file(self) -> str:
        return str(self.given.get("config-file", DEFAULT_CONFIG_FILE))

    def wants(self, switch: str) -> bool:
        """Whether `--help`, `--validate` or `--version` was given."""
        return self.given.get(switch) is True

    def configuration(self) -> dict[str, Value]:
        """The values that could stand in daemon.json too."""
        own = {option.key for option in _OWN}
        return {key: value for key, value in self.given.items() if key not in own}


def parse(arguments: list[str]) -> Flags:
    """The flags in `arguments`. Raises UsageError in pflag's words."""
    flags = Flags()
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word.startswith("--") and len(word) > 2:
            _long(word[2:], rest, flags)
        elif word.startswith("-") and word not in ("-", "--"):
            _short(word[1:], rest, flags)
        elif word != "--" or rest:
            raise UsageError('"sampan daemon" accepts no arguments.')
    return flags


def _long(word: str, rest: list[str], flags: Flags) -> None:
    name, equals, value = word.partition("=")
    option = _LONG.get(name)
    if option is None:
        if name in UNSUPPORTED:
            raise UsageError(f"flag is not supported: --{name}")
        raise UsageError(f"unknown flag: --{name}")
    if not equals:
        if option.kind == BOOL:
            value = "true"
        elif rest:
            value = rest.pop(0)
        else:
            raise UsageError(f"flag needs an argument: --{name}")
    _set(option, value, flags)


def _short(letters: str, rest: list[str], flags: Flags) -> None:
    word = letters
    while letters:
        letter, letters = letters[0], letters[1:]
        option = _SHORT.get(letter)
        if option is None:
            raise UsageError(f"unknown shorthand flag: '{letter}' in -{word}")
        if letters.startswith("="):
            _set(option, letters[1:], flags)
            return
        if option.kind == BOOL:
            _set(option, "true", flags)
            continue
        if not letters and not rest:
            raise UsageError(f"flag needs an argument: '{letter}' in -{word}")
        _set(option, letters or rest.pop(0), flags)
        return


def _set(option: Option, text: str, flags: Flags) -> None:
    title = f"-{option.short}, --{option.name}" if option.short else f"--{option.name}"
    try:
        value = _convert(option, text)
        if option.check is not None:
            option.check(text)
    except errors.InvalidArgument as error:
        raise UsageError(f'invalid argument "{text}" for "{title}" flag: {error}') from None
    before = flags.given.get(option.key)
    if isinstance(before, list) and isinstance(value, list):
        value = [*before, *value]
    elif isinstance(before, dict) and isinstance(value, dict):
        value = before | value
    flags.given[option.key] = value


def _convert(option: Option, text: str) -> Value:
    if option.kind == BOOL:
        if text not in _BOOLEANS:
            raise errors.InvalidArgument(f'strconv.ParseBool: parsing "{text}": invalid syntax')
        return _BOOLEANS[text]
    if option.kind == INT:
        if not (text.isascii() and text.removeprefix("-").isdigit()):
            raise errors.InvalidArgument(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        return int(text)
    if option.kind == LIST:
        return [text]
    if option.kind == MAP:
        key, _, value = text.partition("=")
        return {key: value}
    return text


def usage() -> str:
    """The text of `--help`."""
    rows = []
    for option in _FLAGS:
        short = f"-{option.short}, " if option.short else "    "
        kind = {BOOL: "", LIST: " list", MAP: " map"}.get(option.kind, f" {option.kind}")
        default = option.default
        shown = f" (default {default!r})".replace("'", '"') if default not in (None, False, "") else ""
        rows.append((f"  {short}--{option.name}{kind}", option.help + shown))
    width = max(len(left) for left, _ in rows)
    table = "\n".join(f"{left:<{width}}   {right}" for left, right in rows)
    return f"{_TITLE}\n\nOptions:\n{table}"
