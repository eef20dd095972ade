"""Signals by number or by name, as Docker takes them.

Owns the names alone.
"""

from __future__ import annotations

import signal

from sampan import errors

_NAMES: dict[str, int] = {
    name.removeprefix("SIG"): int(value)
    for name, value in signal.Signals.__members__.items()
    if not name.startswith("SIGRT")
}
# The C library keeps the first two real-time signals (of 32 to 64) for itself: signal(7).
_RTMIN, _RTMAX = 34, 64
_NAMES |= {"RTMIN": _RTMIN, "RTMAX": _RTMAX}
_NAMES |= {f"RTMIN+{offset}": _RTMIN + offset for offset in range(1, 16)}
_NAMES |= {f"RTMAX-{offset}": _RTMAX - offset for offset in range(1, 15)}


def parse(text: str) -> int:
    """A signal: "9", "KILL", "SIGKILL", "sigkill". Raises InvalidArgument in dockerd's words."""
    number = int(text) if text.isascii() and text.isdigit() else _NAMES.get(text.upper().removeprefix("SIG"))
    if not number or number > _RTMAX:
        raise errors.InvalidArgument(f"Invalid signal: {text}")
    return number


def stop_signal(configured: str) -> int:
    """The signal that asks a container to end: its own, or SIGTERM."""
    return parse(configured) if configured else int(signal.SIGTERM)
