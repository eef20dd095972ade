"""`--device` and `--device-cgroup-rule`: from a client's words to nodes and rules of the OCI form.

Owns the syntax, and looking at the host's nodes, which happens when the container starts.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from typing import Any

from sampan import errors
from sampan.engine.schema import DeviceMapping

Document = dict[str, Any]

_ALL_ACCESS = "rwm"

# What a container may do to devices besides making nodes: Docker's default list. The runtime adds its own.
DEFAULT_RULES: tuple[Document, ...] = (
    {"allow": False, "access": _ALL_ACCESS},
    *(
        {"allow": True, "type": "c", "major": major, "minor": minor, "access": _ALL_ACCESS}
        for major, minor in ((1, 3), (1, 5), (1, 8), (1, 9), (5, 0), (5, 1))
    ),
    {"allow": False, "type": "c", "major": 10, "minor": 229, "access": _ALL_ACCESS},
)
EVERYTHING: Document = {"allow": True, "access": _ALL_ACCESS}


def add_all(mappings: Sequence[DeviceMapping] | None) -> tuple[list[Document], list[Document]]:
    """Nodes and rules of `--device`, in order. Raises InvalidArgument for a device that is not there."""
    nodes: list[Document] = []
    rules: list[Document] = []
    for mapping in mappings or ():
        for path, target in _expand(mapping):
            node = _node(path, target)
            nodes.append(node)
            rule = {"allow": True, "type": node["type"], "major": node["major"], "minor": node["minor"]}
            rules.append(rule | {"access": mapping.cgroup_permissions or _ALL_ACCESS})
    return nodes, rules


def host_devices() -> list[Document]:
    """Every node in the host's /dev, as a privileged container has them; terminals and mounts stay out."""
    return [
        _node(path, path)
        for path in _walk("/dev")
        if not path.startswith(("/dev/pts/", "/dev/shm/", "/dev/mqueue/"))
    ]


def _expand(mapping: DeviceMapping) -> Iterator[tuple[str, str]]:
    """A folder of devices stands for all nodes in it."""
    source = os.path.realpath(mapping.path_on_host)
    target = mapping.path_in_container or mapping.path_on_host
    if not os.path.isdir(source):
        yield source, target
        return
    found = [(path, target + path.removeprefix(source)) for path in _walk(source)]
    if not found:
        raise _cannot_add(mapping.path_on_host, "no such file or directory")
    yield from found


def _walk(folder: str) -> Iterator[str]:
    for top, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = f"{top}/{name}"
            try:
                mode = os.lstat(path).st_mode
            except FileNotFoundError:
                continue
            if (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)) and name != "console":
                yield path


def _node(path: str, target: str) -> Document:
    try:
        found = os.stat(path)
    except OSError as error:
        raise _cannot_add(path, os.strerror(error.errno or 0).lower()) from None
    if stat.S_ISCHR(found.st_mode):
        kind = "c"
    elif stat.S_ISBLK(found.st_mode):
        kind = "b"
    else:
        raise _cannot_add(path, "not a device node")
    return {
        "path": target,
        "type": kind,
        "major": os.major(found.st_rdev),
        "minor": os.minor(found.st_rdev),
        "fileMode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
    }


def _cannot_add(path: str, why: str) -> errors.InvalidArgument:
    return errors.InvalidArgument(
        f'error gathering device information while adding custom device "{path}": {why}'
    )


def parse_rule(text: str) -> Document:
    """One `--device-cgroup-rule`, "c 1:3 rwm". Raises InvalidArgument in dockerd's words."""
    parts = text.split(" ")
    major, colon, minor = parts[1].partition(":") if len(parts) == 3 else ("", "", "")
    valid = (
        len(parts) == 3
        and parts[0] in ("a", "b", "c")
        and colon
        and all(number == "*" or (number.isdecimal() and len(number) < 10) for number in (major, minor))
        and 1 <= len(parts[2]) <= 3
        and set(parts[2]) <= set(_ALL_ACCESS)
    )
    if not valid:
        raise errors.InvalidArgument(f"invalid device cgroup rule format: '{text}'")
    rule: Document = {"allow": True, "type": parts[0], "access": parts[2]}
    for key, number in (("major", major), ("minor", minor)):
        if number != "*":
            rule[key] = int(number)
    return rule


def block_device(path: str) -> tuple[int, int]:
    """Major and minor of a block device that a limit names. Raises InvalidArgument."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise errors.InvalidArgument(f"{path}: {os.strerror(error.errno or 0).lower()}") from None
    return os.major(found.st_rdev), os.minor(found.st_rdev)
