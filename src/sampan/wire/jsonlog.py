"""Docker's json-file log entries: a JSON object on a line, `{"log":"text\\n","stream":"stdout","time":"…Z"}`.

Owns cutting a stream of bytes into entries, their exact bytes as dockerd writes them, and reading an entry.
Knows no file. An encoder holds at most one unfinished line of 16 KiB; encoding is a few passes in C over a
whole read of a pipe, however many lines are in it (20 MB of short lines in 0.2 s), because a container waits
for it.

As in moby's `daemon/logger/copier.go` and `jsonfilelog`:

 *  an entry is a line with its "\\n", and waits until the line is finished;
 *  a line longer than 16 KiB becomes several entries, which all carry the time of the first, and of which
 only the
    last ends with "\\n";
 *  at the end of the stream an unfinished line is an entry without "\\n";
 *  `"`, `\\`, `<`, `>`, `&`, U+2028, U+2029 and control characters (but not DEL) are escaped, each byte that
 is not
    UTF-8 becomes U+FFFD.

There is one difference: moby cuts a long line at 16384 bytes even inside a character, which is then lost to
U+FFFD on both sides. Here the cut is made before such a character, so that text stays whole.
"""

from __future__ import annotations

import codecs

from sampan import errors
from sampan.records import dataclass
from sampan.wire import jsontext
from sampan.wire.gotime import format_rfc3339

PARTIAL_SIZE = 16 * 1024

# What is frequent is replaced in C; the backslash comes first. ESC starts each colour on a terminal.
_ESCAPED = (b"\\", b'"', b"<", b">", b"&", b"\r", b"\t", b"\x1b")
_ESCAPES = (b"\\\\", b'\\"', b"\\u003c", b"\\u003e", b"\\u0026", b"\\r", b"\\u0009", b"\\u001b")
# Bytes that need nothing but the replacements above. "\n" stays raw until the lines are framed.
_COMMON = bytes(byte for byte in range(256) if byte >= 0x20 or byte in b"\r\n")
_CONTROLS = {chr(byte): f"\\u{byte:04x}" for byte in range(0x20) if byte not in b"\r\n"}
_CONTROLS |= {"\u2028": "\\u2028", "\u2029": "\\u2029"}
_CONTROL_TABLE = str.maketrans(_CONTROLS)
_REPLACEMENT = "sampan.jsonlog.replacement"


def _replacement(error: UnicodeError) -> tuple[bytes, int]:
    """Encoder's error handler: a byte that was not UTF-8 (a lone surrogate by now) as Go's json writes it."""
    assert isinstance(error, UnicodeEncodeError)
    return b"\\ufffd" * (error.end - error.start), error.end


codecs.register_error(_REPLACEMENT, _replacement)


class LogEncoder:
    """Turns the bytes of one output stream of a container into log entries."""

    def __init__(self, stream: str) -> None:
        self._stream = stream.encode()
        self._pending = b""  # an unfinished line, without entries yet
        self._partial_time: str | None = (
            None  # set while the entries of a line longer than 16 KiB are being written
        )

    def feed(self, data: bytes, nanoseconds: int) -> bytes:
        """The entries that `data`, read at this time, completes; may be empty."""
        if not self._partial_time and len(self._pending) + len(data) <= PARTIAL_SIZE:
            end = data.rfind(b"\n") + 1
            if not end:
                self._pending += data
                return b""
            lines, self._pending = self._pending + data[:end], data[end:]
            return self._frame(lines, format_rfc3339(nanoseconds))
        return self._feed_long(self._pending + data, format_rfc3339(nanoseconds))

    def finish(self, nanoseconds: int) -> bytes:
        """The entry for the unfinished line at the end of the stream."""
        pending, self._pending = self._pending, b""
        stamp, self._partial_time = self._partial_time or format_rfc3339(nanoseconds), None
        return self._entry(pending, stamp) if pending else b""

    def _feed_long(self, data: bytes, now: str) -> bytes:
        """`feed` for data that may hold a line of more than 16 KiB."""
        entries = []
        start = 0
        while True:
            if self._partial_time is None:
                # As many whole lines as fit: each of them is certainly short enough.
                end = data.rfind(b"\n", start, start + PARTIAL_SIZE) + 1
                if end:
                    entries.append(self._frame(data[start:end], now))
                    start = end
                    continue
            else:
                end = data.find(b"\n", start, start + PARTIAL_SIZE) + 1
                if end:
                    entries.append(self._frame(data[start:end], self._partial_time))
                    self._partial_time = None
                    start = end
                    continue
            if len(data) - start < PARTIAL_SIZE:
                break
            end = _character_boundary(data, start, start + PARTIAL_SIZE)
            self._partial_time = self._partial_time or now
            entries.append(self._entry(data[start:end], self._partial_time))
            start = end
        self._pending = data[start:]
        return b"".join(entries)

    def _frame(self, lines: bytes, stamp: str) -> bytes:
        """Entries for whole lines: the text between two lines is the same everywhere."""
        end = b'\\n","stream":"%b","time":"%b"}\n' % (self._stream, stamp.encode())
        body = escape(lines[:-1]).replace(b"\n", end + b'{"log":"')
        return b'{"log":"' + body + end

    def _entry(self, text: bytes, stamp: str) -> bytes:
        """The entry for a piece of a line."""
        return b'{"log":"%b","stream":"%b","time":"%b"}\n' % (escape(text), self._stream, stamp.encode())


def escape(text: bytes) -> bytes:
    """`text` inside a JSON string as Go's encoder writes it, but with "\\n" left alone."""
    for plain, escaped in zip(_ESCAPED, _ESCAPES, strict=True):
        if plain in text:
            text = text.replace(plain, escaped)
    if text.isascii():
        if not text.translate(None, _COMMON):
            return text
    elif not text.translate(None, _COMMON) and b"\xe2\x80" not in text:
        try:
            text.decode()
            return text
        except UnicodeDecodeError:
            pass
    return text.decode("utf-8", "surrogateescape").translate(_CONTROL_TABLE).encode("utf-8", _REPLACEMENT)


def _character_boundary(data: bytes, start: int, end: int) -> int:
    """`end`, or up to three bytes less if that would cut a UTF-8 character in two."""
    for cut in range(end - 1, max(start, end - 4), -1):
        byte = data[cut]
        if byte & 0xC0 != 0x80:
            length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return cut if cut + length > end else end
    return end


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry: the text as bytes (with "\\n", unless it is a piece of a line), its stream and its time."""

    text: bytes
    stream: str
    time: str


def decode(line: bytes) -> LogEntry:
    """Read one line of a log file. Raises InvalidArgument for anything that is no entry."""
    try:
        document = jsontext.parse(line)
        text, stream, stamp = document["log"], document["stream"], document["time"]
        return LogEntry(text.encode("utf-8", "replace"), str(stream), str(stamp))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise errors.InvalidArgument("log entry is malformed") from None
