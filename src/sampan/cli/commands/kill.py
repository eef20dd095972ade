"""`kill`: send a signal to containers."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import container
from sampan.cli.flags import Command, Options
from sampan.cli.several import request_each


def run(context: Context, options: Options, arguments: list[str]) -> int:
    def path(name: str) -> str:
        return container(name) + "/kill"

    return request_each(context, arguments, "POST", path, {"signal": options.text("signal")})


COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Kill one or more running containers",
    run,
    aliases=("container kill", "kill"),
    flags=(("signal", "s", "string", "Signal to send to the container"),),
    minimum=1,
)
