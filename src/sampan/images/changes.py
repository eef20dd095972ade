"""`--change` of `docker import` and `docker commit`: Dockerfile instructions that edit a configuration.

Owns the instructions that Docker allows there (moby, builder/dockerfile: `validCommitCommands`), how their
lines are read, and the words in which a wrong one is refused. Pure. The lexing rules are in the Dockerfile
reference, "Format".
"""

from __future__ import annotations

import copy
import json
import posixpath
import signal
from collections.abc import Callable, Sequence
from typing import Any

from sampan import errors
from sampan.images.shellwords import ESCAPE, expand, expand_words
from sampan.records import dataclass, field
from sampan.wire import gotime

Config = dict[str, Any]
_BLANKS = " \t\r\v\f"
_DEFAULT_SHELL = ["/bin/sh", "-c"]
_MINIMUM_INTERVAL = 1_000_000
_MAX_PORT = 65535


@dataclass(slots=True)
class _Instruction:
    """One instruction: `name` in capitals, its flags, and the rest of its line."""

    name: str
    flags: list[str]
    rest: str


@dataclass(slots=True)
class _State:
    """The configuration on its way, and what the instructions have to know of each other."""

    config: Config
    has_command: bool = False
    seen_flags: dict[str, str] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        """The environment as it is before the instruction."""
        return dict(one.partition("=")[::2] for one in self.config.get("Env") or [])


def apply_changes(config: Config, changes: Sequence[str]) -> Config:
    """Return the configuration after the instructions; raises InvalidArgument for one that is wrong."""
    state = _State(copy.deepcopy(config))
    if not changes:
        return state.config
    instructions = _parse("\n".join(changes))
    for instruction in instructions:
        if instruction.name not in _INSTRUCTIONS:
            raise errors.InvalidArgument(f"{instruction.name.lower()} is not a valid change command")
    for instruction in instructions:
        state.seen_flags = _read_flags(instruction)
        _INSTRUCTIONS[instruction.name](state, instruction)
    return state.config


# Lines


def _parse(text: str) -> list[_Instruction]:
    instructions = [_instruction(line) for line in _logical_lines(text)]
    if not instructions:
        raise errors.InvalidArgument("file with no instructions")
    return instructions


def _logical_lines(text: str) -> list[str]:
    """Join continued lines; comments and empty lines go, even between the parts of one instruction."""
    lines: list[str] = []
    current = ""
    for raw in text.split("\n"):
        line = raw.rstrip("\r")
        bare = line.strip(_BLANKS)
        if not bare or bare.startswith("#"):
            continue
        stripped = line.rstrip(" \t")
        if stripped.endswith(ESCAPE) and not stripped.endswith(ESCAPE * 2):
            current += stripped[:-1]
            continue
        lines.append((current + line).strip(_BLANKS))
        current = ""
    if current.strip(_BLANKS):
        lines.append(current.strip(_BLANKS))
    return lines


def _instruction(line: str) -> _Instruction:
    name, rest = _first_word(line)
    flags = []
    while rest.startswith("--"):
        flag, rest = _first_word(rest)
        if flag == "--":
            break
        flags.append(flag[2:])
    return _Instruction(name.upper(), flags, rest)


def _first_word(text: str) -> tuple[str, str]:
    end = next((at for at, character in enumerate(text) if character in _BLANKS), len(text))
    return text[:end], text[end:].strip(_BLANKS)


def _read_flags(instruction: _Instruction) -> dict[str, str]:
    known = _HEALTHCHECK_FLAGS if instruction.name == "HEALTHCHECK" else frozenset[str]()
    values: dict[str, str] = {}
    for flag in instruction.flags:
        name, equals, value = flag.partition("=")
        if name not in known:
            raise errors.InvalidArgument(f"Unknown flag: {name}")
        if not equals:
            raise errors.InvalidArgument(f"Missing a value on flag: {name}")
        if name in values:
            raise errors.InvalidArgument(f"Duplicate flag specified: {name}")
        values[name] = value
    return values


def _json_list(rest: str) -> list[str] | None:
    """Return the strings of the JSON form; None when it is not JSON, which makes it the shell form."""
    if not rest.startswith("["):
        return None
    try:
        # What stands behind the list is ignored, as Go's decoder does.
        values, _ = json.JSONDecoder().raw_decode(rest)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(value, str) for value in values):
        raise errors.InvalidArgument("when using JSON array syntax, arrays must be comprised of strings only")
    return list(values)


def _words(rest: str) -> list[str]:
    """Part at blanks outside of quotes; quotes and backslashes stay for the expansion."""
    words: list[str] = []
    current, quote, at = "", "", 0
    while at < len(rest):
        character = rest[at]
        at += 1
        if not quote and character in _BLANKS:
            if current:
                words.append(current)
            current = ""
            continue
        if character == ESCAPE and quote != "'" and at < len(rest):
            character += rest[at]
            at += 1
        elif character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        current += character
    return [*words, current] if current else words


def _at_least_one(instruction: _Instruction) -> None:
    if not instruction.rest:
        raise errors.InvalidArgument(f"{instruction.name} requires at least one argument")


def _exactly_one(instruction: _Instruction) -> None:
    if not instruction.rest:
        raise errors.InvalidArgument(f"{instruction.name} requires exactly one argument")


# Instructions


def _cmd(state: _State, instruction: _Instruction) -> None:
    state.config["Cmd"] = _command_line(state, instruction.rest)
    state.has_command = True


def _entrypoint(state: _State, instruction: _Instruction) -> None:
    state.config["Entrypoint"] = _command_line(state, instruction.rest) if instruction.rest else None
    if not state.has_command:
        # A command that was meant for another entry point makes no sense for this one.
        state.config["Cmd"] = None


def _command_line(state: _State, rest: str) -> list[str]:
    words = _json_list(rest)
    if words is not None:
        return words
    shell = list(state.config.get("Shell") or _DEFAULT_SHELL)
    return [*shell, rest] if rest else shell


def _pairs(state: _State, instruction: _Instruction) -> list[tuple[str, str]]:
    """Read `name=value …`, or the old form of one name and the rest of the line."""
    _at_least_one(instruction)
    words = _words(instruction.rest)
    if "=" not in words[0]:
        name, value = _first_word(instruction.rest)
        if not value:
            raise errors.InvalidArgument(f"{instruction.name} must have two arguments")
        raw = [(name, value)]
    else:
        raw = []
        for word in words:
            name, equals, value = word.partition("=")
            if not equals:
                raise errors.InvalidArgument(
                    f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value'
                )
            raw.append((name, value))
    variables = state.variables
    pairs = [(expand(name, variables), expand(value, variables)) for name, value in raw]
    if any(not name for name, _ in pairs):
        raise errors.InvalidArgument(f"{instruction.name} names can not be blank")
    return pairs


def _env(state: _State, instruction: _Instruction) -> None:
    environment: list[str] = list(state.config.get("Env") or [])
    for name, value in _pairs(state, instruction):
        names = [one.partition("=")[0] for one in environment]
        if name in names:
            environment[names.index(name)] = f"{name}={value}"
        else:
            environment.append(f"{name}={value}")
    state.config["Env"] = environment


def _label(state: _State, instruction: _Instruction) -> None:
    labels = {**(state.config.get("Labels") or {}), **dict(_pairs(state, instruction))}
    state.config["Labels"] = dict(sorted(labels.items()))


def _user(state: _State, instruction: _Instruction) -> None:
    _exactly_one(instruction)
    state.config["User"] = expand(instruction.rest, state.variables)


def _workdir(state: _State, instruction: _Instruction) -> None:
    _exactly_one(instruction)
    folder = expand(instruction.rest, state.variables)
    if not folder.startswith("/"):
        before = state.config.get("WorkingDir") or ""
        # Three slashes keep normpath from the two that POSIX allows to mean something else.
        folder = posixpath.normpath(f"///{before}/{folder}")
    state.config["WorkingDir"] = folder


def _volume(state: _State, instruction: _Instruction) -> None:
    words = _json_list(instruction.rest)
    words = instruction.rest.split() if words is None else words
    if not words:
        raise errors.InvalidArgument("VOLUME requires at least one argument")
    volumes = dict(state.config.get("Volumes") or {})
    for word in words:
        path = expand(word, state.variables).strip()
        if not path:
            raise errors.InvalidArgument("VOLUME specified can not be an empty string")
        volumes[path] = {}
    state.config["Volumes"] = dict(sorted(volumes.items()))


def _expose(state: _State, instruction: _Instruction) -> None:
    _at_least_one(instruction)
    ports = dict(state.config.get("ExposedPorts") or {})
    for word in expand_words(instruction.rest, state.variables):
        ports.update({port: {} for port in _ports(word)})
    state.config["ExposedPorts"] = dict(sorted(ports.items()))


def _ports(text: str) -> list[str]:
    """Read `[[ip:]hostPort:]containerPort[-end][/protocol]`; only the container's ports count."""
    numbers, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    host, _, container = numbers.rpartition(":")
    if not container:
        raise errors.InvalidArgument(f"No port specified: {text}<empty>")
    span = _port_range(container, f"Invalid containerPort: {container}")
    host_port = host.rpartition(":")[2]
    if host_port:
        _port_range(host_port, f"Invalid hostPort: {host_port}")
    if protocol not in ("tcp", "udp", "sctp"):
        raise errors.InvalidArgument(f"Invalid proto: {protocol}")
    return [f"{number}/{protocol}" for number in span]


def _port_range(text: str, complaint: str) -> range:
    first, dash, last = text.partition("-")
    numbers = [first, last] if dash else [first, first]
    if not all(one.isascii() and one.isdigit() and int(one[:9]) <= _MAX_PORT for one in numbers):
        raise errors.InvalidArgument(complaint)
    start, end = int(numbers[0]), int(numbers[1])
    if end < start:
        raise errors.InvalidArgument(complaint)
    return range(start, end + 1)


def _onbuild(state: _State, instruction: _Instruction) -> None:
    _at_least_one(instruction)
    trigger = _first_word(instruction.rest)[0].upper()
    if trigger == "ONBUILD":
        raise errors.InvalidArgument("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("FROM", "MAINTAINER"):
        raise errors.InvalidArgument(f"{trigger} isn't allowed as an ONBUILD trigger")
    state.config["OnBuild"] = [*(state.config.get("OnBuild") or []), instruction.rest]


def _stopsignal(state: _State, instruction: _Instruction) -> None:
    _exactly_one(instruction)
    name = expand(instruction.rest, state.variables)
    if not _is_signal(name):
        raise errors.InvalidArgument(f"Invalid signal: {name}")
    state.config["StopSignal"] = name


def _is_signal(text: str) -> bool:
    if text.isascii() and text.isdigit():
        return 0 < int(text[:9]) <= signal.SIGRTMAX
    name = text.upper().removeprefix("SIG")
    for anchor, sign in (("RTMIN", "+"), ("RTMAX", "-")):
        offset = name.removeprefix(anchor + sign)
        if offset != name:
            return (
                offset.isascii() and offset.isdigit() and int(offset[:9]) <= signal.SIGRTMAX - signal.SIGRTMIN
            )
    return f"SIG{name}" in signal.Signals.__members__


_HEALTHCHECK_FLAGS = frozenset(("interval", "timeout", "start-period", "start-interval", "retries"))


def _healthcheck(state: _State, instruction: _Instruction) -> None:
    _at_least_one(instruction)
    kind, rest = _first_word(instruction.rest)
    if kind.upper() == "NONE":
        if rest:
            raise errors.InvalidArgument("HEALTHCHECK NONE takes no arguments")
        state.config["Healthcheck"] = {"Test": ["NONE"]}
        return
    if kind.upper() != "CMD":
        raise errors.InvalidArgument(f'Unknown type "{kind.upper()}" in HEALTHCHECK (try CMD)')
    words = _json_list(rest)
    if not rest or words == []:
        raise errors.InvalidArgument("Missing command after HEALTHCHECK CMD")
    check: Config = {"Test": ["CMD-SHELL", rest] if words is None else ["CMD", *words]}
    for key, name in (
        ("Interval", "interval"),
        ("Timeout", "timeout"),
        ("StartPeriod", "start-period"),
        ("StartInterval", "start-interval"),
    ):
        if duration := _interval(name, state.seen_flags.get(name, "")):
            check[key] = duration
    if "retries" in state.seen_flags:
        check["Retries"] = _retries(state.seen_flags["retries"])
    state.config["Healthcheck"] = check


def _interval(name: str, text: str) -> int:
    if not text:
        return 0
    try:
        duration = gotime.parse_duration(text)
    except ValueError as error:
        raise errors.InvalidArgument(str(error)) from error
    if duration and duration < _MINIMUM_INTERVAL:
        raise errors.InvalidArgument(f'Interval "{name}" cannot be less than 1ms')
    return duration


def _retries(text: str) -> int:
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise errors.InvalidArgument(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if int(text) < 1:
        raise errors.InvalidArgument(f"--retries must be at least 1 (not {int(text)})")
    return int(text)


_INSTRUCTIONS: dict[str, Callable[[_State, _Instruction], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
