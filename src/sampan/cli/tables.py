"""Columns: the layout of Go's text/tabwriter with the settings that Docker uses.

A cell ends with a tab; the last cell of a line is not part of a column. A column is as wide as its widest
cell in neighbouring lines plus three blanks, and at least ten.
"""

from __future__ import annotations

MINIMUM = 10
PADDING = 3


def align(text: str, minimum: int = MINIMUM, padding: int = PADDING) -> str:
    """`text` with its tabs turned into blanks."""
    lines = [line.split("\t") for line in text.split("\n")]
    for column in range(max(len(cells) for cells in lines) - 1):
        start = 0
        while start < len(lines):
            if len(lines[start]) - 1 <= column:
                start += 1
                continue
            end = start
            while end < len(lines) and len(lines[end]) - 1 > column:
                end += 1
            width = max(minimum, padding + max(len(cells[column]) for cells in lines[start:end]))
            for cells in lines[start:end]:
                cells[column] = cells[column].ljust(width)
            start = end
    return "\n".join(["".join(cells) for cells in lines])
