"""The tar reader: members one after the other from a stream, and every other byte to whom it concerns.

Owns the order of blocks: extended headers before their member, data, padding, the end. A stream is read once
and never sought. What an archive can make it hold is bounded by `MAX_EXTENDED` and the limits of the maps.

With a `framing` function the reader hands over all bytes that are not data which the caller read, in their
order: headers, padding, data that was skipped, and what follows the end of the archive. Those, and the data,
are the archive again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sampan.records import dataclass, field
from sampan.wire.tarstream import header, pax, sparse
from sampan.wire.tarstream.entry import BLOCK, Entry, Kind, Segment, TarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object

MAX_EXTENDED = 1 << 20
"""Bytes of one extended header or long name: Go's bound too."""
MAX_EXTENDED_HEADERS = 16
"""Extended headers before one member; GNU tar writes three at most."""
CHUNK = 1 << 18
_REGULAR = ("\0", "0", "7")


class ByteSource(Protocol):
    """Where bytes come from: `read(n)` returns up to n of them, and b"" only at the end."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes."""


class IteratorSource:
    """Pieces of bytes as a source to read from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


@dataclass(slots=True)
class _Extended:
    """What the extended headers before a member said."""

    name: bytes | None = None
    linkname: bytes | None = None
    records: list[tuple[str, bytes]] = field(default_factory=list)


class TarReader:
    """Iterate for the members; `read` gives the data of the one at hand; `drain` reads on to the end."""

    def __init__(self, source: ByteSource, framing: Callable[[bytes], None] | None = None) -> None:
        self._source = source
        self._framing = framing
        self._buffer = b""
        self._position = 0
        self._data_left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        while (entry := self.next()) is not None:
            yield entry

    def next(self) -> Entry | None:
        """Return the next member, after skipping what is left of this one; None at the end of the archive."""
        self._skip()
        extended = _Extended()
        for _ in range(MAX_EXTENDED_HEADERS):
            raw = self._read_header()
            if raw is None:
                return None
            block = header.decode(raw)
            if block.flag == "x":
                extended.records = pax.parse(self._read_extended(block.size))
            elif block.flag == "L":
                extended.name = header.cut(self._read_extended(block.size))
            elif block.flag == "K":
                extended.linkname = header.cut(self._read_extended(block.size))
            else:
                return self._entry(raw, block, extended)
        raise TarError("archive/tar: invalid tar header: too many extended headers")

    def read(self, size: int = CHUNK) -> bytes:
        """Return up to `size` bytes of the member's data, and b"" when there is no more."""
        if not self._data_left or not size:
            return b""
        data = self._some(min(size, self._data_left))
        self._data_left -= len(data)
        return data

    def drain(self) -> None:
        """Read the stream to its end: padding of the archive, or whatever else is behind it."""
        self._skip()
        while self._fill():
            self._frame(self._buffer[self._position :])
            self._position = len(self._buffer)

    # Members

    def _entry(self, raw: bytes, block: header.Block, extended: _Extended) -> Entry:
        values = dict(extended.records)
        kind = Kind.FILE if block.flag in _REGULAR or block.flag == "S" else block.flag
        name = extended.name if extended.name is not None else block.name
        linkname = extended.linkname if extended.linkname is not None else block.linkname
        name = _text(values, "path", name)
        linkname = _text(values, "linkpath", linkname)
        if kind == Kind.FILE and name.endswith(b"/"):
            # How archives from before the type flag wrote a directory.
            kind = Kind.DIRECTORY
        size = pax.integer(values["size"]) if values.get("size") else block.size
        if not 0 <= size <= header.MAX_SIZE:
            raise TarError("archive/tar: invalid tar header: size out of range")
        size = 0 if kind in Kind.HEADER_ONLY else size
        self._data_left, self._padding = size, -size % BLOCK
        segments, full_size = self._sparse(raw, block, extended.records, values)
        if values.get("GNU.sparse.name"):
            name = values["GNU.sparse.name"]
        mtime = values.get("mtime")
        return Entry(
            name=_decode(name),
            kind=kind,
            mode=block.mode & 0o7777,
            uid=_identity(values, "uid", block.uid),
            gid=_identity(values, "gid", block.gid),
            size=self._data_left,
            mtime_ns=pax.nanoseconds(mtime) if mtime else block.mtime * 10**9,
            linkname=_decode(linkname),
            uname=_decode(values.get("uname") or block.uname),
            gname=_decode(values.get("gname") or block.gname),
            major=block.major,
            minor=block.minor,
            xattrs={key[len(pax.XATTR) :]: value for key, value in values.items() if _is_xattr(key)},
            segments=segments,
            full_size=full_size,
        )

    def _sparse(
        self, raw: bytes, block: header.Block, records: list[tuple[str, bytes]], values: dict[str, bytes]
    ) -> tuple[tuple[Segment, ...] | None, int]:
        """Return the map and the full size of a sparse file; leaves the data that remains to be read."""
        segments: tuple[Segment, ...] | None
        if block.flag == "S":
            segments, full_size = sparse.old_gnu(raw, self._read_framing_block)
        elif values.get("GNU.sparse.major") == b"1" and values.get("GNU.sparse.minor") == b"0":
            full_size = pax.integer(values.get("GNU.sparse.realsize", b""))
            segments = sparse.from_data(self._read_data_block)
        else:
            segments = sparse.from_records(records)
            if segments is None:
                return None, self._data_left
            full_size = pax.integer(values.get("GNU.sparse.size") or values.get("GNU.sparse.realsize", b""))
        sparse.check(segments, full_size, self._data_left)
        return segments, full_size

    def _read_extended(self, size: int) -> bytes:
        if size > MAX_EXTENDED:
            raise TarError("archive/tar: invalid tar header: extended header too long")
        data = self._exactly(size + -size % BLOCK)
        self._frame(data)
        return data[:size]

    # Blocks

    def _read_header(self) -> bytes | None:
        """Return the next header block, or None at the end: two zero blocks, or the stream's own end."""
        if not self._fill():
            return None
        block = self._read_framing_block()
        if block != header.ZERO_BLOCK:
            return block
        if self._fill() and self._read_framing_block() != header.ZERO_BLOCK:
            raise TarError("archive/tar: invalid tar header")
        return None

    def _read_framing_block(self) -> bytes:
        block = self._exactly(BLOCK)
        self._frame(block)
        return block

    def _read_data_block(self) -> bytes:
        """Read a block of a member's data that is not content (a sparse map)."""
        if self._data_left < BLOCK:
            raise TarError("archive/tar: invalid tar header: bad sparse map")
        self._data_left -= BLOCK
        return self._read_framing_block()

    def _skip(self) -> None:
        left = self._data_left + self._padding
        self._data_left = self._padding = 0
        while left:
            data = self._some(min(left, CHUNK))
            self._frame(data)
            left -= len(data)

    def _frame(self, data: bytes) -> None:
        if self._framing is not None and data:
            self._framing(data)

    # The stream

    def _fill(self) -> bool:
        """Make sure that the buffer has something; False at the end of the stream."""
        if self._position == len(self._buffer):
            self._buffer, self._position = self._source.read(CHUNK), 0
        return bool(self._buffer)

    def _some(self, size: int) -> bytes:
        if not self._fill():
            raise TarError("unexpected EOF")
        data = self._buffer[self._position : self._position + size]
        self._position += len(data)
        return data

    def _exactly(self, size: int) -> bytes:
        data = self._some(size) if size else b""
        while len(data) < size:
            data += self._some(size - len(data))
        return data


def _is_xattr(key: str) -> bool:
    return key.startswith(pax.XATTR) and len(key) > len(pax.XATTR)


def _text(values: dict[str, bytes], key: str, default: bytes) -> bytes:
    value = values.get(key) or default
    if b"\0" in value:
        raise TarError("archive/tar: invalid tar header: NUL in a name")
    return value


def _identity(values: dict[str, bytes], key: str, default: int) -> int:
    number = pax.integer(values[key]) if values.get(key) else default
    # The kernel's ids have 32 bits, and the last one means "leave it" to chown(2).
    if not 0 <= number < 0xFFFFFFFF:
        raise TarError(f"archive/tar: invalid tar header: {key} out of range")
    return number


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
