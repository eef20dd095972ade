"""`network prune`: remove networks that no container uses."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.flags import Command, Options, filters
from sampan.cli.pruning import confirm

WARNING = "WARNING! This will remove all custom networks not used by at least one container."


def run(context: Context, options: Options, arguments: list[str]) -> int:
    if not options.flag("force") and not confirm(context, WARNING):
        return 0
    done = context.engine.post("/networks/prune", {"filters": filters(options)})
    assert isinstance(done, dict)
    names = done.get("NetworksDeleted") or ()
    if names:
        context.out("Deleted Networks:\n" + "".join(f"{name}\n" for name in names) + "\n")
    return 0


COMMAND = Command(
    "[OPTIONS]",
    "Remove all unused networks",
    run,
    flags=(
        ("filter", "", "filter", 'Provide filter values (e.g. "until=<timestamp>")'),
        ("force", "f", "bool", "Do not prompt for confirmation"),
    ),
    maximum=0,
)
