"""Log options as the policy of a shim's log file.

Owns their meaning, defaults and errors. Docker's default is a log that grows without end; here it is
rotated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sampan import errors
from sampan.engine.schema import LogConfig
from sampan.shim.protocol import LogPolicy

DEFAULT_OPTIONS = {"max-size": "10m", "max-file": "5"}

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?", re.ASCII | re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def policy(config: LogConfig, defaults: Mapping[str, str], path: str) -> LogPolicy | None:
    """None when nothing is logged. Raises InvalidArgument for a value that is none, in dockerd's words."""
    if config.type == "none":
        return None
    options = config.config or defaults or DEFAULT_OPTIONS
    try:
        return LogPolicy(path, _max_size(options.get("max-size")), _max_file(options.get("max-file")))
    except ValueError as error:
        raise errors.InvalidArgument(f"failed to initialize logging driver: {error}") from None


def _max_size(text: str | None) -> int | None:
    if text is None or text == "-1":
        return None
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"invalid size: '{text}'")
    # Powers of 1000: moby reads it by go-units' FromHumanSize.
    size = int(float(found[1]) * 1000 ** _POWERS[found[2].lower()])
    if size <= 0:
        raise ValueError("max-size must be a positive number")
    return size


def _max_file(text: str | None) -> int:
    if text is None:
        return 1
    try:
        number = int(text)
    except ValueError:
        raise ValueError(f'strconv.Atoi: parsing "{text}": invalid syntax') from None
    if number < 1:
        raise ValueError("max-file cannot be less than 1")
    return number
