"""The `--device` flag."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def parse_devices(values: Iterable[str]) -> tuple[list[dict[str, str]], list[str]]:
    """Device mappings, and the names of CDI devices (`vendor.com/class=name`). Raises ValueError."""
    mappings, cdi = [], []
    for value in values:
        if _is_cdi(value):
            cdi.append(value)
        else:
            mappings.append(_mapping(value))
    return mappings, cdi


def _is_cdi(value: str) -> bool:
    kind, equals, name = value.partition("=")
    vendor, slash, device_class = kind.partition("/")
    return bool(equals and name and slash and vendor and vendor[0].isalpha() and device_class.isidentifier())


def _mapping(value: str) -> dict[str, str]:
    parts = value.split(":")
    if len(parts) > 3 or not parts[0]:
        raise ValueError(f"bad format for path: {value}")
    source, inside, mode = parts[0], parts[0], "rwm"
    if len(parts) == 2:
        if _is_mode(parts[1]):
            mode = parts[1]
        else:
            inside = _clean(parts[1])
    elif len(parts) == 3:
        inside, mode = parts[1], parts[2]
        if not _is_mode(mode):
            raise ValueError(f"bad mode specified: {mode}")
    if not inside.startswith("/"):
        raise ValueError(f"{inside} is not an absolute path")
    if inside == source:
        source = inside = _clean(source)
    return {"PathOnHost": source, "PathInContainer": inside, "CgroupPermissions": mode}


def _is_mode(text: str) -> bool:
    return bool(text) and not set(text) - set("rwm") and len(set(text)) == len(text)


def _clean(path: str) -> str:
    """path.Clean, for absolute paths."""
    from sampan.cli.containers.mounts import absolute

    return absolute(path) if path.startswith("/") else path
