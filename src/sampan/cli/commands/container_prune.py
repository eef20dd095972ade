"""`container prune`: remove all stopped containers."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.flags import Command, Options, filters
from sampan.cli.pruning import confirm, report

WARNING = "WARNING! This will remove all stopped containers."


def run(context: Context, options: Options, arguments: list[str]) -> int:
    if not options.flag("force") and not confirm(context, WARNING):
        return 0
    done = context.engine.post("/containers/prune", {"filters": filters(options)})
    assert isinstance(done, dict)
    report(context, "Deleted Containers", done.get("ContainersDeleted") or (), done.get("SpaceReclaimed"))
    return 0


COMMAND = Command(
    "[OPTIONS]",
    "Remove all stopped containers",
    run,
    flags=(
        ("filter", "", "filter", 'Provide filter values (e.g. "until=<timestamp>")'),
        ("force", "f", "bool", "Do not prompt for confirmation"),
    ),
    maximum=0,
)
