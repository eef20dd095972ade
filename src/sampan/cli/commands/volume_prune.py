"""`volume prune`: remove volumes that no container uses."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.flags import Command, Options, filters
from sampan.cli.pruning import confirm, report

ANONYMOUS = "WARNING! This will remove anonymous local volumes not used by at least one container."
ALL = "WARNING! This will remove all local volumes not used by at least one container."


def run(context: Context, options: Options, arguments: list[str]) -> int:
    everything = options.flag("all")
    if not options.flag("force") and not confirm(context, ALL if everything else ANONYMOUS):
        return 0
    chosen = filters(options)
    if everything:
        chosen["all"] = {"true": True}
    done = context.engine.post("/volumes/prune", {"filters": chosen})
    assert isinstance(done, dict)
    report(context, "Deleted Volumes", done.get("VolumesDeleted") or (), done.get("SpaceReclaimed"))
    return 0


COMMAND = Command(
    "[OPTIONS]",
    "Remove unused local volumes",
    run,
    flags=(
        ("all", "a", "bool", "Remove all unused volumes, not just anonymous ones"),
        ("filter", "", "filter", 'Provide filter values (e.g. "label=<label>")'),
        ("force", "f", "bool", "Do not prompt for confirmation"),
    ),
    maximum=0,
)
