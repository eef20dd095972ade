"""Go's times and durations: to the nanosecond, over all years, and Docker's --since forms."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.wire import gotime

SECOND = gotime.NANOSECONDS
NOW = 1_700_000_000 * SECOND
LAST = (gotime._days(9999, 12, 31) + 1) * 86_400 * SECOND - 1


@given(st.integers(gotime.ZERO, LAST))
def test_rfc3339_comes_back(instant: int) -> None:
    assert gotime.parse_rfc3339(gotime.format_rfc3339(instant)) == instant
    assert gotime.parse_rfc3339(gotime.format_rfc3339(instant, fixed=True)) == instant


@given(st.datetimes(min_value=datetime.datetime(2, 1, 1), max_value=datetime.datetime(9998, 1, 1)))
def test_rfc3339_agrees_with_datetime(moment: datetime.datetime) -> None:
    moment = moment.replace(tzinfo=datetime.UTC)
    instant = gotime.parse_rfc3339(moment.isoformat())
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    assert instant == (moment - epoch) // datetime.timedelta(microseconds=1) * 1000


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (gotime.ZERO, gotime.ZERO_TEXT),
        (0, "1970-01-01T00:00:00Z"),
        (1_795_578_129_268_389_070, "2026-11-25T03:42:09.26838907Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
    ],
)
def test_rfc3339_text(instant: int, text: str) -> None:
    assert gotime.format_rfc3339(instant) == text
    assert gotime.parse_rfc3339(text) == instant


def test_zones() -> None:
    assert gotime.format_rfc3339(0, offset=-19_800) == "1969-12-31T18:30:00-05:30"
    assert gotime.parse_rfc3339("1969-12-31T18:30:00-05:30") == 0
    assert gotime.format_rfc3339(5, fixed=True) == "1970-01-01T00:00:00.000000005Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:00",
        "2026-01-01",
        "2026-01-01T00:00Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00+1:00",
        "\uff12026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.\u0663Z",
    ],
)
def test_what_is_not_a_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="parsing time"):
        gotime.parse_rfc3339(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1h2m3.5s", 3_723_500_000_000),
        ("-1.5h", -5_400_000_000_000),
        ("0", 0),
        ("100ns", 100),
        ("1.5us", 1500),
        ("1µs", 1000),
        (".5s", 500_000_000),
        ("5.s", 5 * SECOND),
        ("+3m", 180 * SECOND),
    ],
)
def test_durations(text: str, value: int) -> None:
    assert gotime.parse_duration(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("3", 'time: missing unit in duration "3"'),
        ("3d", 'time: unknown unit "d" in duration "3d"'),
        (".s", 'time: invalid duration ".s"'),
        ("1.2.3s", 'time: invalid duration "1.2.3s"'),
        ("-", 'time: invalid duration "-"'),
        ("9999999999h", 'time: invalid duration "9999999999h"'),
    ],
)
def test_bad_durations_in_go_words(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        gotime.parse_duration(text)
    assert str(caught.value) == message


@given(st.integers(-(1 << 62), 1 << 62))
def test_durations_come_back(value: int) -> None:
    assert gotime.parse_duration(gotime.format_duration(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1500, "1.5µs"),
        (1_500_000, "1.5ms"),
        (SECOND, "1s"),
        (90 * SECOND, "1m30s"),
        (3600 * SECOND, "1h0m0s"),
        (-3_723_500_000_000, "-1h2m3.5s"),
    ],
)
def test_duration_text(value: int, text: str) -> None:
    assert gotime.format_duration(value) == text


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("10m", NOW - 600 * SECOND),
        ("1136073600", 1_136_073_600 * SECOND),
        ("1136073600.000000001", 1_136_073_600 * SECOND + 1),
        ("0", 0),
        ("2006-01-02", 1_136_160_000 * SECOND - 3600 * SECOND),
        ("2006-01-02Z", 1_136_160_000 * SECOND),
        ("2006-01-02T15", 1_136_160_000 * SECOND + 14 * 3600 * SECOND),
        ("2006-01-02T15:04", 1_136_160_000 * SECOND + (14 * 60 + 4) * 60 * SECOND),
        ("2006-01-02T15:04:05.5", 1_136_160_000 * SECOND + ((14 * 60 + 4) * 60 + 5) * SECOND + SECOND // 2),
        ("2006-01-02T15:04:05+02:00", 1_136_160_000 * SECOND + ((13 * 60 + 4) * 60 + 5) * SECOND),
    ],
)
def test_since(text: str, instant: int) -> None:
    assert gotime.parse_since(text, NOW, offset=3600) == instant


@pytest.mark.parametrize("text", ["abc", "2006-13-02", "1.2.3", ""])
def test_bad_since(text: str) -> None:
    with pytest.raises(ValueError, match="pars"):
        gotime.parse_since(text, NOW)


def test_unix_words() -> None:
    with pytest.raises(ValueError) as caught:
        gotime.parse_unix("abc")
    assert str(caught.value) == 'strconv.ParseInt: parsing "abc": invalid syntax'
