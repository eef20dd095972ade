"""Lists of processors or memory nodes as the kernel writes them: "0-3,7" (cpuset(7), "List format")."""

from __future__ import annotations


def parse_numbers(text: str, limit: int) -> tuple[int, ...]:
    """The numbers of a list, in ascending order, all below `limit`. Raises ValueError.

    Bounded, so that a range of a few characters cannot fill the memory (CVE-2018-20699).
    """
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip(" ").partition("-")
        if not part.strip(" "):
            continue
        low = _number(first.strip(" "), limit)
        high = _number(last.strip(" "), limit) if dash else low
        if high < low:
            raise ValueError(f'"{part}" ends before it begins')
        found.update(range(low, high + 1))
    return tuple(sorted(found))


def _number(text: str, limit: int) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        raise ValueError(f'"{text}" is not a number')
    number = int(text)
    if number >= limit:
        raise ValueError(f"{number} is not below {limit}")
    return number
