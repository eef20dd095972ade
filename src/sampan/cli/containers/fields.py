"""One record of comma-separated values, as encoding/csv reads it, with its quotes."""

from __future__ import annotations


def split_fields(text: str) -> list[str]:
    """The fields of the first line. Raises ValueError in Go's words."""
    line = text.partition("\n")[0].removesuffix("\r")
    if not line:
        raise ValueError("EOF")
    fields = []
    position = 0
    while True:
        field, position = _field(line, position)
        fields.append(field)
        if position >= len(line):
            return fields
        position += 1  # the comma
        if position == len(line):
            fields.append("")
            return fields


def _field(line: str, start: int) -> tuple[str, int]:
    if line[start : start + 1] != '"':
        end = line.find(",", start)
        end = len(line) if end < 0 else end
        if '"' in line[start:end]:
            column = line.index('"', start) + 1
            raise ValueError(f'parse error on line 1, column {column}: bare " in non-quoted-field')
        return line[start:end], end
    out = []
    position = start + 1
    while True:
        end = line.find('"', position)
        if end < 0:
            raise ValueError(
                f'parse error on line 1, column {len(line) + 1}: extraneous or missing " in quoted-field'
            )
        out.append(line[position:end])
        following = line[end + 1 : end + 2]
        if following == '"':
            out.append('"')
            position = end + 2
            continue
        if following not in ("", ","):
            raise ValueError(
                f'parse error on line 1, column {end + 1}: extraneous or missing " in quoted-field'
            )
        return "".join(out), end + 1
