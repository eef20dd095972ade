"""`save`: images as one tar archive, to standard output or a file."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.downloads import check_output, download
from sampan.cli.flags import Command, Options


def run(context: Context, options: Options, arguments: list[str]) -> int:
    path, platform = options.text("output"), options.text("platform")
    check_output(path, "failed to save image")
    if platform:
        context.engine.require("1.48", "--platform")
    response = context.engine.open("GET", "/images/get", {"names": arguments, "platform": platform})
    download(context, response, path)
    return 0


COMMAND = Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Save one or more images to a tar archive (streamed to STDOUT by default)",
    run,
    aliases=("image save", "save"),
    flags=(
        ("output", "o", "string", "Write to a file, instead of STDOUT"),
        (
            "platform",
            "",
            "string",
            'Save only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
        ),
    ),
    minimum=1,
)
