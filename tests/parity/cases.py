"""Reads `scenarios.txt`: section names in brackets, then one shell line per command."""

from __future__ import annotations

from pathlib import Path


def _read(text: str) -> dict[str, list[str]]:
    scenarios: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("[") and line.endswith("]"):
            lines = scenarios.setdefault(line[1:-1], [])
        elif line and not line.startswith("#"):
            lines.append(line)
    return scenarios


SCENARIOS = _read((Path(__file__).parent / "scenarios.txt").read_text())
