"""`wait`: block until containers stop, and print their exit codes."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import container
from sampan.cli.failure import ConnectFailure, Failure
from sampan.cli.flags import Command, Options


def run(context: Context, options: Options, arguments: list[str]) -> int:
    failures = []
    for name in arguments:
        try:
            result = context.engine.post(container(name) + "/wait")
        except ConnectFailure:
            raise
        except Failure as failure:
            failures.append(failure.message)
            continue
        assert isinstance(result, dict)
        problem = result.get("Error")
        if problem:
            failures.append(str(problem.get("Message", "")))
        else:
            context.line(str(result.get("StatusCode", 0)))
    if failures:
        raise Failure("\n".join(failures))
    return 0


COMMAND = Command(
    "CONTAINER [CONTAINER...]",
    "Block until one or more containers stop, then print their exit codes",
    run,
    aliases=("container wait", "wait"),
    minimum=1,
)
