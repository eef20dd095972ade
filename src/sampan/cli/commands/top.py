"""`top`: the processes of a container, in the columns of the host's `ps`."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import container
from sampan.cli.flags import Command, Options
from sampan.cli.tables import align

COLUMN = 20


def run(context: Context, options: Options, arguments: list[str]) -> int:
    path = container(arguments[0]) + "/top"
    found = context.engine.get(path, {"ps_args": " ".join(arguments[1:])})
    assert isinstance(found, dict)
    lines = [found.get("Titles") or [], *(found.get("Processes") or [])]
    context.out(align("\n".join("\t".join(cells) for cells in lines), minimum=COLUMN) + "\n")
    return 0


COMMAND = Command(
    "CONTAINER [ps OPTIONS]",
    "Display the running processes of a container",
    run,
    aliases=("container top", "top"),
    minimum=1,
    interspersed=False,
)
