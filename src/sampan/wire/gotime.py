"""Times and durations in Go's text forms: RFC 3339 with nanoseconds, `1h2m3.5s`, and Docker's `--since`
values.

A time is an `int`, nanoseconds since 1970 in UTC: Python's `datetime` stops at microseconds, and Docker
compares and prints nine digits. Owns parsing and formatting alone; the caller supplies the clock and the
zone. Must not import `datetime`, `re` or `calendar`: the CLI reads times on its hot path.

Formats: https://pkg.go.dev/time#pkg-constants, https://pkg.go.dev/time#ParseDuration, and for `--since` and
`--until` https://docs.docker.com/reference/cli/docker/container/logs/.
"""

from __future__ import annotations

NANOSECONDS = 1_000_000_000
ZERO = -62_135_596_800 * NANOSECONDS
"""Go's zero time, 0001-01-01T00:00:00Z: Docker's word for "never" in State.FinishedAt and others."""
ZERO_TEXT = "0001-01-01T00:00:00Z"

MAX_DURATION = (1 << 63) - 1

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # micro sign
    "\u03bcs": 1_000,  # Greek letter mu
    "ms": 1_000_000,
    "s": NANOSECONDS,
    "m": 60 * NANOSECONDS,
    "h": 3600 * NANOSECONDS,
}
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


# --- RFC 3339 -----------------------------------------------------------------------------------------------


def format_rfc3339(nanoseconds: int, *, offset: int = 0, fixed: bool = False) -> str:
    """Go's RFC3339Nano: trailing zeros of the fraction cut off, `Z` for UTC.

    `offset` is the zone in seconds east of UTC. `fixed` keeps all nine digits, as `docker logs --timestamps`
    does.
    """
    seconds, fraction = divmod(nanoseconds + offset * NANOSECONDS, NANOSECONDS)
    days, clock = divmod(seconds, 86_400)
    year, month, day = _civil(days)
    text = f"{year:04d}-{month:02d}-{day:02d}T{clock // 3600:02d}:{clock // 60 % 60:02d}:{clock % 60:02d}"
    digits = f"{fraction:09d}" if fixed else f"{fraction:09d}".rstrip("0")
    return f"{text}.{digits}{_zone(offset)}" if digits else text + _zone(offset)


def parse_rfc3339(text: str) -> int:
    """The time that RFC 3339 `text` names, its fraction cut to nanoseconds. Raises ValueError as Go words
    it.
    """
    try:
        date, clock, zone = _split(text)
        if len(clock) < 8 or not zone:
            raise ValueError
        return _instant(date, clock) - _parse_zone(zone) * NANOSECONDS
    except ValueError:
        layout = '"2006-01-02T15:04:05Z07:00"'
        raise ValueError(f'parsing time "{text}" as {layout}: cannot parse "{text}"') from None


def _zone(offset: int) -> str:
    if offset == 0:
        return "Z"
    sign = "-" if offset < 0 else "+"
    return f"{sign}{abs(offset) // 3600:02d}:{abs(offset) // 60 % 60:02d}"


def _parse_zone(text: str) -> int:
    if text == "Z":
        return 0
    if len(text) != 6 or text[0] not in "+-" or text[3] != ":":
        raise ValueError(text)
    hours, minutes = _number(text[1:3], 24), _number(text[4:], 59)
    return (hours * 3600 + minutes * 60) * (-1 if text[0] == "-" else 1)


def _split(text: str) -> tuple[str, str, str]:
    """`text` as (date, clock, zone); clock and zone are empty when missing. A date alone may carry a zone
    too.
    """
    date, rest = text[:10], text[10:]
    clock = ""
    if rest[:1] == "T":
        end = next((i for i, character in enumerate(rest) if character in "Z+-"), len(rest))
        clock, rest = rest[1:end], rest[end:]
    return date, clock, rest


def _instant(date: str, clock: str) -> int:
    """Nanoseconds of a date and a clock (`15`, `15:04`, `15:04:05`, `15:04:05.999`) in UTC."""
    year, month, day = _date(date)
    whole, point, fraction = clock.replace(",", ".").partition(".")
    parts = whole.split(":") if clock else []
    if (
        len(parts) > 3
        or any(len(part) != 2 for part in parts)
        or (point and (len(parts) != 3 or not fraction))
    ):
        raise ValueError(clock)
    hour, minute, second = (*(_number(p, m) for p, m in zip(parts, (23, 59, 59), strict=False)), 0, 0, 0)[:3]
    if fraction and not _digits(fraction):
        raise ValueError(clock)
    seconds = _days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
    return seconds * NANOSECONDS + int(fraction[:9].ljust(9, "0"))


def _date(text: str) -> tuple[int, int, int]:
    if len(text) != 10 or text[4] != "-" or text[7] != "-":
        raise ValueError(text)
    year, month, day = _number(text[:4], 9999), _number(text[5:7], 12), _number(text[8:], 31)
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if month < 1 or day < 1 or day > _MONTH_DAYS[month - 1] + leap:
        raise ValueError(text)
    return year, month, day


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(text: str, maximum: int) -> int:
    if not _digits(text) or int(text) > maximum:
        raise ValueError(text)
    return int(text)


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the proleptic Gregorian calendar (years begin in March, so that a leap day is
    last).
    """
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def _civil(days: int) -> tuple[int, int, int]:
    """(year, month, day) of a number of days since 1970-01-01: the inverse of `_days`."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year_of_era + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1


# --- durations ----------------------------------------------------------------------------------------------


def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration such as `300ms`, `-1.5h` or `2h45m`. Raises ValueError in Go's words."""
    quoted = f'"{text}"'
    unsigned = text[1:] if text[:1] in ("-", "+") else text
    if unsigned == "0":
        return 0
    if not unsigned:
        raise ValueError(f"time: invalid duration {quoted}")
    total = position = 0
    while position < len(unsigned):
        start = position
        position = _skip(unsigned, position, "0123456789.")
        value = unsigned[start:position]
        whole, _, fraction = value.partition(".")
        if not (whole or fraction) or "." in fraction:
            raise ValueError(f"time: invalid duration {quoted}")
        start, position = position, _skip_unit(unsigned, position)
        unit = unsigned[start:position]
        if not unit:
            raise ValueError(f"time: missing unit in duration {quoted}")
        if unit not in _UNITS:
            raise ValueError(f'time: unknown unit "{unit}" in duration {quoted}')
        scale = _UNITS[unit]
        total += int(whole or 0) * scale + int(fraction or 0) * scale // 10 ** len(fraction)
    if total > MAX_DURATION:
        raise ValueError(f"time: invalid duration {quoted}")
    return -total if text[0] == "-" else total


def _skip(text: str, position: int, characters: str) -> int:
    while position < len(text) and text[position] in characters:
        position += 1
    return position


def _skip_unit(text: str, position: int) -> int:
    while position < len(text) and text[position] not in "0123456789.":
        position += 1
    return position


def format_duration(nanoseconds: int) -> str:
    """A duration as Go's `Duration.String` writes it: `1h2m3.5s`, `1.5ms`, `0s`."""
    if nanoseconds == 0:
        return "0s"
    sign, value = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    for unit, scale in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if value < scale * 1000:
            return f"{sign}{_decimal(value, scale)}{unit}"
    minutes, rest = divmod(value, 60 * NANOSECONDS)
    text = f"{_decimal(rest, NANOSECONDS)}s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = f"{minutes}m{text}"
        if hours:
            text = f"{hours}h{text}"
    return sign + text


def _decimal(value: int, scale: int) -> str:
    whole, fraction = divmod(value, scale)
    digits = f"{fraction:0{len(str(scale)) - 1}d}".rstrip("0") if scale > 1 else ""
    return f"{whole}.{digits}" if digits else str(whole)


# --- Docker's --since and --until ---------------------------------------------------------------------------


def parse_unix(text: str) -> int:
    """The `seconds[.nanoseconds]` of the API's `since` and `until`; raises ValueError in Go's words."""
    seconds, point, fraction = text.partition(".")
    for number in (seconds, fraction) if point else (seconds,):
        if not _digits(number[1:] if number[:1] in ("-", "+") else number):
            raise ValueError(f'strconv.ParseInt: parsing "{number}": invalid syntax')
    # The API counts the fraction from the left (`.5` is half a second), and a negative time keeps its sign in
    # it.
    nanoseconds = int(fraction[:9].ljust(9, "0")) if point else 0
    return int(seconds) * NANOSECONDS + (-nanoseconds if seconds.startswith("-") else nanoseconds)


def parse_since(text: str, now: int, *, offset: int = 0) -> int:
    """A `--since` value: a duration back from `now`, a date or time (in the zone `offset` unless it names
    one), or seconds since 1970. Raises ValueError in the words of the docker CLI.
    """
    if text != "0":
        try:
            return now - parse_duration(text)
        except ValueError:
            pass
    if "-" in text[1:]:
        return _parse_local(text, offset)
    try:
        return parse_unix(text)
    except ValueError:
        raise ValueError(f'failed to parse value as time or duration: "{text}"') from None


def _parse_local(text: str, offset: int) -> int:
    try:
        date, clock, zone = _split(text)
        return _instant(date, clock) - (_parse_zone(zone) if zone else offset) * NANOSECONDS
    except ValueError:
        layout = "2006-01-02T15:04:05" if "T" in text else "2006-01-02"
        raise ValueError(f'parsing time "{text}" as "{layout}": cannot parse "{text}"') from None
