"""pax extended header records: `"%d %s=%s\\n"`, length first (POSIX.1-2017, "pax Extended Header").

Owns the record syntax and the values of its numbers and times. The keys that matter to a file tree are
applied by the reader.
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.wire.tarstream.entry import TarError

MAX_RECORDS = 4096
XATTR = "SCHILY.xattr."
_NANOSECONDS = 10**9


def parse(data: bytes) -> list[tuple[str, bytes]]:
    """Read all records in order: old GNU sparse maps repeat a key, so this is no mapping."""
    records: list[tuple[str, bytes]] = []
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 20)
        length_text = data[position:space]
        if space < 0 or not length_text.isdigit():
            raise TarError("archive/tar: invalid tar header: bad pax record")
        end = position + int(length_text)
        record = data[space + 1 : end]
        key, equals, value = record[:-1].partition(b"=")
        if end > len(data) or not record.endswith(b"\n") or not equals or not key:
            raise TarError("archive/tar: invalid tar header: bad pax record")
        records.append((key.decode("utf-8", "surrogateescape"), value))
        if len(records) > MAX_RECORDS:
            raise TarError("archive/tar: invalid tar header: too many pax records")
        position = end
    return records


def integer(value: bytes) -> int:
    """Read a decimal number."""
    digits = value[1:] if value[:1] == b"-" else value
    if not digits.isdigit() or len(digits) > 19:
        raise TarError("archive/tar: invalid tar header: bad pax number")
    return int(value)


def nanoseconds(value: bytes) -> int:
    """Read a time in seconds with a decimal fraction of any length; digits after the ninth are cut off."""
    whole, _, fraction = value.partition(b".")
    if fraction and not fraction.isdigit():
        raise TarError("archive/tar: invalid tar header: bad pax time")
    part = int(fraction[:9].ljust(9, b"0")) if fraction else 0
    if whole in (b"", b"-") and not fraction:
        raise TarError("archive/tar: invalid tar header: bad pax time")
    seconds = integer(whole) if whole not in (b"", b"-") else 0
    return seconds * _NANOSECONDS + (-part if value[:1] == b"-" else part)


def encode(records: Iterable[tuple[str, bytes]]) -> bytes:
    """Write records, each with the length that counts its own digits."""
    return b"".join(_record(key.encode("utf-8", "surrogateescape"), value) for key, value in records)


def _record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = len(body)
    while length != len(body) + len(str(length)):
        length = len(body) + len(str(length))
    return str(length).encode() + body


def format_time(nanoseconds_: int) -> bytes:
    """Write a time as seconds with the fraction that is needed."""
    sign = "-" if nanoseconds_ < 0 else ""
    seconds, part = divmod(abs(nanoseconds_), _NANOSECONDS)
    text = f"{sign}{seconds}.{part:09}".rstrip("0").rstrip(".")
    return text.encode()
