"""What the `prune` commands share: the question, the filters, the result."""

from __future__ import annotations

import posix

from sampan.cli.context import Context
from sampan.wire.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def confirm(context: Context, warning: str) -> bool:
    """Ask the question; anything but a yes is a no."""
    context.out(f"{warning}\nAre you sure you want to continue? [y/N] ")
    answer = b""
    while (character := posix.read(0, 1)) not in (b"", b"\n"):
        answer += character
    return answer.strip().lower() == b"y"


def report(context: Context, title: str, lines: Sequence[str], space: object) -> None:
    if lines:
        context.out(f"{title}:\n" + "".join(f"{line}\n" for line in lines) + "\n")
    context.line(f"Total reclaimed space: {human_size(space if isinstance(space, int) else 0)}")
