"""`diff`: what a container has changed in its file system."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import container
from sampan.cli.failure import Failure
from sampan.cli.flags import Command, Options

LETTERS = ("C", "A", "D")


def run(context: Context, options: Options, arguments: list[str]) -> int:
    if not arguments[0]:
        raise Failure("Container name cannot be empty")
    changes = context.engine.get(f"{container(arguments[0])}/changes")
    assert isinstance(changes, list | None)
    for change in changes or ():
        context.line(f"{LETTERS[change['Kind']]} {change['Path']}")
    return 0


COMMAND = Command(
    "CONTAINER",
    "Inspect changes to files or directories on a container's filesystem",
    run,
    aliases=("container diff", "diff"),
    minimum=1,
    maximum=1,
)
