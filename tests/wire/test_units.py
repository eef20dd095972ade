"""Sizes and durations in go-units' words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.wire.units import bytes_size, human_duration, human_size, ram_in_bytes


@pytest.mark.parametrize(
    ("size", "digits", "expected"),
    [
        (0, 4, "0B"),
        (999, 4, "999B"),
        (1000, 4, "1kB"),
        (1984312, 3, "1.98MB"),
        (1984312, 4, "1.984MB"),
        (999_999, 3, "1e+03kB"),
        (5e12, 4, "5TB"),
        (1e30, 4, "1e+06YB"),
    ],
)
def test_human_size(size: float, digits: int, expected: str) -> None:
    assert human_size(size, digits) == expected


def test_bytes_size() -> None:
    assert bytes_size(1023) == "1023B"
    assert bytes_size(25_277_476_864) == "23.54GiB"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3600, "About an hour"),
        (89 * 60, "About an hour"),
        (90 * 60, "2 hours"),
        (47.4 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (14 * 86400, "2 weeks"),
        (60 * 86400, "2 months"),
        (800 * 86400, "2 years"),
        (-5, "Less than a second"),
    ],
)
def test_human_duration(seconds: float, expected: str) -> None:
    assert human_duration(seconds) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("32", 32),
        ("32b", 32),
        ("32B", 32),
        ("1k", 1024),
        ("1Ki", None),
        ("1KiB", 1024),
        ("1.5 GB", 3 << 29),
        ("5p", 5 << 50),
        (".5m", 1 << 19),
        ("1e3", 1000),
    ],
)
def test_ram_in_bytes(text: str, expected: int | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="invalid suffix"):
            ram_in_bytes(text)
    else:
        assert ram_in_bytes(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid size: ''"),
        ("x", "invalid size: 'x'"),
        ("-1", "invalid size: '-1'"),
        ("1x", "invalid suffix: 'x'"),
        ("1kbb", "invalid suffix: 'kbb'"),
        ("1bb", "invalid suffix: 'bb'"),
        ("a1", 'strconv.ParseFloat: parsing "a1": invalid syntax'),
    ],
)
def test_bad_sizes(text: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        ram_in_bytes(text)
    assert str(error.value) == message


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_a_complaint(text: str) -> None:
    try:
        assert ram_in_bytes(text) >= 0
    except ValueError as error:
        assert str(error)
