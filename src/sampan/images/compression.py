"""Compressed streams opened by what they begin with: gzip, bzip2, xz and zstd, or nothing at all.

Owns the detection (the magic numbers that Docker's archive package knows) and the choice of codec: isal
inflates at twice the speed of zlib, zstandard at four times. Each codec is imported when a stream needs it.
No external program is ever run: a decompressor found on some PATH is somebody else's code (CVE-2026-41567).
"""

from __future__ import annotations

from typing import IO, Protocol, cast

from sampan import errors
from sampan.images.layers import ByteSource

_CHUNK = 1 << 17
_MAGIC = (
    ("gzip", b"\x1f\x8b\x08"),
    ("bzip2", b"BZh"),
    ("xz", b"\xfd7zXZ\x00"),
    ("zstd", b"\x28\xb5\x2f\xfd"),
)
_XZ_MEMORY = 256 << 20
"""What `xz -9` needs is 65 MB; a stream that asks for more than this is after the memory."""


class _Decompressor(Protocol):
    """The interface that bz2, lzma and isal share."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


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
    """gzip, bzip2 and xz: one stream, or several one after the other, as their own programs read them."""

    def __init__(self, name: str, source: ByteSource) -> None:
        self._name = name
        self._source = source
        self._decompressor = _new(name)
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
        except Exception as error:
            # The codecs' errors (IsalError, LZMAError, OSError of bz2) have no base in common.
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
        self._decompressor = _new(self._name)
        return True


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


def _new(name: str) -> _Decompressor:
    if name == "gzip":
        from isal import igzip_lib

        gzip: _Decompressor = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        return gzip
    if name == "bzip2":
        import bz2

        return bz2.BZ2Decompressor()
    import lzma

    return lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY)
