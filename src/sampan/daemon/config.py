"""The daemon's configuration: defaults, then daemon.json, then flags; frozen and checked.

Owns the merge alone. Which values exist is said in `options`, how they are written in `flags` and
`configfile`.
"""

from __future__ import annotations

import grp

from sampan import errors
from sampan.api import addresses
from sampan.daemon import configfile
from sampan.daemon.flags import Flags
from sampan.daemon.options import DEFAULT_HOST, TABLE, Value
from sampan.records import dataclass

_DEFAULT_GROUPS = ("sampan", "docker")


@dataclass(frozen=True, slots=True)
class Config:
    """What the daemon was told."""

    values: dict[str, Value | None]
    hosts: tuple[addresses.Address, ...]

    def text(self, key: str) -> str:
        value = self.values[key]
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int:
        value = self.values[key]
        return value if isinstance(value, int) else 0

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.values[key]
        return tuple(value) if isinstance(value, list) else ()

    def mapping(self, key: str) -> dict[str, str]:
        value = self.values[key]
        return value if isinstance(value, dict) else {}

    @property
    def log_level(self) -> str:
        return "debug" if self.values["debug"] else self.text("log-level")

    def group(self) -> int | None:
        """The group of the socket: the configured one, else `sampan` or `docker` if they exist."""
        name = self.text("group")
        if name.isdigit():
            return int(name)
        for candidate in (name,) if name else _DEFAULT_GROUPS:
            try:
                return grp.getgrnam(candidate).gr_gid
            except KeyError:
                continue
        if name:
            raise errors.InvalidArgument(f"group {name} not found")
        return None


def load(flags: Flags) -> Config:
    """The configuration that flags and file give together. Raises InvalidArgument in dockerd's words."""
    given = flags.configuration()
    path = flags.config_file
    try:
        from_file = configfile.read(path, given, required="config-file" in flags.given)
    except errors.InvalidArgument as error:
        message = f"unable to configure the Sampan daemon with file {path}: {error}"
        raise errors.InvalidArgument(message) from None
    values: dict[str, Value | None] = {option.key: option.default for option in TABLE}
    values |= from_file | given
    hosts = values["hosts"]
    texts = hosts if isinstance(hosts, list) else []
    return Config(values, tuple(addresses.parse(text) for text in dict.fromkeys(texts or [DEFAULT_HOST])))
