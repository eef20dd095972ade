"""Tars for tests, written member by member."""

from __future__ import annotations

import io
from collections.abc import Iterable

from sampan.wire.tarstream import END_OF_ARCHIVE, Entry, Kind, encode_header, padding

Member = tuple[Entry, bytes]


def file(
    name: str, data: bytes = b"", *, mode: int = 0o644, uid: int = 0, gid: int = 0, **more: object
) -> Member:
    return Entry(name=name, size=len(data), mode=mode, uid=uid, gid=gid, **more), data  # type: ignore[arg-type]


def folder(name: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0, mtime: int = 0) -> Member:
    entry = Entry(name=name, kind=Kind.DIRECTORY, mode=mode, uid=uid, gid=gid, mtime_ns=mtime * 10**9)
    return entry, b""


def symlink(name: str, target: str) -> Member:
    return Entry(name=name, kind=Kind.SYMLINK, linkname=target, mode=0o777), b""


def hardlink(name: str, target: str) -> Member:
    return Entry(name=name, kind=Kind.LINK, linkname=target), b""


def device(name: str, major: int, minor: int, kind: str = Kind.CHARACTER) -> Member:
    return Entry(name=name, kind=kind, major=major, minor=minor, mode=0o666), b""


def fifo(name: str) -> Member:
    return Entry(name=name, kind=Kind.FIFO, mode=0o600), b""


def tar(*members: Member) -> bytes:
    """Return the archive of the members."""
    parts: list[bytes] = []
    for entry, data in members:
        parts += [encode_header(entry), data, padding(len(data))]
    return b"".join([*parts, END_OF_ARCHIVE])


def stream(members: Iterable[Member]) -> io.BytesIO:
    """Return the archive as a source."""
    return io.BytesIO(tar(*members))
