"""`load`: take images from an archive that `save` made."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.failure import Failure
from sampan.cli.flags import Command, Options
from sampan.cli.progress import show_progress
from sampan.cli.terminal import is_terminal
from sampan.cli.uploads import blocks, open_file


def run(context: Context, options: Options, arguments: list[str]) -> int:
    path = options.text("input")
    if not path and is_terminal(0):
        raise Failure("requested load from stdin, but stdin is empty")
    descriptor = open_file(path) if path else 0
    engine = context.engine
    platform = options.text("platform")
    if platform:
        engine.require("1.48", "--platform")
    parameters = {"quiet": options.flag("quiet") or not is_terminal(1), "platform": platform}
    response = engine.upload("/images/load", parameters, blocks(descriptor), "application/x-tar")
    if response.headers.get("content-type", "").startswith("application/json"):
        show_progress(response, 1)
    else:
        for block in response.blocks():
            context.out(block)
    return 0


COMMAND = Command(
    "[OPTIONS]",
    "Load an image from a tar archive or STDIN",
    run,
    aliases=("image load", "load"),
    flags=(
        ("input", "i", "string", "Read from tar archive file, instead of STDIN"),
        (
            "platform",
            "",
            "string",
            'Load only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
        ),
        ("quiet", "q", "bool", "Suppress the load output"),
    ),
    maximum=0,
)
