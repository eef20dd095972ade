"""An archive that the engine sends, to standard output or a file: `save` and `export`."""

from __future__ import annotations

import posix

from sampan.cli.context import Context, write
from sampan.cli.failure import Failure, path_failure, reason
from sampan.cli.http import Response
from sampan.cli.terminal import is_terminal


def check_output(path: str, failed: str) -> None:
    """Where it is to go: the folder must be there before we ask for gigabytes. `path` may be empty."""
    if not path:
        if is_terminal(1):
            raise Failure("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        return
    folder = path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")
    try:
        posix.stat(folder)
    except OSError as error:
        raise Failure(f"{failed}: invalid output path: stat {folder}: {reason(error)}") from None


def download(context: Context, response: Response, path: str) -> None:
    """The answer's body, to a file if there is a path."""
    if path:
        _write_file(path, response)
    else:
        for block in response.blocks():
            context.out(block)


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
