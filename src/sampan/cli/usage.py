"""Help texts, laid out as Docker lays them out: usage, description, aliases, commands, options.

Imported only when somebody asks for help.
"""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.failure import PROGRAM, Failure
from sampan.cli.flags import Command, use_line
from sampan.cli.main import COMMANDS, GLOBAL, GROUPS, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from sampan.cli.flags import Flag

DEFAULT_WIDTH = 80
COMMON = ("run", "exec", "ps", "images", "version", "info")
GROUP_TEXTS = {
    "container": "Manage containers",
    "image": "Manage images",
    "network": "Manage networks",
    "system": "Manage Sampan",
    "volume": "Manage volumes",
}
ALIASES = frozenset(["list", "remove", "ps"])  # other names of verbs in groups, not listed


def help_topic(context: Context, words: list[str]) -> int:
    """Print the help of the program, a group or a command."""
    if not words:
        context.out(program_help())
    elif words[0] in COMMANDS:
        context.out(command_help(load(COMMANDS[words[0]]), words[0]))
    elif words[0] in GROUPS and len(words) == 1:
        context.out(group_help(words[0]))
    elif words[0] in GROUPS and words[1] in GROUPS[words[0]]:
        context.out(command_help(load(GROUPS[words[0]][words[1]]), " ".join(words[:2])))
    else:
        raise Failure(f"unknown help topic: {' '.join(words)}")
    return 0


def program_help() -> str:
    sections = [
        f"Usage:  {PROGRAM} [OPTIONS] COMMAND",
        GLOBAL.short,
        "Common Commands:\n" + _command_list({verb: COMMANDS[verb] for verb in COMMON}),
        "Management Commands:\n" + _lines(GROUP_TEXTS),
        "Commands:\n"
        + _command_list({verb: module for verb, module in sorted(COMMANDS.items()) if verb not in COMMON}),
        "Global Options:\n" + options_help(GLOBAL.flags).rstrip("\n"),
        f"Run '{PROGRAM} COMMAND --help' for more information on a command.",
    ]
    return "\n\n".join(sections) + "\n"


def group_help(group: str) -> str:
    verbs = {verb: module for verb, module in sorted(GROUPS[group].items()) if verb not in ALIASES}
    return "\n\n".join(
        [
            f"Usage:  {PROGRAM} {group} COMMAND",
            GROUP_TEXTS[group],
            "Commands:\n" + _command_list(verbs),
            f"Run '{PROGRAM} {group} COMMAND --help' for more information on a command.\n",
        ]
    )


def command_help(command: Command, path: str) -> str:
    sections = [f"Usage:  {use_line(command, path)}", command.short]
    if command.aliases:
        sections.append("Aliases:\n  " + ", ".join(f"{PROGRAM} {alias}" for alias in command.aliases))
    if any(flag[3] is not None for flag in command.flags):
        sections.append("Options:\n" + options_help(command.flags).rstrip("\n"))
    return "\n\n".join(sections) + "\n"


def _command_list(verbs: dict[str, str]) -> str:
    return _lines({verb: load(module).short for verb, module in verbs.items()})


def _lines(texts: dict[str, str]) -> str:
    return "\n".join(f"  {name:<11} {text}" for name, text in texts.items())


def options_help(flags: Sequence[Flag]) -> str:
    """The table of flags, sorted by name, wrapped to the width of the terminal."""
    entries = []
    for name, letter, kind, text, *_ in sorted(flags):
        if text is not None:
            head = f"  -{letter}, --{name}" if letter else f"      --{name}"
            entries.append((head if kind == "bool" else f"{head} {kind}", text))
    width = max(len(head) for head, _ in entries) + 3
    room = terminal_width() - 1
    return "\n".join(head.ljust(width) + wrap(width, room, text) for head, text in entries)


def terminal_width() -> int:
    """Columns of the terminal on standard input, as Docker asks for it."""
    import os

    try:
        return os.get_terminal_size(0).columns or DEFAULT_WIDTH
    except OSError:
        return DEFAULT_WIDTH


def wrap(indent: int, width: int, text: str) -> str:
    """pflag's wrapping: hard line breaks stay, the last line may be a little longer than the others."""
    room = width - indent
    lines = []
    if room < 24:
        indent, lines = 16, [""]
        room = width - indent
    if room < 24:
        return text.replace("\n", "\n".join(lines))
    slop = 5
    while True:
        line, text = _first_line(room - slop, slop, text)
        lines += line.split("\n")
        if not text:
            return ("\n" + " " * indent).join(lines)


def _first_line(length: int, slop: int, text: str) -> tuple[str, str]:
    if length + slop > len(text):
        return text, ""
    blank = max(text.rfind(character, 0, length) for character in " \t\n")
    if blank <= 0:
        return text, ""
    newline = text.rfind("\n", 0, length)
    if 0 < newline < blank:
        blank = newline
    return text[:blank], text[blank + 1 :]
