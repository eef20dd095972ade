"""`create`: make a container without starting it."""

from __future__ import annotations

from sampan.cli.containers.config import CONVERT
from sampan.cli.containers.creation import body_of, check_pull, create, refuse_flags
from sampan.cli.containers.flags import FLAGS
from sampan.cli.context import Context
from sampan.cli.failure import PROGRAM, Failure
from sampan.cli.flags import Command, Options


def run(context: Context, options: Options, arguments: list[str]) -> int:
    refuse_flags(options)
    try:
        check_pull(options)
        body = body_of(options, arguments)
    except Failure as failure:
        raise Failure(
            f"{PROGRAM}: {failure.message}\n\nRun '{PROGRAM} create --help' for more information", 125
        ) from None
    context.line(create(context, options, body))
    return 0


COMMAND = Command(
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create a new container",
    run,
    aliases=("container create", "create"),
    flags=FLAGS,
    convert=CONVERT,
    minimum=1,
    interspersed=False,
)
