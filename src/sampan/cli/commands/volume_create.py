"""`volume create`: make a volume."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.failure import Failure
from sampan.cli.flags import Command, Options


def pairs(entries: list[str]) -> dict[str, str]:
    """ "a=b" and "a" as a mapping."""
    return {name: value for name, _, value in (entry.partition("=") for entry in entries)}


def run(context: Context, options: Options, arguments: list[str]) -> int:
    chosen = options.items("opt")
    for entry in chosen:
        if "=" not in entry:
            raise Failure(f'invalid argument "{entry}" for "-o, --opt" flag: invalid key value pair', 125)
    body = {
        "Driver": options.text("driver"),
        "DriverOpts": pairs(chosen),
        "Labels": pairs(options.items("label")),
        "Name": arguments[0] if arguments else "",
    }
    made = context.engine.post("/volumes/create", body=body)
    assert isinstance(made, dict)
    context.line(str(made.get("Name", "")))
    return 0


COMMAND = Command(
    "[OPTIONS] [VOLUME]",
    "Create a volume",
    run,
    flags=(
        ("driver", "d", "string", "Specify volume driver name", "local"),
        ("label", "", "list", "Set metadata for a volume"),
        ("opt", "o", "list", "Set driver specific options"),
    ),
    maximum=1,
)
