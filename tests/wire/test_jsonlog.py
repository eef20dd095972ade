"""Log entries: byte for byte as dockerd writes them, and whole again when they are read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan import errors
from sampan.wire import jsonlog

NOON = 1_700_000_000_100_000_000
STAMP = "2023-11-14T22:13:20.1Z"


def entries(pieces: list[bytes]) -> list[bytes]:
    """The log of a stream that was read in these pieces."""
    encoder = jsonlog.LogEncoder("stdout")
    written = b"".join(encoder.feed(piece, NOON + number) for number, piece in enumerate(pieces))
    return (written + encoder.finish(NOON + len(pieces))).splitlines()


def texts(pieces: list[bytes]) -> list[bytes]:
    return [jsonlog.decode(entry).text for entry in entries(pieces)]


def test_an_entry_has_dockers_bytes() -> None:
    # What dockerd 20.10 wrote for these bytes.
    data = b'end<>&"\\ \x01\x7f\t \xff\xe2\x80\xa8 \xc3\xa9 \xe2\x80 \r\b\f\x1e'
    body = (
        r"end\u003c\u003e\u0026\"\\ \u0001"
        + "\x7f"
        + r"\u0009 \ufffd\u2028 é \ufffd\ufffd \r\u0008\u000c\u001e"
    )
    expected = f'{{"log":"{body}","stream":"stdout","time":"{STAMP}"}}\n'
    encoder = jsonlog.LogEncoder("stdout")
    assert encoder.feed(data, 1) == b""
    assert encoder.finish(NOON) == expected.encode()


def test_the_last_line_waits_for_its_end() -> None:
    assert texts([b"a\nb", b"c\n", b"d"]) == [b"a\n", b"bc\n", b"d"]


def test_a_long_line_becomes_partial_entries_of_one_time() -> None:
    size = jsonlog.PARTIAL_SIZE
    lines = entries([b"x" * 40_000, b"y\nz\n"])
    parsed = [json.loads(line) for line in lines]
    assert [len(entry["log"]) for entry in parsed] == [size, size, 40_000 - 2 * size + 2, 2]
    assert parsed[2]["log"].endswith("xy\n")
    assert len({entry["time"] for entry in parsed[:3]}) == 1
    assert parsed[3]["time"] != parsed[0]["time"]


@pytest.mark.parametrize(("surplus", "sizes"), [(-1, [16384]), (0, [16384, 1]), (1, [16384, 2])])
def test_the_line_that_just_fits(surplus: int, sizes: list[int]) -> None:
    line = b"x" * (jsonlog.PARTIAL_SIZE + surplus) + b"\n"
    assert [len(text) for text in texts([line])] == sizes


def test_a_character_is_not_cut_by_the_partial_size() -> None:
    line = ("a" * (jsonlog.PARTIAL_SIZE - 2) + "€" * 6000 + "\n").encode()
    assert b"".join(texts([line])) == line


@given(st.lists(st.binary(max_size=200)), st.integers(1, 3))
def test_reading_in_other_pieces_changes_nothing(pieces: list[bytes], repeat: int) -> None:
    data = b"".join(pieces) * repeat
    assert texts(pieces * repeat) == texts([data])
    assert (
        b"".join(texts([data]))
        == data.decode("utf-8", "surrogateescape").translate(dict.fromkeys(range(56448, 56576), "�")).encode()
    )


@given(st.text(), st.integers(1, 60_000))
def test_text_survives_whatever_the_line_length(text: str, repeat: int) -> None:
    data = (text * (repeat // (len(text) or 1) + 1)).encode()
    got = texts([data[start : start + 32768] for start in range(0, len(data), 32768)])
    assert b"".join(got) == data
    assert all(len(entry) <= jsonlog.PARTIAL_SIZE for entry in got)


@given(st.binary(max_size=300))
def test_decode_refuses_or_reads(line: bytes) -> None:
    try:
        jsonlog.decode(line)
    except errors.InvalidArgument:
        pass
