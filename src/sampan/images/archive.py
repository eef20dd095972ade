"""An image archive received: its members as files of our own naming, and what its manifests say.

Owns the two forms that `docker load` takes: Docker's, with `manifest.json` (both the one of before Docker 25,
with `<id>/layer.tar`, and the one of after, with `blobs/sha256/…`), and the OCI image layout, with
`index.json`. A member's name is a key and never a path; the archive is an enemy's until its digests are
checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from sampan import errors
from sampan.images.compression import decompressed
from sampan.images.layers import ByteSource
from sampan.images.unpack import split_name
from sampan.records import dataclass
from sampan.wire import digest as digests
from sampan.wire import reference
from sampan.wire.tarstream import Kind, TarReader

MAX_MEMBERS = 1 << 16
MAX_DOCUMENT = 8 << 20
_MAX_LINKS = 8
_MAX_INDEX_DEPTH = 4
_CHUNK = 1 << 18

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_NAME_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """An image of an archive: its configuration, the members with its layers (bottom first), its names."""

    config: bytes
    layers: tuple[str, ...]
    names: tuple[reference.Reference, ...]
    parent: str = ""


class Archive:
    """The members of an archive, kept in a folder that the caller owns."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._files: dict[str, tuple[str, int]] = {}
        self._links: dict[str, str] = {}

    def receive(self, stream: ByteSource) -> None:
        """Read the archive to its end, compressed or not."""
        reader = TarReader(decompressed(stream))
        for number, entry in enumerate(reader):
            if number >= MAX_MEMBERS:
                raise errors.InvalidArgument(f"invalid archive: more than {MAX_MEMBERS} files")
            path = split_name(entry.name)
            name = "/".join(path)
            if entry.is_file:
                kept = f"{self._place}/{number}"
                with open(kept, "xb") as file:
                    while data := reader.read(_CHUNK):
                        file.write(data)
                self._files[name] = (kept, entry.size)
            elif entry.kind == Kind.SYMLINK:
                # Old archives hold a layer once, and links to it for the other images.
                self._links[name] = "/".join(split_name("/".join((*path[:-1], entry.linkname))))
            elif entry.kind == Kind.LINK:
                self._links[name] = "/".join(split_name(entry.linkname))
        reader.drain()

    def __contains__(self, name: str) -> bool:
        return self._resolve(name) in self._files

    def size(self, name: str) -> int:
        """Return a member's size in the archive."""
        return self._find(name)[1]

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Open a member for reading."""
        with open(self._find(name)[0], "rb") as file:
            yield file

    def read(self, name: str) -> bytes:
        """Return a small member whole."""
        if self.size(name) > MAX_DOCUMENT:
            raise errors.InvalidArgument(f"invalid archive: {name} is longer than {MAX_DOCUMENT} bytes")
        with self.open(name) as file:
            return file.read()

    def document(self, name: str) -> Any:
        """Return a member that is JSON."""
        try:
            return json.loads(self.read(name))
        except (ValueError, RecursionError) as error:
            raise errors.InvalidArgument(f"invalid archive: {name}: {error}") from error

    def _find(self, name: str) -> tuple[str, int]:
        found = self._files.get(self._resolve(name))
        if found is None:
            raise errors.InvalidArgument(f"invalid archive: {name}: no such file")
        return found

    def _resolve(self, name: str) -> str:
        name = "/".join(split_name(name))
        for _ in range(_MAX_LINKS):
            if name not in self._links:
                break
            name = self._links[name]
        return name


def read_images(archive: Archive, architecture: str) -> list[ArchivedImage]:
    """Return the images of an archive; of one for several machines, those for this architecture."""
    if "manifest.json" in archive:
        return [_docker_image(archive, item) for item in _items(archive.document("manifest.json"))]
    if "index.json" in archive:
        index = archive.document("index.json")
        return _merge(list(_oci_images(archive, index, architecture, (), _MAX_INDEX_DEPTH)))
    if "repositories" in archive:
        raise errors.Unsupported("invalid archive: images saved before Docker 1.10 are not supported")
    raise errors.InvalidArgument("invalid archive: does not contain a manifest.json")


def _docker_image(archive: Archive, item: dict[str, Any]) -> ArchivedImage:
    config, layers = _text(item, "Config"), item.get("Layers") or []
    tags, parent = item.get("RepoTags") or [], item.get("Parent") or ""
    if not (_all_text(layers) and _all_text(tags) and isinstance(parent, str)):
        raise errors.InvalidArgument("invalid archive: manifest.json")
    names = []
    for tag in tags:
        name = reference.parse(tag)
        if not name.tag:
            raise errors.InvalidArgument(f'invalid tag "{tag}"')
        names.append(name)
    return ArchivedImage(archive.read(config), tuple(layers), tuple(names), parent)


def _oci_images(
    archive: Archive,
    index: Any,
    architecture: str,
    names: tuple[reference.Reference, ...],
    depth: int,
) -> Iterator[ArchivedImage]:
    """Yield the images of an index, and of the indexes in it; names come from the outermost."""
    if depth == 0:
        raise errors.InvalidArgument("invalid archive: indexes within indexes")
    if not isinstance(index, dict):
        raise errors.InvalidArgument("invalid archive: an index is no JSON object")
    descriptors = _items(index.get("manifests"))
    for descriptor in _chosen(descriptors, architecture):
        digest = digests.check(_text(descriptor, "digest"))
        document = _verified(archive, digest)
        own_names = names or _annotated_names(descriptor)
        if descriptor.get("mediaType") in _INDEXES or "manifests" in document:
            yield from _oci_images(archive, document, architecture, own_names, depth - 1)
            continue
        config = digests.check(_text(document.get("config"), "digest"))
        layers = [digests.check(_text(layer, "digest")) for layer in _items(document.get("layers"))]
        _verified(archive, config)
        yield ArchivedImage(archive.read(_blob(config)), tuple(map(_blob, layers)), own_names)


def _chosen(descriptors: list[dict[str, Any]], architecture: str) -> list[dict[str, Any]]:
    """Leave out images for other machines, and what is no image (attestations)."""
    chosen = []
    for descriptor in descriptors:
        platform = descriptor.get("platform") or {}
        if not isinstance(platform, dict):
            raise errors.InvalidArgument("invalid archive: platform")
        annotations = descriptor.get("annotations") or {}
        if isinstance(annotations, dict) and "vnd.docker.reference.type" in annotations:
            continue
        if (
            platform.get("os", "linux") == "linux"
            and platform.get("architecture", architecture) == architecture
        ):
            chosen.append(descriptor)
    if descriptors and not chosen:
        raise errors.InvalidArgument(f"invalid archive: no image for linux/{architecture}")
    return chosen


def _annotated_names(descriptor: dict[str, Any]) -> tuple[reference.Reference, ...]:
    annotations = descriptor.get("annotations") or {}
    for key in _NAME_ANNOTATIONS:
        text = annotations.get(key) if isinstance(annotations, dict) else None
        # A tag alone, as the OCI layout has it, does not say of what.
        if isinstance(text, str) and ("/" in text or ":" in text):
            name = reference.parse(text).with_default_tag()
            return (name,) if name.tag else ()
    return ()


def _merge(images: list[ArchivedImage]) -> list[ArchivedImage]:
    """Join the entries of one image under several names."""
    merged: dict[tuple[bytes, tuple[str, ...]], list[reference.Reference]] = {}
    for image in images:
        names = merged.setdefault((image.config, image.layers), [])
        names += [name for name in image.names if name not in names]
    return [ArchivedImage(config, layers, tuple(names)) for (config, layers), names in merged.items()]


def _verified(archive: Archive, digest: str) -> dict[str, Any]:
    """Return the JSON object with this digest."""
    if digests.of_bytes(archive.read(_blob(digest))) != digest:
        raise errors.InvalidArgument(f"invalid archive: {_blob(digest)} does not match its digest")
    document = archive.document(_blob(digest))
    if not isinstance(document, dict):
        raise errors.InvalidArgument(f"invalid archive: {_blob(digest)} is not a JSON object")
    return document


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digests.hex_of(digest)}"


def _items(value: Any) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise errors.InvalidArgument("invalid archive: a list of objects was expected")
    return value


def _text(value: Any, key: str) -> str:
    text = value.get(key) if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise errors.InvalidArgument(f"invalid archive: {key} is missing")
    return text


def _all_text(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)
