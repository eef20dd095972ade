"""`unpause`: thaw the processes of containers."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import container
from sampan.cli.flags import Command, Options
from sampan.cli.several import request_each


def run(context: Context, options: Options, arguments: list[str]) -> int:
    return request_each(context, arguments, "POST", lambda name: container(name) + "/unpause")


COMMAND = Command(
    "CONTAINER [CONTAINER...]",
    "Unpause all processes within one or more containers",
    run,
    aliases=("container unpause", "unpause"),
    minimum=1,
)
