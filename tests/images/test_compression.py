"""Compressed streams: what each program writes is read, in small pieces, and damage is said."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sampan import errors
from sampan.images.compression import decompressed, detect

CODECS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
}


class Dripping(io.BytesIO):
    """Gives a few bytes at a time, as a network does."""

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size >= 0
        return super().read(min(size, 7))


def read(data: bytes, source: type[io.BytesIO] = io.BytesIO) -> bytes:
    stream = decompressed(source(data))
    out = bytearray()
    while chunk := stream.read(1000):
        assert len(chunk) <= 1000
        out += chunk
    assert stream.read(1000) == b""
    return bytes(out)


@pytest.mark.parametrize("name", CODECS)
@given(content=st.binary(max_size=5000), repeat=st.integers(1, 20))
def test_what_was_compressed_comes_out(name: str, content: bytes, repeat: int) -> None:
    content = b"plain:" + content * repeat
    data = CODECS[name](content)
    assert detect(data) == name
    assert read(data) == content
    assert read(data, Dripping) == content


@pytest.mark.parametrize("name", [name for name in CODECS if name])
def test_streams_behind_each_other_are_one(name: str) -> None:
    data = CODECS[name](b"first ") + CODECS[name](b"second")
    assert read(data) == b"first second"
    assert read(data, Dripping) == b"first second"


def test_zeros_behind_a_gzip_stream_are_padding() -> None:
    assert read(gzip.compress(b"x") + bytes(5000)) == b"x"


@pytest.mark.parametrize("flags", range(0, 32, 2))
def test_gzip_headers_with_optional_fields(flags: int) -> None:
    """RFC 1952: FHCRC 2, FEXTRA 4, FNAME 8, FCOMMENT 16."""
    raw = zlib.compressobj(wbits=-15)
    header = b"\x1f\x8b\x08" + bytes([flags]) + bytes(6)
    header += (10_000).to_bytes(2, "little") + b"x" * 10_000 if flags & 4 else b""
    header += b"name\0" if flags & 8 else b""
    header += b"comment\0" if flags & 16 else b""
    header += (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little") if flags & 2 else b""
    trailer = zlib.crc32(b"content").to_bytes(4, "little") + (7).to_bytes(4, "little")
    data = header + raw.compress(b"content") + raw.flush() + trailer
    assert read(data) == b"content"
    assert read(data, Dripping) == b"content"


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz"])
def test_a_stream_cut_short_is_an_error(name: str) -> None:
    data = CODECS[name](bytes(range(256)) * 400)
    for end in (len(data) - 1, len(data) // 2, 11):
        with pytest.raises(errors.InvalidArgument, match="unexpected EOF"):
            read(data[:end])


@pytest.mark.parametrize("name", [name for name in CODECS if name])
def test_a_damaged_stream_is_an_error(name: str) -> None:
    data = bytearray(CODECS[name](bytes(range(256)) * 400))
    for position in range(12, len(data) - 10, max(1, len(data) // 20)):
        data[position] ^= 0xFF
    with pytest.raises(errors.InvalidArgument):
        read(bytes(data))


def test_a_bomb_is_held_in_small_pieces() -> None:
    stream = decompressed(io.BytesIO(gzip.compress(bytes(50 << 20))))
    assert len(stream.read(1000)) <= 1000
