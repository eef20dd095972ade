"""Compressed streams: what each program writes is read, in small pieces, and damage is said."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
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
        return super().read(min(size or 0, 7) if size != -1 else -1)


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


def test_a_gzip_stream_with_a_file_name() -> None:
    buffer = io.BytesIO()
    with gzip.GzipFile("name.tar", "wb", fileobj=buffer) as file:
        file.write(b"content")
    assert read(buffer.getvalue(), Dripping) == b"content"


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
