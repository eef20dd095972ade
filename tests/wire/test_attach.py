"""The multiplexed stream: what is encoded comes back, in any cut; what is not a frame is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.wire import attach


def test_frame_layout() -> None:
    assert attach.encode(attach.STDERR, b"ab") == b"\x02\0\0\0\0\0\0\x02ab"
    assert attach.encode(attach.STDOUT, b"") == b"\x01\0\0\0\0\0\0\0"


def test_a_long_payload_becomes_several_frames() -> None:
    payload = bytes(range(256)) * 5000
    frames = attach.encode(attach.STDOUT, payload)
    pieces = list(attach.Demultiplexer().feed(frames))
    assert [len(piece) for _, piece in pieces] == [attach.MAX_PAYLOAD, len(payload) - attach.MAX_PAYLOAD]
    assert b"".join(piece for _, piece in pieces) == payload


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=8), st.data())
def test_any_cut_gives_the_same_streams(writes: list[tuple[int, bytes]], data: st.DataObject) -> None:
    wire = b"".join(attach.encode(stream, payload) for stream, payload in writes)
    decoder = attach.Demultiplexer()
    streams = {1: b"", 2: b""}
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        for stream, piece in decoder.feed(wire[:size]):
            streams[stream] += piece
        wire = wire[size:]
    assert not decoder.in_frame
    assert streams == {n: b"".join(payload for stream, payload in writes if stream == n) for n in (1, 2)}


@pytest.mark.parametrize("junk", [b"\x04\0\0\0\0\0\0\x01", b"\x01\0\x01\0\0\0\0\x01", b"HTTP/1.1 "])
def test_what_is_not_a_frame_is_refused(junk: bytes) -> None:
    with pytest.raises(attach.FrameError):
        list(attach.Demultiplexer().feed(junk))


@pytest.mark.parametrize("cut", [3, 8, 9])
def test_truncation_is_seen(cut: int) -> None:
    decoder = attach.Demultiplexer()
    list(decoder.feed(attach.encode(1, b"abc")[:cut]))
    assert decoder.in_frame
