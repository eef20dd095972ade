"""The 512-byte header block: fields in and out of it.

Owns the layouts (v7, ustar, GNU) and the number formats. Layout from POSIX.1-2017 and GNU tar's manual,
"Basic Tar Format"; which blocks are refused follows Go's archive/tar.
"""

from __future__ import annotations

from sampan.records import dataclass
from sampan.wire.tarstream.entry import BLOCK, TarError

ZERO_BLOCK = bytes(BLOCK)
MAX_SIZE = (1 << 63) - 1
_CHECKSUM = slice(148, 156)
_OCTAL_DIGITS = frozenset(b"01234567")


@dataclass(frozen=True, slots=True)
class Block:
    """The fields of one header block, before extended headers are applied."""

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    flag: str
    linkname: bytes
    uname: bytes
    gname: bytes
    major: int
    minor: int


def decode(block: bytes) -> Block:
    """Read a header block that is not all zeros."""
    if not _checksum_matches(block):
        raise TarError("archive/tar: invalid tar header")
    magic = block[257:265]
    name = cut(block[0:100])
    uname = gname = b""
    major = minor = 0
    if magic[:5] == b"ustar":
        uname, gname = cut(block[265:297]), cut(block[297:329])
        if block[156:157] in (b"3", b"4"):
            major, minor = number(block[329:337]), number(block[337:345])
        # GNU's magic is "ustar  \0": the bytes of the prefix field hold other things there.
        if magic[5:6] == b"\0":
            prefix = cut(block[345:500])
            if prefix:
                name = prefix + b"/" + name
    size = number(block[124:136])
    if not 0 <= size <= MAX_SIZE:
        raise TarError("archive/tar: invalid tar header: size out of range")
    return Block(
        name=name,
        mode=number(block[100:108]),
        uid=number(block[108:116]),
        gid=number(block[116:124]),
        size=size,
        mtime=number(block[136:148]),
        flag=block[156:157].decode("latin-1"),
        linkname=cut(block[157:257]),
        uname=uname,
        gname=gname,
        major=major,
        minor=minor,
    )


def cut(data: bytes) -> bytes:
    """Return a text field up to its first NUL."""
    end = data.find(b"\0")
    return data if end < 0 else data[:end]


def number(data: bytes) -> int:
    """Read a number field: octal text, or base-256 (GNU) when the first bit is set."""
    if data[0] & 0x80:
        return _base256(data)
    text = data.strip(b" \0")
    end = text.find(b"\0")
    text = text if end < 0 else text[:end]
    if not text:
        return 0
    if not _OCTAL_DIGITS.issuperset(text):
        raise TarError("archive/tar: invalid tar header: bad number")
    return int(text, 8)


def _base256(data: bytes) -> int:
    # The first bit marks the format, the second is the sign of a two's complement number.
    value = int.from_bytes(data, "big") & ((1 << (len(data) * 8 - 1)) - 1)
    if data[0] & 0x40:
        value -= 1 << (len(data) * 8 - 1)
    if not -MAX_SIZE <= value <= MAX_SIZE:
        raise TarError("archive/tar: invalid tar header: number out of range")
    return value


def _checksum_matches(block: bytes) -> bool:
    try:
        stored = number(block[_CHECKSUM])
    except TarError:
        return False
    outside = block[:148] + block[156:]
    # Eight spaces stand in for the checksum field itself.
    unsigned = sum(outside) + 8 * 0x20
    if stored == unsigned:
        return True
    # Old SunOS tars summed signed characters.
    signed = unsigned - 256 * len([byte for byte in outside if byte & 0x80])
    return stored == signed


def encode(block: Block) -> bytes:
    """Write a ustar header block; every field has to fit (`fits` tells)."""
    fields = b"".join(
        (
            block.name.ljust(100, b"\0"),
            _octal(block.mode, 8),
            _octal(block.uid, 8),
            _octal(block.gid, 8),
            _octal(block.size, 12),
            _octal(block.mtime, 12),
            b" " * 8,
            block.flag.encode("latin-1"),
            block.linkname.ljust(100, b"\0"),
            b"ustar\x0000",
            block.uname.ljust(32, b"\0"),
            block.gname.ljust(32, b"\0"),
            _octal(block.major, 8),
            _octal(block.minor, 8),
        )
    ).ljust(BLOCK, b"\0")
    return fields[:148] + b"%06o\0 " % sum(fields) + fields[156:]


def fits(value: int, width: int) -> bool:
    """Tell whether the number fits a field of this width as octal text with its closing NUL."""
    return 0 <= value < 1 << 3 * (width - 1)


def _octal(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)
