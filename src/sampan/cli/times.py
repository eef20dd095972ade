"""`--since` and `--until`: what the user writes, as the seconds that the API takes."""

from __future__ import annotations

import time

from sampan.wire.gotime import NANOSECONDS, parse_duration, parse_since


def timestamp(text: str) -> str:
    """Seconds since 1970; nothing for nothing. Raises ValueError in Docker's words."""
    if not text:
        return ""
    now = time.time_ns()
    if text != "0":
        try:
            return str((now - parse_duration(text)) // NANOSECONDS)  # whole seconds, as Docker sends them
        except ValueError:
            pass
    if "-" not in text[1:]:
        parse_since(text, now)
        return text  # seconds already, or a complaint
    moment = parse_since(text, now, offset=_offset(now))
    # The zone of the day that was meant may be another than today's: summer time.
    moment = parse_since(text, now, offset=_offset(moment))
    seconds, rest = divmod(moment, NANOSECONDS)
    return f"{seconds}.{rest:09d}"


def _offset(nanoseconds: int) -> int:
    """Seconds east of UTC in the local zone at a time."""
    try:
        return time.localtime(nanoseconds // NANOSECONDS).tm_gmtoff
    except (OverflowError, OSError, ValueError):
        return 0
