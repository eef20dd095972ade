"""`network disconnect`: take a container off a network."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import IN_PATHS, quote
from sampan.cli.flags import Command, Options


def run(context: Context, options: Options, arguments: list[str]) -> int:
    network, container = arguments
    body = {"Container": container, "Force": options.flag("force")}
    context.engine.post(f"/networks/{quote(network, IN_PATHS)}/disconnect", body=body)
    return 0


COMMAND = Command(
    "[OPTIONS] NETWORK CONTAINER",
    "Disconnect a container from a network",
    run,
    flags=(("force", "f", "bool", "Force the container to disconnect from a network"),),
    minimum=2,
    maximum=2,
)
