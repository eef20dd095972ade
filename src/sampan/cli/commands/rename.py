"""`rename`: give a container another name."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import container
from sampan.cli.failure import EngineFailure, Failure
from sampan.cli.flags import Command, Options


def run(context: Context, options: Options, arguments: list[str]) -> int:
    old, new = (name.strip() for name in arguments)
    if not old or not new:
        raise Failure("Error: Neither old nor new names may be empty")
    try:
        context.engine.post(container(old) + "/rename", {"name": new})
    except EngineFailure as failure:
        context.error(failure.message)
        raise Failure(f"Error: failed to rename container named {old}") from None
    return 0


COMMAND = Command(
    "CONTAINER NEW_NAME",
    "Rename a container",
    run,
    aliases=("container rename", "rename"),
    minimum=2,
    maximum=2,
)
