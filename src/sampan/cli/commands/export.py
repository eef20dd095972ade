"""`export`: a container's root file system as a tar archive, to standard output or a file."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.downloads import check_output, download
from sampan.cli.engine import container
from sampan.cli.flags import Command, Options


def run(context: Context, options: Options, arguments: list[str]) -> int:
    path = options.text("output")
    check_output(path, "failed to export container")
    download(context, context.engine.open("GET", f"{container(arguments[0])}/export"), path)
    return 0


COMMAND = Command(
    "[OPTIONS] CONTAINER",
    "Export a container's filesystem as a tar archive",
    run,
    aliases=("container export", "export"),
    flags=(("output", "o", "string", "Write to a file, instead of STDOUT"),),
    minimum=1,
    maximum=1,
)
