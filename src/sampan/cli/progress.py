"""Progress of a pull, load or import: a stream of JSON messages, shown as Docker shows it.

On a terminal each layer has a line that is rewritten; elsewhere only the messages that say something new are
printed.
"""

from __future__ import annotations

from sampan.cli.context import write
from sampan.cli.failure import Failure
from sampan.cli.http import Response
from sampan.cli.terminal import is_terminal
from sampan.wire.jsontext import decode_stream
from sampan.wire.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def messages(response: Response) -> Iterator[dict[str, object]]:
    """The messages as they arrive."""
    rest = ""
    pending = b""
    for block in response.blocks():
        pending += block
        try:
            text, pending = pending.decode(), b""
        except UnicodeDecodeError as error:  # a character that is not complete yet
            if error.end < len(pending) or len(pending) - error.start > 3:
                text, pending = pending.decode(errors="replace"), b""
            else:
                text, pending = pending[: error.start].decode(), pending[error.start :]
        found, rest = decode_stream(rest + text)
        for message in found:
            if isinstance(message, dict):
                yield message
    if rest.strip():
        raise Failure("unexpected EOF")


def show_progress(response: Response, descriptor: int, quiet: bool = False) -> None:
    """Print the stream to `descriptor`. Raises the error that it ends with."""
    display = _Display(descriptor, is_terminal(descriptor), quiet)
    for message in messages(response):
        error = message.get("errorDetail")
        if error or message.get("error"):
            detail = error.get("message") if isinstance(error, dict) else None
            raise Failure(str(detail or message.get("error")))
        display.show(message)


class _Display:
    def __init__(self, descriptor: int, terminal: bool, quiet: bool) -> None:
        self.descriptor = descriptor
        self.terminal = terminal
        self.quiet = quiet
        self.lines: dict[str, int] = {}

    def show(self, message: dict[str, object]) -> None:
        if self.quiet:
            return
        identifier = str(message.get("id", ""))
        detail = message.get("progressDetail")
        if identifier and detail is not None and self.terminal:
            self._rewrite(identifier, message, detail if isinstance(detail, dict) else {})
            return
        if detail and not self.terminal:
            return  # a bar makes no sense here
        text = str(message.get("stream") or "")
        if not text and "status" in message:
            text = f"{identifier}: {message['status']}\n" if identifier else f"{message['status']}\n"
        write(self.descriptor, text)

    def _rewrite(self, identifier: str, message: dict[str, object], detail: dict[str, object]) -> None:
        """Go up to the line of this id, or open one, and come back."""
        if identifier not in self.lines:
            self.lines[identifier] = len(self.lines)
            write(self.descriptor, "\n")
        up = len(self.lines) - self.lines[identifier]
        text = f"{identifier}: {message.get('status', '')} {_bar(detail)}".rstrip()
        write(self.descriptor, f"\x1b[{up}A\x1b[2K\r{text}\r\x1b[{up}B")


def _bar(detail: dict[str, object]) -> str:
    current, total = detail.get("current"), detail.get("total")
    if not isinstance(current, int):
        return ""
    if not isinstance(total, int) or total <= 0:
        return human_size(current)
    share = min(current * 50 // total, 50)
    bar = "=" * share + (">" + " " * (49 - share) if share < 50 else "")
    return f"[{bar}] {human_size(current):>8}/{human_size(total)}"
