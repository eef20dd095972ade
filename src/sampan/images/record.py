"""The record of a layer's tar: what is needed, besides the extracted files, to make its exact bytes again.

Owns the record's format. A record is the archive with each file's content replaced by a reference to the
extracted file (the idea of Docker's tar-split): a zstd stream of

    MAGIC                                   once
    b"R" u32 length, bytes                  bytes to copy: headers, padding, the archive's end
    b"F" u32 length, path,                  a file of which to copy
         u32 n, n times (u64 offset, u64 length)    these stretches

Numbers are big-endian; the path is the file's real one, without links. A record of 12,000 members takes 300
kB. zstandard is imported when a record is first made or read: it costs the daemon a megabyte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from sampan import errors
from sampan.wire.tarstream import Segment

MAGIC = b"sampan layer record 1\n"
_FLUSH = 1 << 16
_LENGTH = struct.Struct(">I")
_STRETCH = struct.Struct(">QQ")
_MAX_LENGTH = 1 << 24


class RecordWriter:
    """Writes a record into a file; `close` completes it and leaves the file open."""

    def __init__(self, file: BinaryIO) -> None:
        import zstandard

        self._stream = zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False)
        self._frame_end = zstandard.FLUSH_FRAME
        self._stream.write(MAGIC)
        self._raw: list[bytes] = []
        self._raw_size = 0
        self.files = 0

    def raw(self, data: bytes) -> None:
        """Add bytes of the archive that stand nowhere else."""
        self._raw.append(data)
        self._raw_size += len(data)
        if self._raw_size >= _FLUSH:
            self._flush()

    def file(self, path: str, segments: tuple[Segment, ...]) -> int:
        """Add a reference to the content of an extracted file; returns its number."""
        self._flush()
        name = path.encode("utf-8", "surrogateescape")
        self._stream.write(b"F" + _LENGTH.pack(len(name)) + name + _LENGTH.pack(len(segments)))
        for segment in segments:
            self._stream.write(_STRETCH.pack(segment.offset, segment.length))
        self.files += 1
        return self.files - 1

    def close(self) -> None:
        """Write what is left and end the stream."""
        self._flush()
        self._stream.flush(self._frame_end)

    def _flush(self) -> None:
        if self._raw:
            data = b"".join(self._raw)
            self._stream.write(b"R" + _LENGTH.pack(len(data)) + data)
            self._raw, self._raw_size = [], 0


FileReference = tuple[str, list[Segment]]


def read_record(file: BinaryIO) -> Iterator[bytes | FileReference]:
    """Yield the parts of a record in order: bytes to copy, or (path, stretches) of a file."""
    import zstandard

    stream = zstandard.ZstdDecompressor().stream_reader(file, closefd=False)
    if _exactly(stream, len(MAGIC)) != MAGIC:
        raise errors.SampanError("damaged layer record")
    while mark := stream.read(1):
        length = _length(stream)
        if mark == b"R":
            yield _exactly(stream, length)
        elif mark == b"F":
            path = _exactly(stream, length).decode("utf-8", "surrogateescape")
            yield path, [Segment(*_STRETCH.unpack(_exactly(stream, 16))) for _ in range(_length(stream))]
        else:
            raise errors.SampanError("damaged layer record")


def _length(stream: BinaryIO) -> int:
    length: int = _LENGTH.unpack(_exactly(stream, 4))[0]
    if length > _MAX_LENGTH:
        raise errors.SampanError("damaged layer record")
    return length


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    while len(data) < size:
        more = stream.read(size - len(data))
        if not more:
            raise errors.SampanError("damaged layer record")
        data += more
    return data
