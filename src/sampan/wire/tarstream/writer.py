"""The tar writer: a member's header as bytes, the same bytes for the same member wherever it is written.

Owns what goes where: ustar as far as it reaches, pax records for the rest. The caller writes the data, then
`padding(size)`, and `END_OF_ARCHIVE` last.
"""

from __future__ import annotations

from sampan.wire.tarstream import header, pax
from sampan.wire.tarstream.entry import BLOCK, Entry, Kind

END_OF_ARCHIVE = bytes(2 * BLOCK)


def padding(size: int) -> bytes:
    """Return the zeros that fill the last block of data of this size."""
    return bytes(-size % BLOCK)


def encode_header(entry: Entry) -> bytes:
    """Return the header blocks of a member; the data that follows is `size` bytes, holes written out."""
    name, linkname = _encode(entry.name), _encode(entry.linkname)
    uname, gname = _encode(entry.uname), _encode(entry.gname)
    seconds, fraction = divmod(entry.mtime_ns, 10**9)
    size = 0 if entry.kind in Kind.HEADER_ONLY else entry.size
    records: list[tuple[str, bytes]] = []
    for key, text, limit in (
        ("path", name, 100),
        ("linkpath", linkname, 100),
        ("uname", uname, 32),
        ("gname", gname, 32),
    ):
        if len(text) > limit or not text.isascii():
            records.append((key, text))
    for key, value, width in (("uid", entry.uid, 8), ("gid", entry.gid, 8), ("size", size, 12)):
        if not header.fits(value, width):
            records.append((key, b"%d" % value))
    if fraction or not header.fits(seconds, 12):
        records.append(("mtime", pax.format_time(entry.mtime_ns)))
    records.extend((pax.XATTR + key, value) for key, value in sorted(entry.xattrs.items()))
    block = header.Block(
        name=name[:100],
        mode=entry.mode & 0o7777,
        uid=_fitting(entry.uid, 8),
        gid=_fitting(entry.gid, 8),
        size=_fitting(size, 12),
        mtime=_fitting(seconds, 12),
        flag=entry.kind,
        linkname=linkname[:100],
        uname=uname[:32],
        gname=gname[:32],
        major=entry.major,
        minor=entry.minor,
    )
    return (_extended_header(pax.encode(records)) if records else b"") + header.encode(block)


def _extended_header(data: bytes) -> bytes:
    block = header.Block(
        name=b"././@PaxHeader",
        mode=0o644,
        uid=0,
        gid=0,
        size=len(data),
        mtime=0,
        flag="x",
        linkname=b"",
        uname=b"",
        gname=b"",
        major=0,
        minor=0,
    )
    return header.encode(block) + data + padding(len(data))


def _fitting(value: int, width: int) -> int:
    return value if header.fits(value, width) else 0


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
