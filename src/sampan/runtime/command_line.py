"""`sampan-runtime`: the options before the command, the choice of the command, and how errors are shown and
logged.

Verbs are imported when they are asked for. Everything is as in runc, since containerd and others parse it:
wording, exit codes, and the error as the last line of `--log`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Sequence

import sampan
from sampan import errors
from sampan.runtime import sealed
from sampan.runtime.commands.arguments import (
    Arguments,
    Command,
    Global,
    Option,
    UsageError,
    option_help,
    parse,
)
from sampan.runtime.version import OCI_VERSION

VERBS = [
    "create",
    "delete",
    "exec",
    "kill",
    "list",
    "pause",
    "ps",
    "resume",
    "run",
    "spec",
    "start",
    "state",
    "update",
]

# Verbs that start or join containers: they run from an interpreter that no container can write to.
_SEALED = frozenset(("create", "exec", "run"))

DEFAULT_ROOT = "/run/sampan-runtime"

_OPTIONS = (
    Option(("debug",), "log the plan before it is carried out", flag=True),
    Option(("log",), "set the log file to write logs to (default is '/dev/stderr')"),
    Option(("log-format",), "set the log format ('text' (default), or 'json')"),
    Option(("root",), f'root directory for storage of container state (default: "{DEFAULT_ROOT}")'),
    Option(("systemd-cgroup",), "not supported yet", flag=True),
    Option(("rootless",), "not supported yet: 'auto' and 'false' are what it does"),
    Option(("help", "h"), "show help", flag=True),
    Option(("version", "v"), "print the version", flag=True),
)


def main(script: str, words: Sequence[str]) -> int:
    """Do one command; returns the exit code. `script` is what a sealed interpreter has to be given to come
    back here.
    """
    settings = Global(DEFAULT_ROOT, "", "text", False)
    try:
        values, rest = parse(_OPTIONS, words)
        given = Arguments(settings, values, rest)
        settings = Global(
            given.text("root", DEFAULT_ROOT),
            given.text("log"),
            given.text("log-format", "text"),
            given.flag("debug"),
        )
        _check_globals(given, settings)
    except errors.SampanError as error:
        return fail(settings, error.message)
    if given.flag("version"):
        print(f"sampan-runtime version {sampan.__version__}\nspec: {OCI_VERSION}")
        return 0
    if not rest or given.flag("help") or rest[0] == "help":
        print(_help(), end="")
        return 0
    if rest[0] not in VERBS:
        return fail(settings, f"No help topic for '{rest[0]}'", 3)
    if rest[0] in _SEALED:
        # Before its module and all that it needs is loaded: it will be, in the other interpreter.
        try:
            sealed.seal([script, *words])
        except OSError as error:
            return fail(settings, f"unable to seal the interpreter: {_text(error)}")
    command: Command = importlib.import_module(f"sampan.runtime.commands.{rest[0]}").COMMAND
    return _run(command, settings, rest[1:])


def _run(command: Command, settings: Global, rest: Sequence[str]) -> int:
    try:
        if any(word in ("--help", "-h", "-help") for word in rest[:1]):
            print(command.help(), end="")
            return 0
        values, left = parse(command.options, rest)
        command.check(left)
        return command.run(Arguments(settings, values, left))
    except UsageError as error:
        print(f"Incorrect Usage: {error.message}\n\n{command.help()}", file=sys.stderr)
        return fail(settings, error.message, command.failure_code)
    except errors.SampanError as error:
        return fail(settings, command.prefix + error.message, command.failure_code)
    except OSError as error:
        return fail(settings, f"{command.prefix}{_text(error)}", command.failure_code)


def _text(error: OSError) -> str:
    """A failed system call as Go words it: "chdir /x: no such file or directory"."""
    if error.errno is None:
        return str(error)
    reason = os.strerror(error.errno).lower()
    return f"{error.filename}: {reason}" if error.filename else reason


def _check_globals(given: Arguments, settings: Global) -> None:
    if given.flag("systemd-cgroup"):
        raise errors.Unsupported("--systemd-cgroup is not supported yet: use cgroupfs paths")
    if given.text("rootless", "auto") not in ("auto", "false"):
        raise errors.Unsupported("--rootless is not supported yet")
    if settings.log_format not in ("text", "json"):
        raise errors.InvalidArgument("invalid log-format: " + settings.log_format)


def fail(settings: Global, message: str, code: int = 1) -> int:
    """Log an error; if the log is a file, show it on stderr as well."""
    log(settings, "error", message)
    if settings.log:
        print(message, file=sys.stderr)
    return code


def log(settings: Global, level: str, message: str) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if settings.log_format == "json":
        line = json.dumps({"level": level, "msg": message, "time": now}, separators=(",", ":"))
    else:
        line = f'time="{now}" level={level} msg={json.dumps(message, ensure_ascii=False)}'
    if not settings.log:
        print(line, file=sys.stderr)
        return
    try:
        fd = os.open(settings.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, f"{line}\n".encode())
        finally:
            os.close(fd)
    except OSError as error:
        print(f"{settings.log}: {error.strerror}: {line}", file=sys.stderr)


def _help() -> str:
    verbs = []
    for verb in VERBS:
        command: Command = importlib.import_module(f"sampan.runtime.commands.{verb}").COMMAND
        verbs.append(f"   {verb:<8}  {command.summary}\n")
    return (
        "NAME:\n   sampan-runtime - Open Container Initiative runtime\n\n"
        "USAGE:\n   sampan-runtime [global options] command [command options] [arguments...]\n\n"
        f"VERSION:\n   {sampan.__version__}\nspec: {OCI_VERSION}\n\n"
        f"COMMANDS:\n{''.join(verbs)}\nGLOBAL OPTIONS:\n{option_help(_OPTIONS)}"
    )
