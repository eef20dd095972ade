"""Detach keys: "ctrl-p,ctrl-q" as the bytes that a terminal sends.

Owns the notation (github.com/moby/term, ascii.go).
"""

from __future__ import annotations

from sampan import errors

_DEFAULT = (16, 17)  # ctrl-p, ctrl-q

# In the order of their codes, from 0 on; DEL is written by its name.
_CONTROLS = "@abcdefghijklmnopqrstuvwxyz[\\]^_"


def parse(text: str) -> tuple[int, ...]:
    """The bytes of a sequence of keys. Raises InvalidArgument in dockerd's words."""
    if not text:
        return _DEFAULT
    try:
        return tuple(_code(key) for key in text.split(","))
    except ValueError:
        raise errors.InvalidArgument(f"Invalid detach keys ({text}) provided") from None


def _code(key: str) -> int:
    if key == "DEL":
        return 127
    if len(key) == 1 and key.isascii():
        return ord(key)
    prefix, _, control = key.partition("-")
    if prefix != "ctrl" or len(control) != 1:
        raise ValueError(key)
    return _CONTROLS.index(control)
