"""`top`: the processes of a container, as the host's ps(1) shows them.

Owns running ps and choosing its lines, by the rules of moby's daemon/top_unix.go. Blocking: called in a
thread.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection

from sampan import errors

_SECONDS = 20.0
_DEFAULT = "-ef"

# With "-o pid=NAME" and the like, the column of pids could no longer be told by its title.
_RENAMED_COLUMN = re.compile(r"\s+(\w*)=\s*(PID[^\s]*)", re.ASCII)


def top(ps_args: str, pids: Collection[int]) -> dict[str, object]:
    """`GET /containers/{name}/top`. Raises InvalidArgument and SampanError in dockerd's words."""
    for found in _RENAMED_COLUMN.finditer(ps_args):
        if found[1] != "pid":
            raise errors.InvalidArgument(f'specifying "{found[1]}={found[2]}" is not allowed')
    return parse(_run((ps_args or _DEFAULT).split()), pids)


def _run(arguments: list[str]) -> str:
    try:
        done = subprocess.run(
            ["ps", *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except FileNotFoundError:
        raise errors.SampanError('ps: exec: "ps": executable file not found in $PATH') from None
    except subprocess.TimeoutExpired:
        raise errors.Unavailable("ps did not end in time") from None
    if done.returncode:
        raise errors.SampanError(f"ps: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode(errors="replace")


def parse(output: str, pids: Collection[int]) -> dict[str, object]:
    """The lines of the given processes, split as the titles are; the last column takes the rest."""
    header, *lines = output.splitlines() or [""]
    titles = header.split()
    if "PID" not in titles:
        raise errors.SampanError("Couldn't find PID field in ps output")
    column, last = titles.index("PID"), len(titles) - 1
    processes = []
    for line in lines:
        fields = line.split()
        if len(fields) > column and fields[column].isdecimal() and int(fields[column]) in pids:
            processes.append([*fields[:last], " ".join(fields[last:])])
    return {"Titles": titles, "Processes": processes}
