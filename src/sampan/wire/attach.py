"""Docker's multiplexed stream: the frames that carry stdout and stderr of a container without a terminal.

Owns the frame format alone: a header of eight bytes (stream, three zeros, length as 32-bit big endian), then
the payload. Must not know sockets or logs. Costs one copy of the payload for encoding, none for decoding
whole frames.

Format: https://docs.docker.com/reference/api/engine/ (operation ContainerAttach, "Stream format").
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER_SIZE = 8
STDIN, STDOUT, STDERR, SYSTEM_ERROR = range(4)
"""Stream numbers. SYSTEM_ERROR carries an error of the daemon itself, as moby's stdcopy defines it."""

# A reader such as docker-py allocates by the length in the header, so a frame is kept to what a pipe holds.
MAX_PAYLOAD = 1 << 20


class FrameError(ValueError):
    """The bytes are not a multiplexed stream: the remote end's fault."""


def encode(stream: int, payload: bytes) -> bytes:
    """`payload` as one frame (or several when it is longer than MAX_PAYLOAD)."""
    if len(payload) <= MAX_PAYLOAD:
        return header(stream, len(payload)) + payload
    pieces = (payload[start : start + MAX_PAYLOAD] for start in range(0, len(payload), MAX_PAYLOAD))
    return b"".join(header(stream, len(piece)) + piece for piece in pieces)


def header(stream: int, length: int) -> bytes:
    """The eight bytes in front of a payload of `length` bytes."""
    return bytes((stream, 0, 0, 0)) + length.to_bytes(4, "big")


class Demultiplexer:
    """Incremental decoder: feed it what arrived, get (stream, bytes) pieces back.

    Pieces are passed on as they come: a frame that arrives in parts gives several pieces of the same stream,
    so no more than a header is ever kept. `in_frame` tells whether the input may end here.
    """

    __slots__ = ("_header", "_left", "_stream")

    def __init__(self) -> None:
        self._header = b""
        self._stream = STDOUT
        self._left = 0

    @property
    def in_frame(self) -> bool:
        """True in the middle of a frame: an end of the stream here is a truncation."""
        return bool(self._left or self._header)

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The pieces of payload in `data`. Raises FrameError for what cannot be a frame."""
        position = 0
        while position < len(data):
            if self._left == 0:
                position = self._read_header(data, position)
                continue
            piece = data[position : position + self._left]
            position += len(piece)
            self._left -= len(piece)
            yield self._stream, piece

    def _read_header(self, data: bytes, position: int) -> int:
        end = position + HEADER_SIZE - len(self._header)
        self._header += data[position:end]
        if len(self._header) == HEADER_SIZE:
            stream, padding = self._header[0], self._header[1:4]
            if stream > SYSTEM_ERROR or padding != b"\0\0\0":
                raise FrameError(f"unrecognized input header: {self._header[:4].hex(' ')}")
            self._stream, self._left = stream, int.from_bytes(self._header[4:], "big")
            self._header = b""
        return end
