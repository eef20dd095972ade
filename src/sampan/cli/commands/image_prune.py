"""`image prune`: remove images that nothing uses."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.flags import Command, Options, filters
from sampan.cli.pruning import confirm, report

DANGLING = "WARNING! This will remove all dangling images."
ALL = "WARNING! This will remove all images without at least one container associated to them."


def run(context: Context, options: Options, arguments: list[str]) -> int:
    everything = options.flag("all")
    if not options.flag("force") and not confirm(context, ALL if everything else DANGLING):
        return 0
    wanted = filters(options) | {"dangling": {"false" if everything else "true": True}}
    done = context.engine.post("/images/prune", {"filters": wanted})
    assert isinstance(done, dict)
    lines = []
    for item in done.get("ImagesDeleted") or ():
        word = "Untagged" if item.get("Untagged") else "Deleted"
        lines.append(f"{word.lower()}: {item.get(word, '')}")
    report(context, "Deleted Images", lines, done.get("SpaceReclaimed"))
    return 0


COMMAND = Command(
    "[OPTIONS]",
    "Remove unused images",
    run,
    flags=(
        ("all", "a", "bool", "Remove all unused images, not just dangling ones"),
        ("filter", "", "filter", 'Provide filter values (e.g. "until=<timestamp>")'),
        ("force", "f", "bool", "Do not prompt for confirmation"),
    ),
    maximum=0,
)
