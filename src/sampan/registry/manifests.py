"""Manifests and indexes: what an image consists of, and which image a platform gets.

Owns their media types (OCI image specification and Docker's schema 2) and the checks of what a registry
sends. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sampan import errors
from sampan.records import dataclass
from sampan.wire import digest as digests

_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
ACCEPT = ", ".join((*_MANIFESTS, *_INDEXES))

_CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
_LAYERS = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
)
_MOST_LAYERS = 500


@dataclass(frozen=True, slots=True)
class Blob:
    """A descriptor. `size` is in bytes."""

    digest: str
    size: int
    media_type: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image: its configuration, and its layers, the lowest first."""

    config: Blob
    layers: tuple[Blob, ...]


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image is for. An empty variant fits any."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def fits(self, document: Mapping[str, Any]) -> bool:
        """Whether an entry of an index is for it."""
        return (
            document.get("os") == self.os
            and document.get("architecture") == self.architecture
            and (not self.variant or document.get("variant", "") == self.variant)
        )


def parse(data: bytes, content_type: str, platform: Platform) -> Manifest | Blob:
    """An image's manifest; or, of an index, where the manifest for the platform is.

    Raises InvalidArgument for what is neither, or both; NotFound for an index without the platform.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise errors.InvalidArgument("invalid manifest: not JSON") from None
    if not isinstance(document, dict):
        raise errors.InvalidArgument("invalid manifest: not a JSON object")
    declared = document.get("mediaType") or content_type.partition(";")[0].strip()
    if ("manifests" in document) == ("layers" in document or "config" in document):
        raise errors.InvalidArgument("invalid manifest: it has to be either an image or an index")
    if "manifests" in document:
        if declared not in _INDEXES:
            raise errors.InvalidArgument(f"unsupported manifest type {declared}")
        return _chosen(document["manifests"], platform)
    if declared not in _MANIFESTS:
        raise errors.InvalidArgument(f"unsupported manifest type {declared}")
    return _image(document)


def _image(document: Mapping[str, Any]) -> Manifest:
    config = _blob(document.get("config"))
    if config.media_type not in _CONFIGS:
        raise errors.InvalidArgument(
            f"invalid manifest: what is asked for is no image but {config.media_type or 'something else'}"
        )
    found = document.get("layers")
    if not isinstance(found, list) or len(found) > _MOST_LAYERS:
        raise errors.InvalidArgument("invalid manifest: bad list of layers")
    layers = tuple(_blob(layer) for layer in found)
    for layer in layers:
        if not layer.media_type.startswith(_LAYERS) or "+encrypted" in layer.media_type:
            raise errors.InvalidArgument(f"unsupported layer type {layer.media_type}")
    return Manifest(config, layers)


def _chosen(entries: object, platform: Platform) -> Blob:
    if isinstance(entries, list):
        for entry in entries:
            described = entry.get("platform") if isinstance(entry, dict) else None
            if isinstance(described, dict) and platform.fits(described):
                return _blob(entry)
    raise errors.NotFound(f"no matching manifest for {platform} in the manifest list entries")


def _blob(document: object) -> Blob:
    if not isinstance(document, dict):
        raise errors.InvalidArgument("invalid manifest: bad descriptor")
    digest, size = document.get("digest"), document.get("size")
    if not isinstance(digest, str) or not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise errors.InvalidArgument("invalid manifest: bad descriptor")
    return Blob(digests.check(digest), size, str(document.get("mediaType") or ""))
