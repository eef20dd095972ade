"""The image store: what the engine sees of images and of containers' root file systems.

Owns the data root's `content/`, `layers/` and, through the catalog, the `image_` tables of its database. Knows
nothing of containers but their ids, and is told who uses an image by a callback. Synchronous and safe to call from
any thread: the engine calls it in its executor. Slow work (reading tars, the disk) is done without a lock.

Documents are plain dicts in the shape of Docker's API 1.51; with `legacy=True` they carry the fields that older API
versions had. Filters come decoded: `{"label": ["a=b"], "dangling": ["true"]}`.

The order of a change: bytes and folders first, then the row that makes them count; the row first on the way out.
"""

from __future__ import annotations

import functools
import json
import platform as machine
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sampan import errors
from sampan.images import documents
from sampan.images.catalog import Catalog, ImageRow
from sampan.images.compression import decompressed
from sampan.images.content import ContentStore
from sampan.images.image import Image, chain_ids_of, created_ns, parse_config
from sampan.images.layers import ByteSource, Layer, LayerDriver
from sampan.images.leases import Lease, Leases
from sampan.images.overlay2 import Overlay2
from sampan.wire import digest as digests
from sampan.wire import gotime, reference

Document = dict[str, Any]
Documents = list[Document]
Filters = Mapping[str, Sequence[str]]
InUse = Callable[[str], Sequence[tuple[str, bool]]]
"""Image id → the containers made from it, as (container id, is it running)."""
Notify = Callable[[str, str, str], None]
"""Told of each change: action (`tag`, `untag`, `delete`, `import`, `load`, `save`), image id, name in the event."""


class ImageStore:
    """All images and layers of one data root. `close()` it at the end."""

    def __init__(self, data_root: str, *, notify: Notify | None = None) -> None:
        """Open the store in `<data_root>`, with its own connection to `<data_root>/sampan.db`."""
        self._content = ContentStore(f"{data_root}/content")
        self._driver: LayerDriver = Overlay2(f"{data_root}/layers/overlay2")
        self._catalog = Catalog(f"{data_root}/sampan.db")
        self._leases = Leases()
        self._notify: Notify = notify or (lambda action, image_id, name: None)
        self._config = functools.lru_cache(maxsize=256)(self._read_config)

    @property
    def driver(self) -> LayerDriver:
        """The layer driver in use; its `name` is what `docker info` shows."""
        return self._driver

    def close(self) -> None:
        """Close the database connection."""
        self._catalog.close()

    def recover(self, containers: set[str]) -> list[str]:
        """At start: remove what a killed process left, and writable layers of containers not among the given ids."""
        for container_id in set(self._catalog.writables()) - containers:
            self._catalog.remove_writable(container_id)
        for top in self._catalog.unused_tops():
            self._catalog.forget_unused_layers(top, self._leases.held())
        wanted = {row.id for row in self._catalog.images()}
        return [
            *self._driver.recover(self._catalog.layers().keys(), containers),
            *self._content.recover(wanted),
        ]

    # Images

    def resolve(self, name: str) -> Image:
        """Find by `name[:tag]`, `name@digest`, id or prefix of an id. NotFound: `No such image: x:latest`."""
        return self._image(self._find(name))

    def _find(self, name: str) -> ImageRow:
        parsed = reference.parse_any(name)
        if isinstance(parsed, str):
            row = self._catalog.image(parsed)
            if row is None:
                raise errors.NotFound(f"No such image: {parsed}")
            return row
        image_id = self._catalog.named(_stored_name(parsed))
        if image_id is None:
            # Not a name: an id may be cut short, as long as it says which image is meant.
            prefix = name.removeprefix(digests.PREFIX)
            found = self._catalog.ids_with_prefix(digests.PREFIX + prefix) if digests.is_hex(prefix) else []
            image_id = found[0] if len(found) == 1 else None
        row = self._catalog.image(image_id) if image_id else None
        if row is None:
            raise errors.NotFound(f"No such image: {parsed.with_default_tag().familiar}")
        return row

    def _image(self, row: ImageRow, names: Sequence[str] | None = None) -> Image:
        config = self._config(row.id)
        parsed = [reference.parse(one) for one in (self._catalog.names(row.id) if names is None else names)]
        return Image(
            id=row.id,
            config=config,
            chain_ids=chain_ids_of((config.get("rootfs") or {}).get("diff_ids") or []),
            parent=row.parent,
            repo_tags=tuple(one.familiar for one in parsed if not one.digest),
            repo_digests=tuple(one.familiar for one in parsed if one.digest),
        )

    def _read_config(self, image_id: str) -> Document:
        return parse_config(self._content.read(image_id))

    def count(self) -> int:
        """How many images there are (`docker info`)."""
        return self._catalog.image_count()

    def inspect(self, name: str, *, legacy: bool = False) -> Document:
        """`GET /images/{name}/json`; `legacy` adds Container, ContainerConfig and VirtualSize."""
        row = self._find(name)
        image = self._image(row)
        data = self._driver.layer_metadata(image.top_layer) if image.top_layer else None
        graph_driver = {"Data": data, "Name": self._driver.name}
        return documents.inspect(image, row, self._layers_of(image), graph_driver, legacy=legacy)

    def history(self, name: str) -> Documents:
        """`GET /images/{name}/history`, newest first."""
        image = self.resolve(name)
        return documents.history(image, self._layers_of(image), list(self._ancestors(image)))

    def _ancestors(self, image: Image) -> Iterator[Image]:
        while image.parent and (row := self._catalog.image(image.parent)) is not None:
            image = self._image(row)
            yield image

    def size(self, image_id: str) -> int:
        """The bytes of all the layers of an image (`SizeRootFs` without the container's own)."""
        return sum(layer.size for layer in self._layers_of(self.resolve(image_id)))

    def _layers_of(self, image: Image) -> list[Layer]:
        layers = [self._catalog.layer(chain_id) for chain_id in image.chain_ids]
        if None in layers:
            raise errors.SampanError(f"a layer of image {digests.short(image.id)} is missing")
        return [layer for layer in layers if layer is not None]

    def tag(self, name: str, repository: str, tag: str = "") -> None:
        """`POST /images/{name}/tag`."""
        image_id = self._find(name).id
        self._set_name(_new_name(repository, tag), image_id)

    def _set_name(self, name: reference.Reference, image_id: str) -> str | None:
        """Name an image; returns the id of the image that had the name."""
        before = self._catalog.set_name(str(name), image_id, time.time_ns())
        self._notify("tag", image_id, name.familiar)
        return before

    # Bytes in and out

    def import_tar(
        self,
        stream: ByteSource,
        *,
        repository: str = "",
        tag: str = "",
        message: str = "",
        changes: Sequence[str] = (),
        platform: str = "",
    ) -> str:
        """`docker import`: one layer from a tar (plain, gzip, bzip2, xz or zstd); returns the image id."""
        name = _new_name(repository, tag) if repository else None
        os_name, architecture, variant = _platform(platform)
        run_config = documents.full_config({})
        with self._leases.holder() as lease:
            layer = self._apply(lease, None, decompressed(stream))
            created = gotime.format_rfc3339(time.time_ns())
            config = {
                "architecture": architecture,
                **({"variant": variant} if variant else {}),
                "comment": message,
                "config": run_config,
                "container_config": documents.full_config({}),
                "created": created,
                "history": [{"created": created, "comment": message}],
                "os": os_name,
                "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
            }
            image_id = self._add_image(json.dumps(config, separators=(",", ":")).encode())
        if name is not None:
            self._set_name(name, image_id)
        self._notify("import", image_id, image_id)
        return image_id

    def _apply(
        self, lease: Lease, parent: str | None, tar: ByteSource, expected_diff_id: str | None = None
    ) -> Layer:
        """Add a layer to the driver and the catalog, held by the lease."""
        if expected_diff_id is not None:
            lease.hold(digests.chain_id(parent, expected_diff_id))
        layer = self._driver.apply(parent, tar, expected_diff_id=expected_diff_id)
        if expected_diff_id is None:
            lease.hold(layer.chain_id)
        self._catalog.add_layer(layer)
        return layer

    def _add_image(self, config: bytes) -> str:
        """Add an image whose layers are in the catalog."""
        document = parse_config(config)
        image_id = self._content.add(config)
        chain_ids = chain_ids_of(document["rootfs"].get("diff_ids") or [])
        self._catalog.add_image(
            image_id, created_ns(document), chain_ids[-1] if chain_ids else None, parent=None
        )
        return image_id

    # Containers' root file systems: the driver's methods, with the parent's layers kept from removal

    def create_writable(self, container_id: str, image_id: str | None) -> None:
        """Make the container's writable layer on the image; its layers stay while it exists, image or not."""
        parent = self.resolve(image_id).top_layer if image_id else None
        self._catalog.add_writable(container_id, parent)
        try:
            self._driver.create_writable(container_id, parent)
        except BaseException:
            self._catalog.remove_writable(container_id)
            raise

    def mount(self, container_id: str) -> int:
        """Return a descriptor of a new detached mount of the root file system, writable. The caller closes it."""
        return self._driver.mount(container_id)

    def open_root(self, container_id: str) -> int:
        """Return a detached read-only mount of a container that is not running."""
        return self._driver.open_root(container_id)

    def remove_writable(self, container_id: str) -> None:
        """Remove the container's writable layer, and layers that nothing else needs."""
        self._driver.remove_writable(container_id)
        self._remove_layers(self._catalog.remove_writable(container_id))

    def _remove_layers(self, top: str | None) -> list[str]:
        """Remove the layers of a chain that nothing needs any more, top first; returns their chain ids."""
        removed = self._catalog.forget_unused_layers(top, self._leases.held())
        for chain_id in removed:
            self._driver.remove(chain_id)
        return removed

    def writable_size(self, container_id: str) -> int:
        """`SizeRw`."""
        return self._driver.writable_size(container_id)

    def metadata(self, container_id: str) -> Document:
        """`GraphDriver` of the container's inspect document: `{"Name": …, "Data": {…}}`."""
        return {"Data": self._driver.metadata(container_id), "Name": self._driver.name}


def _stored_name(name: reference.Reference) -> str:
    """Return the name that the catalog keeps: a digest outweighs a tag, and a bare name means `latest`."""
    if name.digest:
        return f"{name.name}@{name.digest}"
    return str(name.with_default_tag())


def _new_name(repository: str, tag: str) -> reference.Reference:
    """Read the name that an image is to get, by Docker's rules for `repo` and `tag`."""
    name = reference.parse(repository)
    if name.digest:
        raise errors.InvalidArgument("refusing to create a tag with a digest reference")
    return name.with_tag(tag) if tag else name.with_default_tag()


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def _platform(text: str) -> tuple[str, str, str]:
    """Split `os[/architecture[/variant]]`; what is left out is this machine's."""
    os_name, _, rest = text.lower().partition("/")
    architecture, _, variant = rest.partition("/")
    if os_name not in ("", "linux"):
        raise errors.InvalidArgument("operating system is not supported")
    own = _ARCHITECTURES.get(machine.machine(), machine.machine())
    return "linux", architecture or own, variant
