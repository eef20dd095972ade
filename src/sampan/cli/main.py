"""The program: global flags, then the verb, whose module is imported only now.

Owns the list of commands, what is said about unknown ones, and the exit status. A command that Docker has and
Sampan does not is refused by its name.
"""

from __future__ import annotations

import posix

from sampan.cli.context import Context, environment
from sampan.cli.failure import PROGRAM, Failure
from sampan.cli.flags import Command, FlagError, HelpWanted, Options, check_arguments, parse, use_line
from sampan.cli.signals import default_signals

# Verb to module in `commands`. A management command ("container") has a table of its own.
COMMANDS = {
    "attach": "attach",
    "commit": "commit",
    "cp": "cp",
    "create": "create",
    "diff": "diff",
    "events": "events",
    "exec": "exec",
    "export": "export",
    "history": "history",
    "images": "images",
    "import": "import_",
    "info": "info",
    "inspect": "inspect",
    "kill": "kill",
    "load": "load",
    "login": "login",
    "logout": "logout",
    "logs": "logs",
    "pause": "pause",
    "port": "port",
    "ps": "ps",
    "pull": "pull",
    "rename": "rename",
    "restart": "restart",
    "rm": "rm",
    "rmi": "rmi",
    "run": "run",
    "save": "save",
    "start": "start",
    "stats": "stats",
    "stop": "stop",
    "tag": "tag",
    "top": "top",
    "unpause": "unpause",
    "update": "update",
    "version": "version",
    "wait": "wait",
}
GROUPS = {
    "container": {
        "attach": "attach",
        "commit": "commit",
        "cp": "cp",
        "create": "create",
        "diff": "diff",
        "exec": "exec",
        "export": "export",
        "inspect": "container_inspect",
        "kill": "kill",
        "list": "ps",
        "logs": "logs",
        "ls": "ps",
        "pause": "pause",
        "port": "port",
        "prune": "container_prune",
        "ps": "ps",
        "remove": "rm",
        "rename": "rename",
        "restart": "restart",
        "rm": "rm",
        "run": "run",
        "start": "start",
        "stats": "stats",
        "stop": "stop",
        "top": "top",
        "unpause": "unpause",
        "update": "update",
        "wait": "wait",
    },
    "image": {
        "history": "history",
        "import": "import_",
        "inspect": "image_inspect",
        "list": "images",
        "load": "load",
        "ls": "images",
        "prune": "image_prune",
        "pull": "pull",
        "remove": "rmi",
        "rm": "rmi",
        "save": "save",
        "tag": "tag",
    },
    "network": {
        "connect": "network_connect",
        "create": "network_create",
        "disconnect": "network_disconnect",
        "inspect": "network_inspect",
        "list": "network_ls",
        "ls": "network_ls",
        "prune": "network_prune",
        "remove": "network_rm",
        "rm": "network_rm",
    },
    "system": {"df": "system_df", "events": "events", "info": "info"},
    "volume": {
        "create": "volume_create",
        "inspect": "volume_inspect",
        "list": "volume_ls",
        "ls": "volume_ls",
        "prune": "volume_prune",
        "remove": "volume_rm",
        "rm": "volume_rm",
    },
}
NOT_YET = frozenset(
    [
        "bake",
        "build",
        "builder",
        "buildx",
        "checkpoint",
        "compose",
        "config",
        "context",
        "manifest",
        "node",
        "plugin",
        "push",
        "search",
        "secret",
        "service",
        "stack",
        "swarm",
        "trust",
    ]
)
GROUPS_NOT_YET = {
    "image": frozenset(["build", "push"]),
    "system": frozenset(["dial-stdio", "prune"]),
    "volume": frozenset(["update"]),
}
LOG_LEVELS = frozenset(["panic", "fatal", "error", "warn", "warning", "info", "debug", "trace"])
GLOBAL = Command(
    "[OPTIONS] COMMAND [ARG...]",
    "Containers, engine and runtime in Python, with Docker's commands",
    lambda context, options, arguments: 0,
    flags=(
        ("config", "", "string", 'Location of client config files (default "~/.sampan")', ""),
        ("context", "c", "string", None),
        ("debug", "D", "bool", "Enable debug mode", False),
        ("host", "H", "list", "Daemon socket to connect to", []),
        (
            "log-level",
            "l",
            "string",
            'Set the logging level ("debug", "info", "warn", "error", "fatal")',
            "info",
        ),
        ("tls", "", "bool", None),
        ("tlscacert", "", "string", None),
        ("tlscert", "", "string", None),
        ("tlskey", "", "string", None),
        ("tlsverify", "", "bool", None),
        ("version", "v", "bool", "Print version information and quit", False),
    ),
    interspersed=False,
)


def main(arguments: list[str]) -> None:
    """Run one command and end the process. Ends without the interpreter's clean-up, which takes a
    millisecond.
    """
    default_signals()
    try:
        status = dispatch(arguments)
    except (Failure, OSError) as error:
        failure = error if isinstance(error, Failure) else Failure(f"{PROGRAM}: {error}")
        status = failure.status
        if failure.message:
            Context([], "", False).error(failure.message)
    posix._exit(status)


def dispatch(arguments: list[str]) -> int:
    options, words = _parse(GLOBAL, "", arguments)
    for name in ("context", "tls", "tlscacert", "tlscert", "tlskey", "tlsverify"):
        if name in options.changed:
            raise Failure(f"{PROGRAM}: --{name} is not supported yet")
    if options.text("log-level") not in LOG_LEVELS:
        raise Failure(f"Unable to parse logging level: {options.text('log-level')}")
    context = Context(options.items("host"), options.text("config"), options.flag("debug"))
    if options.flag("version"):
        from sampan import __version__

        context.line(f"Sampan version {__version__}")
        return 0
    if not words or words[0] == "help":
        from sampan.cli.usage import help_topic

        return help_topic(context, words[1:])
    return run_words(context, words)


def run_words(context: Context, words: list[str]) -> int:
    """Run the command that `words` name, with the rest of them as its arguments."""
    verb, rest = words[0], words[1:]
    if verb == "daemon":
        import sys

        posix.execv(sys.executable, [sys.executable, "-I", "-m", "sampan.daemon", *rest])
    if verb in COMMANDS:
        return run_command(context, load(COMMANDS[verb]), verb, rest)
    if verb in GROUPS:
        return _run_group(context, verb, rest)
    if verb in NOT_YET:
        raise Failure(f"{PROGRAM}: {verb} is not supported yet")
    if "--help" in rest or "-h" in rest:
        from sampan.cli.usage import help_topic

        return help_topic(context, [])
    raise Failure(
        f"{PROGRAM}: unknown command: {PROGRAM} {verb}\n\nRun '{PROGRAM} --help' for more information"
    )


def _run_group(context: Context, group: str, words: list[str]) -> int:
    if words and words[0] in GROUPS[group]:
        return run_command(context, load(GROUPS[group][words[0]]), f"{group} {words[0]}", words[1:])
    if words and words[0] in GROUPS_NOT_YET.get(group, ()):
        raise Failure(f"{PROGRAM}: {group} {words[0]} is not supported yet")
    holder = Command("", "", lambda context, options, arguments: 0, interspersed=False)
    _, rest = _parse(holder, group, words)
    if rest:
        raise Failure(
            f"{PROGRAM}: unknown command: {PROGRAM} {group} {rest[0]}\n\nUsage:  {PROGRAM} {group}\n\n"
            f"Run '{PROGRAM} {group} --help' for more information"
        )
    from sampan.cli.usage import help_topic

    return help_topic(context, [group])


def load(name: str) -> Command:
    """The command in the module `name` of `commands`."""
    module = __import__(f"sampan.cli.commands.{name}", fromlist=["COMMAND"])
    command: Command = module.COMMAND
    return command


def run_command(context: Context, command: Command, path: str, words: list[str]) -> int:
    options, arguments = _parse(command, path, words, context)
    check_arguments(command, path, len(arguments))
    return command.run(context, options, arguments)


def _parse(
    command: Command, path: str, words: list[str], context: Context | None = None
) -> tuple[Options, list[str]]:
    try:
        return parse(command, words)
    except FlagError as error:
        called = f"{PROGRAM} {path}".rstrip()
        usage = use_line(command, path).replace("  ", " ")
        raise Failure(
            f"{error}\n\nUsage:  {usage}\n\nRun '{called} --help' for more information", 125
        ) from None
    except HelpWanted as wanted:  # here only: nobody else needs the text of every command
        from sampan.cli.usage import help_topic

        shown = context or Context([], "", False)
        shown.out(wanted.args[0])
        raise Failure("", help_topic(shown, path.split())) from None


__all__ = ["COMMANDS", "GLOBAL", "GROUPS", "dispatch", "environment", "load", "main", "run_words"]
