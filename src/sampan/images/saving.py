"""`docker save`: images as one archive, the same bytes for the same images whenever it is made.

Owns the archive's form: the one that Docker writes from 25 on, an OCI image layout (`oci-layout`,
`index.json`, `blobs/sha256/`) that is a Docker archive as well (`manifest.json`, `repositories`), so that
every Docker from 1.10 on and every OCI tool reads it. Layers are plain tars. Times are 0, owners root, and
the small documents come first, so that a reader knows what follows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sampan.images.image import Image
from sampan.images.layers import Layer
from sampan.records import dataclass
from sampan.wire import digest as digests
from sampan.wire import reference
from sampan.wire.tarstream import END_OF_ARCHIVE, Entry, Kind, encode_header, padding

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True, slots=True)
class SavedImage:
    """An image to save, under the names that were asked for."""

    image: Image
    config: bytes
    layers: Sequence[Layer]
    names: Sequence[reference.Reference]


def write_archive(
    images: Sequence[SavedImage], layer_tar: Callable[[str], Iterator[bytes]]
) -> Iterator[bytes]:
    """Yield the archive; `layer_tar` reads a layer by its chain id."""
    documents = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _index(images),
        "manifest.json": _manifest_json(images),
    }
    repositories = _repositories(images)
    if repositories:
        documents["repositories"] = _json(repositories) + b"\n"
    for name, data in documents.items():
        yield _file(name, data)
    yield _folder("blobs/")
    yield _folder("blobs/sha256/")
    written: set[str] = set()
    for saved in images:
        for data in (saved.config, _manifest(saved)):
            digest = digests.of_bytes(data)
            if digest not in written:
                written.add(digest)
                yield _file(_blob(digest), data)
        for layer in saved.layers:
            if layer.diff_id not in written:
                written.add(layer.diff_id)
                yield encode_header(Entry(name=_blob(layer.diff_id), size=layer.tar_size))
                yield from layer_tar(layer.chain_id)
                yield padding(layer.tar_size)
    yield END_OF_ARCHIVE


def _manifest(saved: SavedImage) -> bytes:
    layers = [_descriptor(_LAYER, layer.diff_id, layer.tar_size) for layer in saved.layers]
    document = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _descriptor(_CONFIG, saved.image.id, len(saved.config)),
        "layers": layers,
    }
    return _json(document)


def _index(images: Sequence[SavedImage]) -> bytes:
    manifests = []
    for saved in images:
        data = _manifest(saved)
        descriptor = _descriptor(_MANIFEST, digests.of_bytes(data), len(data))
        for name in saved.names:
            annotations = {
                "io.containerd.image.name": str(name),
                "org.opencontainers.image.ref.name": name.tag,
            }
            manifests.append({**descriptor, "annotations": annotations})
        if not saved.names:
            manifests.append(descriptor)
    return _json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests})


def _manifest_json(images: Sequence[SavedImage]) -> bytes:
    saved_ids = {saved.image.id for saved in images}
    items = []
    for saved in images:
        item: dict[str, Any] = {
            "Config": _blob(saved.image.id),
            "RepoTags": [name.familiar for name in saved.names] or None,
            "Layers": [_blob(layer.diff_id) for layer in saved.layers],
        }
        if saved.image.parent in saved_ids:
            item["Parent"] = saved.image.parent
        items.append(item)
    return _json(items) + b"\n"


def _repositories(images: Sequence[SavedImage]) -> dict[str, dict[str, str]]:
    repositories: dict[str, dict[str, str]] = {}
    for saved in images:
        for name in saved.names:
            if saved.layers:
                top = digests.hex_of(saved.layers[-1].diff_id)
                repositories.setdefault(name.familiar_name, {})[name.tag] = top
    return repositories


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digests.hex_of(digest)}"


def _file(name: str, data: bytes) -> bytes:
    return encode_header(Entry(name=name, size=len(data))) + data + padding(len(data))


def _folder(name: str) -> bytes:
    return encode_header(Entry(name=name, kind=Kind.DIRECTORY, mode=0o755))


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=False).encode()
