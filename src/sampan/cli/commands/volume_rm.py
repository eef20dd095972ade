"""`volume rm`: remove volumes."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import IN_PATHS, quote
from sampan.cli.flags import Command, Options
from sampan.cli.several import request_each


def run(context: Context, options: Options, arguments: list[str]) -> int:
    def path(name: str) -> str:
        return f"/volumes/{quote(name, IN_PATHS)}"

    return request_each(context, arguments, "DELETE", path, {"force": options.flag("force")})


COMMAND = Command(
    "[OPTIONS] VOLUME [VOLUME...]",
    "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
    run,
    aliases=("volume rm", "volume remove"),
    flags=(("force", "f", "bool", "Force the removal of one or more volumes"),),
    minimum=1,
)
