"""What may differ between two engines that behave alike: ids, times, process ids and folders."""

from __future__ import annotations

import json
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


# Paths that dockerd 20.10 does not mask yet, and keys that only one of the two versions has.
MASKED_SINCE = {"/proc/interrupts", "/sys/devices/virtual/powercap"}
ONLY_OLD = {"KernelMemory", "KernelMemoryTCP", "DockerVersion"}
# Where the layers lie and how a sandbox is named is each engine's own affair.
OWN_AFFAIR = {"SandboxKey", "LowerDir", "MergedDir", "UpperDir", "WorkDir"}


def normalise(text: str, directory: Path) -> str:
    """`text` with everything replaced that two engines of the same behaviour may print differently."""
    try:
        text = json.dumps(_normal_document(json.loads(text)), indent=1, sort_keys=True) + "\n"
    except ValueError:
        pass
    text = text.replace(str(directory), "<DIR>")
    text = TIME.sub("<TIME>", text)
    text = EPOCH.sub("<EPOCH>", text)
    text = AGO.sub("<AGO>", text)
    text = MAC.sub("<MAC>", text)
    text = NUMBERS.sub(r"\1: <N>", text)
    text = _number_ids(text)
    return COLUMNS.sub("  ", text)


def _normal_document(value: object) -> object:
    if isinstance(value, list):
        return [_normal_document(item) for item in value]
    if not isinstance(value, dict):
        return value
    document = {key: _normal_document(item) for key, item in value.items() if key not in ONLY_OLD}
    for key in OWN_AFFAIR & document.keys():
        document[key] = bool(document[key])
    if isinstance(masked := document.get("MaskedPaths"), list):
        document["MaskedPaths"] = sorted(set(masked) - MASKED_SINCE)
    return document


def _number_ids(text: str) -> str:
    """Ids by order of first appearance, so that two mentions of one object stay recognisable."""
    seen: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        return seen.setdefault(match.group()[:12], f"<ID{len(seen)}>")

    return HEX_12.sub(name, HEX_64.sub(name, text))
