"""Sizes and spans of time in the words of Docker's go-units: `1.98MB`, `7.6GiB`, `64m`, `About an hour`.

Owns reading and writing of such text. Must not know what is measured. The CLI's hot path imports it.
"""

from __future__ import annotations

DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")
SUFFIXES = "kmgtp"
DAY = 24


def human_size(size: float, digits: int = 4) -> str:
    """A size in powers of 1000: HumanSize (4 digits), or HumanSizeWithPrecision."""
    return _scaled(size, 1000.0, DECIMAL, digits)


def bytes_size(size: float) -> str:
    """A size in powers of 1024: BytesSize."""
    return _scaled(size, 1024.0, BINARY, 4)


def _scaled(size: float, base: float, names: tuple[str, ...], digits: int) -> str:
    index = 0
    while size >= base and index < len(names) - 1:
        size /= base
        index += 1
    return _general(size, digits) + names[index]


def _general(value: float, digits: int) -> str:
    """Go's %.4g, which writes an exponent of two digits just as Python does."""
    return f"{value:.{digits}g}"


def human_duration(seconds: float) -> str:
    """HumanDuration: the one biggest unit."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    minutes = whole // 60
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours < 2 * DAY:
        return "About an hour" if hours == 1 else f"{hours} hours"
    if hours < 14 * DAY:
        return f"{hours // DAY} days"
    if hours < 60 * DAY:
        return f"{hours // DAY // 7} weeks"
    if hours < 2 * 365 * DAY:
        return f"{hours // DAY // 30} months"
    return f"{int(seconds / 3600) // DAY // 365} years"


def ram_in_bytes(text: str) -> int:
    """RAMInBytes: `64m`, `1.5 GiB`, `100`, in powers of 1024. Raises ValueError in go-units' words."""
    digits = max(text.rfind(character) for character in "0123456789. ")
    if digits < 0:
        raise ValueError(f"invalid size: '{text}'")
    number = text[:digits] if text[digits] == " " else text[: digits + 1]
    suffix = text[digits + 1 :].lower()
    try:
        if not number or not set(number) <= set("0123456789.eE+-xXpP_infatyINFATYN"):
            raise ValueError
        size = float(number)
    except ValueError:
        raise ValueError(f'strconv.ParseFloat: parsing "{number}": invalid syntax') from None
    if size < 0:
        raise ValueError(f"invalid size: '{text}'")
    if not suffix or suffix == "b":
        return int(size)
    if suffix[0] not in SUFFIXES or suffix[1:] not in ("", "b", "ib"):
        raise ValueError(f"invalid suffix: '{suffix}'")
    return int(size * 1024 ** (SUFFIXES.index(suffix[0]) + 1))
