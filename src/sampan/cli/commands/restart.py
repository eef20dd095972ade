"""`restart`: stop containers and start them again, one after the other."""

from __future__ import annotations

from sampan.cli.commands.stop import STOP_FLAGS, stop_parameters
from sampan.cli.context import Context
from sampan.cli.engine import container
from sampan.cli.failure import ConnectFailure, Failure
from sampan.cli.flags import Command, Options


def run(context: Context, options: Options, arguments: list[str]) -> int:
    failures = []
    for name in arguments:
        try:
            context.engine.post(container(name) + "/restart", stop_parameters(options))
            context.line(name)
        except ConnectFailure:
            raise
        except Failure as failure:
            failures.append(failure.message)
    if failures:
        raise Failure("\n".join(failures))
    return 0


COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Restart one or more containers",
    run,
    aliases=("container restart", "restart"),
    flags=STOP_FLAGS,
    minimum=1,
)
