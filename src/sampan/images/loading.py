"""`docker load`: the images of an archive put into the store.

Owns the order of the work and dockerd's messages (moby, image/tarexport/load.go). An image is named only when
all of it is there; layers that are known already are not read.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

from sampan import errors
from sampan.images.archive import Archive, ArchivedImage, read_images
from sampan.images.compression import decompressed
from sampan.images.image import chain_ids_of, parse_config
from sampan.images.layers import ByteSource, WrongDiffID
from sampan.records import dataclass
from sampan.wire import digest as digests
from sampan.wire import reference

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """What loading needs of the store."""

    architecture: str
    hold_layer: Callable[[str], bool]
    """Keep a layer from removal; True if it is there."""
    apply_layer: Callable[[str | None, ByteSource, str], object]
    """Add a layer: parent's chain id, tar, expected diff id."""
    add_image: Callable[[bytes], str]
    set_name: Callable[[reference.Reference, str], str | None]
    """Name an image; returns the id of the one that loses the name."""
    set_parent: Callable[[str, str], None]
    loaded: Callable[[str], None]


def load_archive(archive: Archive, target: Target) -> Iterator[Document]:
    """Add all images of a received archive; yields what dockerd tells its client."""
    ids: list[str] = []
    parents: list[tuple[str, str]] = []
    named = 0
    for image in read_images(archive, target.architecture):
        image_id = yield from _load_image(archive, image, target)
        ids.append(image_id)
        if image.parent:
            parents.append((image_id, image.parent))
        named = 0
        for name in image.names:
            before = target.set_name(name, image_id)
            if before is not None:
                yield _line(
                    f"The image {name.familiar} already exists,"
                    f" renaming the old one with ID {before} to empty string"
                )
            yield _line(f"Loaded image: {name.familiar}")
            named += 1
        target.loaded(image_id)
    for image_id, parent in parents:
        if parent in ids:
            target.set_parent(image_id, parent)
    # As dockerd does: ids are told only when the last image has no name.
    if not named:
        for image_id in ids:
            yield _line(f"Loaded image ID: {image_id}")


def _load_image(archive: Archive, image: ArchivedImage, target: Target) -> Generator[Document, None, str]:
    config = parse_config(image.config)
    if config.get("os") not in (None, "", "linux"):
        raise errors.InvalidArgument(f"cannot load {config['os']} image on linux")
    diff_ids = config["rootfs"].get("diff_ids") or []
    if len(diff_ids) != len(image.layers):
        raise errors.InvalidArgument(
            f"invalid manifest, layers length mismatch: expected {len(image.layers)}, got {len(diff_ids)}"
        )
    parent: str | None = None
    chain_ids = chain_ids_of(diff_ids)
    for number, (diff_id, chain_id, member) in enumerate(zip(diff_ids, chain_ids, image.layers, strict=True)):
        if not target.hold_layer(chain_id):
            size = archive.size(member)
            yield _progress(diff_id, 0, size)
            with archive.open(member) as file:
                try:
                    target.apply_layer(parent, decompressed(file), diff_id)
                except WrongDiffID as wrong:
                    raise errors.InvalidArgument(
                        f'invalid diffID for layer {number}: expected "{wrong.expected}", got "{wrong.got}"'
                    ) from wrong
            yield _progress(diff_id, size, size)
        parent = chain_id
    return target.add_image(image.config)


def _line(text: str) -> Document:
    return {"stream": text + "\n"}


def _progress(diff_id: str, current: int, total: int) -> Document:
    return {
        "status": "Loading layer",
        "progressDetail": {"current": current, "total": total},
        "id": digests.short(diff_id),
    }
