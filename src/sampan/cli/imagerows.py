"""Rows about images, for `images` and `system df -v`."""

from __future__ import annotations

import time

from sampan.cli.formatting import Row, short_id
from sampan.wire.units import human_duration, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NONE = "<none>"
UNKNOWN = -1  # what the engine says of sizes and counts that it did not compute


def _known_size(size: int) -> str:
    return "N/A" if size == UNKNOWN else human_size(size)


def created_at(seconds: int) -> str:
    """Go's Time.String in the local zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(seconds))


def _unique_size(row: Row) -> str:
    size, shared = row.number("Size"), row.number("SharedSize")
    return "N/A" if UNKNOWN in (size, shared) else human_size(size - shared)


class ImageRow(Row):
    """An image under one of its names: `image_rows` adds Repository, Tag and Digest to the document."""

    __slots__ = ()
    go_type = "*formatter.imageContext"
    fields = {
        "Containers": lambda row: (
            "N/A" if row.number("Containers") == UNKNOWN else str(row.number("Containers"))
        ),
        "CreatedAt": lambda row: created_at(row.number("Created")),
        "CreatedSince": lambda row: human_duration(time.time() - row.number("Created")) + " ago",
        "Digest": lambda row: row.text("Digest"),
        "ID": lambda row: short_id(row.text("Id")) if row.truncate else row.text("Id"),
        "Repository": lambda row: row.text("Repository"),
        "SharedSize": lambda row: _known_size(row.number("SharedSize")),
        "Size": lambda row: human_size(row.number("Size"), 3),
        "Tag": lambda row: row.text("Tag"),
        "UniqueSize": _unique_size,
        "VirtualSize": lambda row: human_size(row.number("VirtualSize") or row.number("Size")),
    }
    headings = {
        "Containers": "CONTAINERS",
        "CreatedAt": "CREATED AT",
        "CreatedSince": "CREATED",
        "Digest": "DIGEST",
        "ID": "IMAGE ID",
        "Repository": "REPOSITORY",
        "SharedSize": "SHARED SIZE",
        "Size": "SIZE",
        "Tag": "TAG",
        "UniqueSize": "UNIQUE SIZE",
        "VirtualSize": "SIZE",
    }


def image_rows(images: Sequence[object], truncate: bool, digests: bool) -> list[Row]:
    """A row for each name of each image; one row for an image without a name."""
    rows: list[Row] = []
    for image in images:
        assert isinstance(image, dict)
        for repository, tag, digest in _names(image, digests):
            rows.append(ImageRow(image | {"Repository": repository, "Tag": tag, "Digest": digest}, truncate))
    return rows


def _names(image: Mapping[str, object], digests: bool) -> Iterator[tuple[str, str, str]]:
    tags = _by_repository(image.get("RepoTags"), ":")
    found = _by_repository(image.get("RepoDigests"), "@")
    if not tags and not found:
        yield NONE, NONE, NONE
    for repository, names in tags.items():
        shown = found.pop(repository, [])
        for name in names:
            for digest in (shown if digests else []) or [NONE]:
                yield repository, name, digest
    for repository, names in found.items():
        for digest in names if digests else [NONE]:
            yield repository, NONE, digest


def _by_repository(references: object, separator: str) -> dict[str, list[str]]:
    """`busybox:latest` as {"busybox": ["latest"]}, with names in their short form."""
    found: dict[str, list[str]] = {}
    for reference in references if isinstance(references, list) else ():
        repository, _, rest = str(reference).rpartition(separator)
        if repository and repository != NONE:
            if repository.startswith("docker.io/"):
                repository = repository.removeprefix("docker.io/").removeprefix("library/")
            found.setdefault(repository, []).append(rest)
    return found
