"""What may differ between two engines that behave alike: ids, times, process ids and folders."""

from __future__ import annotations

import re
from pathlib import Path

HEX_64 = re.compile(r"\b[0-9a-f]{64}\b")
HEX_12 = re.compile(r"\b[0-9a-f]{12}\b")
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?( [+-]\d{4} \w+)?")
AGO = re.compile(r"(Less than a|About an?|\d+) (second|minute|hour)s?( ago)?")
MAC = re.compile(r"\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b")
NUMBERS = re.compile(r'("(?:Pid|NanoCPUs?|SizeRw|Size|VirtualSize|StartedAt|FinishedAt)"): \d+')
EPOCH = re.compile(r"\b1[789]\d{8}(\.\d+)?\b")
COLUMNS = re.compile(r" {2,}")


def normalise(text: str, directory: Path) -> str:
    """`text` with everything replaced that two engines of the same behaviour may print differently."""
    text = text.replace(str(directory), "<DIR>")
    text = TIME.sub("<TIME>", text)
    text = EPOCH.sub("<EPOCH>", text)
    text = AGO.sub("<AGO>", text)
    text = MAC.sub("<MAC>", text)
    text = NUMBERS.sub(r"\1: <N>", text)
    text = _number_ids(text)
    return COLUMNS.sub("  ", text)


def _number_ids(text: str) -> str:
    """Ids by order of first appearance, so that two mentions of one object stay recognisable."""
    seen: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        return seen.setdefault(match.group()[:12], f"<ID{len(seen)}>")

    return HEX_12.sub(name, HEX_64.sub(name, text))
