"""Files of `--env-file` and `--label-file`: a `NAME=value` or a `NAME` on each line; `#` comments."""

from __future__ import annotations

from sampan.cli.containers.values import environment
from sampan.cli.failure import path_failure


def read_env_files(paths: list[str]) -> list[str]:
    """The variables; a name alone takes the value that it has here, or is left out."""
    found = []
    for path in paths:
        for line in _lines(path):
            name, equals, _ = line.partition("=")
            if equals:
                found.append(line)
            elif (value := environment(line)) is not None:
                found.append(f"{name.strip()}={value}")
    return found


def read_label_files(paths: list[str]) -> list[str]:
    return [line for path in paths for line in _lines(path) if "=" in line]


def _lines(path: str) -> list[str]:
    """The lines that count. Raises ValueError for one that cannot be."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise ValueError(path_failure("open", path, error).message) from None
    found = []
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            line = raw.removesuffix(b"\r").decode().lstrip(" \t\v\f\r\x85\xa0")
        except UnicodeDecodeError:
            raise ValueError(f"invalid env file ({path}): invalid utf8 bytes at line {number}") from None
        if not line or line[0] == "#":
            continue
        name = line.partition("=")[0]
        if not name:
            raise ValueError(f"invalid env file ({path}): no variable name on line '{line}'")
        if any(character.isspace() for character in name):
            raise ValueError(f"invalid env file ({path}): variable '{name}' contains whitespaces")
        found.append(line)
    return found
