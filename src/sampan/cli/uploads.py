"""Files and standard input as bodies of requests."""

from __future__ import annotations

import posix

from sampan.cli.failure import path_failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 256 * 1024


def open_file(path: str) -> int:
    """A descriptor to read from. Raises Failure in Go's words."""
    try:
        return posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError as error:
        raise path_failure("open", path, error) from None


def blocks(descriptor: int) -> Iterator[bytes]:
    while block := posix.read(descriptor, BLOCK):
        yield block
