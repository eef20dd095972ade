"""GNU sparse files, in the four forms that GNU tar has written (its manual, "Storing Sparse Files").

Owns the maps: which stretches of a file the archive holds. A map is checked before anything is written, since
its numbers come from outside: in order, without overlap, inside the file, and as long as the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sampan.wire.tarstream import pax
from sampan.wire.tarstream.entry import BLOCK, Segment, TarError
from sampan.wire.tarstream.header import MAX_SIZE, number

MAX_SEGMENTS = 1 << 18
Segments = tuple[Segment, ...]


def old_gnu(block: bytes, read_block: Callable[[], bytes]) -> tuple[Segments, int]:
    """Read the map of a type `S` header and of the blocks that continue it; returns it and the full size."""
    segments: list[Segment] = []
    full_size = number(block[483:495])
    entries, more = block[386:482], block[482]
    while True:
        for at in range(0, len(entries), 24):
            if entries[at] == 0:
                break
            segments.append(Segment(number(entries[at : at + 12]), number(entries[at + 12 : at + 24])))
        _bound(segments)
        if not more:
            return tuple(segments), full_size
        extension = read_block()
        entries, more = extension[:504], extension[504]


def from_records(records: Iterable[tuple[str, bytes]]) -> Segments | None:
    """Read the map of pax format 0.0 (repeated keys) or 0.1 (one list); None when there is no map."""
    numbers: list[int] = []
    found = False
    for key, value in records:
        if key == "GNU.sparse.map":
            found = True
            numbers = [pax.integer(one) for one in value.split(b",")] if value else []
        elif key in ("GNU.sparse.offset", "GNU.sparse.numbytes"):
            found = True
            if (len(numbers) % 2 == 0) != (key == "GNU.sparse.offset"):
                raise TarError("archive/tar: invalid tar header: bad sparse map")
            numbers.append(pax.integer(value))
    return _pairs(numbers) if found else None


def from_data(read_block: Callable[[], bytes]) -> Segments:
    """Read the map of pax format 1.0 from the front of the data, block by block."""
    data = bytearray()

    def line() -> int:
        while (end := data.find(b"\n")) < 0:
            if len(data) > BLOCK:
                raise TarError("archive/tar: invalid tar header: bad sparse map")
            data.extend(read_block())
        value = pax.integer(bytes(data[:end]))
        del data[: end + 1]
        return value

    count = line()
    if not 0 <= count <= MAX_SEGMENTS:
        raise TarError("archive/tar: invalid tar header: sparse map too long")
    return _pairs([line() for _ in range(2 * count)])


def check(segments: Segments, full_size: int, data_size: int) -> None:
    """Refuse a map that is out of order, overlaps, leaves the file or does not fit the data."""
    end = 0
    for segment in segments:
        if segment.offset < end or segment.length < 0:
            raise TarError("archive/tar: invalid tar header: bad sparse map")
        end = segment.offset + segment.length
    if not end <= full_size <= MAX_SIZE or sum(one.length for one in segments) != data_size:
        raise TarError("archive/tar: invalid tar header: bad sparse map")


def _pairs(numbers: list[int]) -> Segments:
    if len(numbers) % 2:
        raise TarError("archive/tar: invalid tar header: bad sparse map")
    segments = [Segment(numbers[at], numbers[at + 1]) for at in range(0, len(numbers), 2)]
    _bound(segments)
    return tuple(segments)


def _bound(segments: list[Segment]) -> None:
    if len(segments) > MAX_SEGMENTS:
        raise TarError("archive/tar: invalid tar header: sparse map too long")
