"""Compressed streams opened by what they begin with: gzip, bzip2, xz and zstd, or nothing at all.

Owns the detection (the magic numbers that Docker's archive package knows) and the choice of codec: isal
inflates at twice the speed of zlib, zstandard at four times. Each codec is imported when a stream needs it.
No external program is ever run: a decompressor found on some PATH is somebody else's code (CVE-2026-41567).
"""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, cast

from sampan import errors
from sampan.images.layers import ByteSource

if TYPE_CHECKING:
    import bz2
    import lzma

    from _typeshed import WriteableBuffer as Buffer

_CHUNK = 1 << 17
_MAGIC = (
    ("gzip", b"\x1f\x8b\x08"),
    ("bzip2", b"BZh"),
    ("xz", b"\xfd7zXZ\x00"),
    ("zstd", b"\x28\xb5\x2f\xfd"),
)
_XZ_MEMORY = 256 << 20
"""What `xz -9` needs is 65 MB; a stream that asks for more than this is after the memory."""


def detect(head: bytes) -> str:
    """Name the compression of a stream by its first bytes; "" for none that is known."""
    return next((name for name, magic in _MAGIC if head.startswith(magic)), "")


def decompressed(source: ByteSource) -> ByteSource:
    """Return a source of what the stream holds, or of the stream itself when it is not compressed."""
    head = b""
    while len(head) < 10 and (data := source.read(10 - len(head))):
        head += data
    whole = _Prefixed(head, source)
    name = detect(head)
    if name == "gzip":
        return _Gzip(whole)
    if name == "zstd":
        return _Zstd(whole)
    return _Decompressing(name, whole) if name else whole


class _Prefixed:
    """A source with bytes put back in front of it."""

    def __init__(self, head: bytes, source: ByteSource) -> None:
        self._head = head
        self._source = source

    def read(self, size: int, /) -> bytes:
        if not self._head:
            return self._source.read(size)
        data, self._head = self._head[:size], self._head[size:]
        return data


class _Decompressing:
    """bzip2 and xz: one stream, or several one after the other, as their own programs read them."""

    def __init__(self, name: str, source: ByteSource) -> None:
        self._name = name
        self._source = source
        self._decompressor, self._errors = _new(name)
        self._ended = False

    def read(self, size: int, /) -> bytes:
        while not self._ended:
            if self._decompressor.eof and not self._next_stream():
                break
            data = b""
            if self._decompressor.needs_input:
                data = self._source.read(_CHUNK)
                if not data:
                    raise errors.InvalidArgument("unexpected EOF")
            if output := self._decompress(data, size):
                return output
        return b""

    def _decompress(self, data: bytes, size: int) -> bytes:
        try:
            return self._decompressor.decompress(data, size)
        except self._errors as error:
            raise errors.InvalidArgument(f"invalid {self._name} stream: {error}") from error

    def _next_stream(self) -> bool:
        """Begin the stream behind the one that ended; zeros at the end are padding."""
        rest = self._decompressor.unused_data.lstrip(b"\0")
        while not rest:
            more = self._source.read(_CHUNK)
            if not more:
                self._ended = True
                return False
            rest = more.lstrip(b"\0")
        self._source = _Prefixed(rest, self._source)
        self._decompressor, self._errors = _new(self._name)
        return True


class _Gzip:
    """gzip members, one after the other.

    By isal's file reader: its incremental decompressor loses its way when a header with several optional
    fields comes in pieces (isal 1.9).
    """

    def __init__(self, source: ByteSource) -> None:
        import gzip

        from isal import igzip, isal_zlib

        self._reader = igzip.IGzipFile(fileobj=_Raw(source), mode="rb")  # type: ignore[no-untyped-call]
        # isal's own stubs have its error class down as an instance.
        self._errors = (gzip.BadGzipFile, cast("type[Exception]", isal_zlib.IsalError))

    def read(self, size: int, /) -> bytes:
        try:
            data: bytes = self._reader.read(size)
            return data
        except EOFError:
            raise errors.InvalidArgument("unexpected EOF") from None
        except self._errors as error:
            raise errors.InvalidArgument(f"invalid gzip stream: {error}") from error


class _Raw(io.RawIOBase):
    """A source as the file object that isal reads from."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer)
        data = self._source.read(len(view))
        view[: len(data)] = data
        return len(data)


class _Zstd:
    """zstd frames, one after the other."""

    def __init__(self, source: ByteSource) -> None:
        import zstandard

        # 128 MiB: the window of `zstd --long=27`, which is what decoders take by default.
        decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        self._reader = decompressor.stream_reader(cast("IO[bytes]", source), read_across_frames=True)
        self._error = zstandard.ZstdError

    def read(self, size: int, /) -> bytes:
        try:
            return self._reader.read(size)
        except self._error as error:
            raise errors.InvalidArgument(f"invalid zstd stream: {error}") from error


def _new(name: str) -> tuple[bz2.BZ2Decompressor | lzma.LZMADecompressor, tuple[type[Exception], ...]]:
    """Return a decompressor, and what it raises for bad data."""
    if name == "bzip2":
        import bz2

        return bz2.BZ2Decompressor(), (OSError, ValueError)
    import lzma

    return lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY), (lzma.LZMAError,)
