"""`network rm`: remove networks."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import IN_PATHS, quote
from sampan.cli.failure import EngineFailure, Failure
from sampan.cli.flags import Command, Options

NOT_FOUND = 404


def run(context: Context, options: Options, arguments: list[str]) -> int:
    failed = False
    for name in arguments:
        try:
            context.engine.call("DELETE", f"/networks/{quote(name, IN_PATHS)}")
        except EngineFailure as failure:
            if not (options.flag("force") and failure.http_status == NOT_FOUND):
                context.error(failure.message)
                failed = True
        else:
            context.line(name)
    if failed:
        raise Failure("exit status 1")
    return 0


COMMAND = Command(
    "NETWORK [NETWORK...]",
    "Remove one or more networks",
    run,
    aliases=("network rm", "network remove"),
    flags=(("force", "f", "bool", "Do not error if the network does not exist"),),
    minimum=1,
)
