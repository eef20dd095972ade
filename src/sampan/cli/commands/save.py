"""`save`: images as one tar archive, to standard output or a file."""

from __future__ import annotations

import posix

from sampan.cli.context import Context, write
from sampan.cli.failure import Failure, path_failure, reason
from sampan.cli.flags import Command, Options
from sampan.cli.http import Response
from sampan.cli.terminal import is_terminal


def _check_output(path: str) -> None:
    """The folder must be there before we ask for gigabytes."""
    folder = path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")
    try:
        posix.stat(folder)
    except OSError as error:
        raise Failure(f"failed to save image: invalid output path: stat {folder}: {reason(error)}") from None


def _write_file(path: str, response: Response) -> None:
    """Write beside the file and rename: a broken transfer leaves no half archive under the name."""
    beside = f"{path}.{posix.getpid()}.tmp"
    try:
        descriptor = posix.open(
            beside, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o600
        )
    except OSError as error:
        raise path_failure("open", path, error) from None
    try:
        for block in response.blocks():
            write(descriptor, block)
        posix.rename(beside, path)
    except OSError as error:
        posix.unlink(beside)
        raise path_failure("write", path, error) from None
    except Failure:
        posix.unlink(beside)
        raise
    finally:
        posix.close(descriptor)


def run(context: Context, options: Options, arguments: list[str]) -> int:
    path, platform = options.text("output"), options.text("platform")
    if not path and is_terminal(1):
        raise Failure("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    if path:
        _check_output(path)
    if platform:
        context.engine.require("1.48", "--platform")
    response = context.engine.open("GET", "/images/get", {"names": arguments, "platform": platform})
    if path:
        _write_file(path, response)
    else:
        for block in response.blocks():
            context.out(block)
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
