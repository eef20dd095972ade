"""The image store: what the engine sees of images and of containers' root file systems.

Owns the data root's `content/`, `layers/` and, through the catalog, the `image_` tables of its database.
Knows nothing of containers but their ids, and is told who uses an image by a callback. Synchronous and safe
to call from any thread: the engine calls it in its executor. Slow work (reading tars, the disk) is done
without a lock.

Documents are plain dicts in the shape of Docker's API 1.51; with `legacy=True` they carry the fields that
older API versions had. Filters come decoded: `{"label": ["a=b"], "dangling": ["true"]}`.

The order of a change: bytes and folders first, then the row that makes them count; the row first on the way
out.
"""

from __future__ import annotations

import functools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sampan import errors
from sampan.images import configuration, documents
from sampan.images.archive import Archive
from sampan.images.catalog import Catalog, ImageRow
from sampan.images.changes import apply_changes
from sampan.images.compression import decompressed
from sampan.images.configuration import Commit
from sampan.images.content import ContentStore
from sampan.images.filters import ListFilter, PruneFilter
from sampan.images.image import Image, chain_ids_of, created_ns, parse_config
from sampan.images.layers import ByteSource, Layer, LayerDriver, WrongDiffID
from sampan.images.leases import Lease, Leases
from sampan.images.loading import Target, load_archive
from sampan.images.overlay2 import Overlay2
from sampan.images.pulling import Puller, RemoteImage, pull_image
from sampan.images.removal import Removal
from sampan.images.saving import SavedImage, write_archive
from sampan.records import replace
from sampan.wire import digest as digests
from sampan.wire import reference
from sampan.wire.tarstream import IteratorSource

Document = dict[str, Any]
Documents = list[Document]
Filters = Mapping[str, Sequence[str]]
InUse = Callable[[str], Sequence[tuple[str, bool]]]
"""Image id → the containers made from it, as (container id, is it running)."""
Notify = Callable[[str, str, str], None]
"""Told of each event: action (`tag`, `untag`, `delete`, `import`, `load`, `save`), image id, name."""


class ImageStore:
    """All images and layers of one data root. `close()` it at the end."""

    def __init__(self, data_root: str, *, notify: Notify | None = None) -> None:
        """Open the store in `<data_root>`, with its own connection to `<data_root>/sampan.db`."""
        self._content = ContentStore(f"{data_root}/content")
        self._driver: LayerDriver = Overlay2(f"{data_root}/layers/overlay2")
        self._catalog = Catalog(f"{data_root}/sampan.db")
        self._leases = Leases()
        self._notify: Notify = notify or (lambda action, image_id, name: None)
        self._config = functools.lru_cache(maxsize=512)(self._read_config)

    @property
    def driver(self) -> LayerDriver:
        """The layer driver in use; its `name` is what `docker info` shows."""
        return self._driver

    def close(self) -> None:
        """Close the database connection."""
        self._catalog.close()

    def recover(self, containers: set[str]) -> list[str]:
        """At start: remove what a killed process left, and writable layers of all but these containers."""
        for container_id in self._catalog.containers() - containers:
            self._catalog.remove_container(container_id)
        for top in self._catalog.unused_tops():
            self._catalog.forget_unused_layers(top, ())
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
        config, chain_ids = self._config(row.id)
        parsed = [reference.parse(one) for one in (self._catalog.names(row.id) if names is None else names)]
        return Image(
            id=row.id,
            config=config,
            chain_ids=chain_ids,
            parent=row.parent,
            repo_tags=tuple(one.familiar for one in parsed if not one.digest),
            repo_digests=tuple(one.familiar for one in parsed if one.digest),
        )

    def _read_config(self, image_id: str) -> tuple[Document, tuple[str, ...]]:
        config = parse_config(self._content.read(image_id))
        return config, chain_ids_of(config["rootfs"].get("diff_ids") or [])

    def list(self, every: bool = False, filters: Filters | None = None) -> Documents:
        """`GET /images/json` (`every` is its `all`). Containers and SharedSize are -1: not counted here."""
        chosen = ListFilter.parse(filters or {}, self.resolve)
        names, layers, rows = self._catalog.all_names(), self._catalog.layers(), self._catalog.images()
        parents = {row.parent for row in rows}
        documents_: Documents = []
        for row in rows:
            own = names.get(row.id, [])
            is_intermediate = not own and row.id in parents
            if (is_intermediate and not every) or not chosen.wants_names(own):
                continue
            image = self._image(row, chosen.shown_names(own))
            if chosen.matches(image):
                size = sum(layers[one].size for one in image.chain_ids if one in layers)
                documents_.append(documents.summary(image, size))
        return documents_

    def disk_usage(self) -> Document:
        """`{"LayersSize": n, "Images": [summaries with SharedSize]}` for `/system/df`."""
        layers = self._catalog.layers()
        summaries = self.list()
        chains = {one["Id"]: self._config(one["Id"])[1] for one in summaries}
        users = Counter(chain_id for chain in chains.values() for chain_id in chain)
        for one in summaries:
            shared = [chain_id for chain_id in chains[one["Id"]] if users[chain_id] > 1]
            one["SharedSize"] = sum(layers[chain_id].size for chain_id in shared if chain_id in layers)
        return {"LayersSize": sum(layer.size for layer in layers.values()), "Images": summaries}

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

    def _layers_of(self, image: Image) -> Sequence[Layer]:
        layers = [self._catalog.layer(chain_id) for chain_id in image.chain_ids]
        if None in layers:
            raise errors.SampanError(f"a layer of image {digests.short(image.id)} is missing")
        return [layer for layer in layers if layer is not None]

    def tag(self, name: str, repository: str, tag: str = "") -> None:
        """`POST /images/{name}/tag`."""
        image_id = self._find(name).id
        self._set_name(_new_name(repository, tag), image_id)

    def _set_name(self, name: reference.Reference, image_id: str) -> None:
        self._catalog.set_name(str(name), image_id, time.time_ns())
        self._notify("tag", image_id, name.familiar)

    def remove(self, name: str, *, force: bool = False, noprune: bool = False, in_use: InUse) -> Documents:
        """`DELETE /images/{name}` → `[{"Untagged": …}, {"Deleted": …}]` by Docker's rules and wording."""
        removal = Removal(self._catalog, self._remove_image, self._notify, in_use)
        removal.remove(self._find(name), name, force=force, prune=not noprune)
        return removal.records

    def prune(self, filters: Filters, in_use: InUse) -> Document:
        """`POST /images/prune` → `{"ImagesDeleted": …, "SpaceReclaimed": n}`."""
        chosen = PruneFilter.parse(filters)
        layers = self._catalog.layers()
        removal = Removal(self._catalog, self._remove_image, self._notify, in_use)
        for row in self._catalog.images():
            names = self._catalog.names(row.id)
            if (not names and self._catalog.children(row.id)) or not chosen.matches(self._image(row, names)):
                continue
            if chosen.dangling_only and any("@" not in name for name in names):
                continue
            for text in names or [row.id]:
                try:
                    removal.remove(row, text, force=False, prune=True)
                except errors.Conflict:
                    # In use: `prune` is asked for what can go.
                    break
        deleted = [record["Deleted"] for record in removal.records if "Deleted" in record]
        freed = sum(layers[one].size for one in deleted if one in layers)
        return {"ImagesDeleted": removal.records or None, "SpaceReclaimed": freed}

    def _remove_image(self, row: ImageRow) -> Sequence[str]:
        """Remove an image and the layers that nothing else needs; returns their chain ids."""
        with self._catalog.exclusive():
            top = self._catalog.remove_image(row.id)
            self._content.remove(row.id)
            removed = self._remove_layers(top)
        self._driver.sweep()
        return removed

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
        message = message or "Imported from -"
        system = configuration.platform_of(platform)
        run_config = apply_changes(documents.full_config({}), changes)
        with self._work() as lease:
            layer = self._apply(lease, None, decompressed(stream))
            image_id = self._add_image(configuration.imported(run_config, layer.diff_id, message, system))
        if name is not None:
            self._set_name(name, image_id)
        self._notify("import", image_id, image_id)
        return image_id

    def commit(self, image_id: str, commit: Commit, *, repository: str = "", tag: str = "") -> str:
        """`POST /commit`: an image of what a container wrote on its image; returns the new one's id."""
        name = _new_name(repository, tag) if repository else None
        parent = self.resolve(image_id)
        with self._work() as lease:
            if parent.top_layer is not None and not self._hold(lease, parent.top_layer):
                raise errors.NotFound(f"No such image: {image_id}")
            changes = IteratorSource(self._driver.changes_tar(commit.container_id))
            layer = self._apply(lease, parent.top_layer, changes)
            made = self._add_image(configuration.committed(parent.config, commit, layer.diff_id))
        self._catalog.set_parent(made, parent.id)
        if name is not None:
            self._set_name(name, made)
        return made

    def load(self, stream: ByteSource, *, quiet: bool = False) -> Iterator[Document]:
        """`docker load`: yields progress and `{"stream": "Loaded image: x:y\\n"}`; raises what is wrong."""
        with self._content.workspace() as place, self._work() as lease:
            archive = Archive(place)
            with _processing():
                archive.receive(stream)
            for message in load_archive(archive, self._target(lease)):
                if not quiet or "stream" in message:
                    yield message

    def pull(self, image: RemoteImage, puller: Puller) -> Iterator[Document]:
        """`docker pull` of one image: yields progress; raises what is wrong. Its layers are verified."""
        before = self._catalog.named(_stored_name(image.name))
        with self._content.workspace() as place, self._work() as lease:
            yield from pull_image(image, puller, self._target(lease), place)
        image_id = digests.of_bytes(image.config)
        for name in (replace(image.name, tag="", digest=image.digest), image.name):
            self._catalog.set_name(_stored_name(name), image_id)
        self._notify("pull", image.name.familiar, image.name.familiar_name)
        newer = "Image is up to date" if before == image_id else "Downloaded newer image"
        yield {"status": f"Digest: {image.digest}"}
        yield {"status": f"Status: {newer} for {image.name.familiar}"}

    def _target(self, lease: Lease) -> Target:
        return Target(
            architecture=configuration.architecture(),
            hold_layer=lambda chain_id: self._hold(lease, chain_id),
            apply_layer=lambda parent, tar, diff_id: self._apply(lease, parent, tar, diff_id),
            add_image=self._add_image,
            set_name=lambda name, image_id: self._catalog.set_name(str(name), image_id),
            set_parent=self._catalog.set_parent,
            loaded=lambda image_id: self._notify("load", image_id, image_id),
        )

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        """`docker save`: the names are checked at once (NotFound), the archive comes as it is read."""
        images = [self._saved(image_id, chosen) for image_id, chosen in self._names_to_save(names).items()]
        return self._write_archive(images)

    def _write_archive(self, images: Sequence[SavedImage]) -> Iterator[bytes]:
        with self._work() as lease:
            for saved in images:
                if not all(self._hold(lease, layer.chain_id) for layer in saved.layers):
                    raise errors.NotFound(f"No such image: {saved.image.id}")
            yield from write_archive(images, self._driver.tar)
        for saved in images:
            self._notify("save", saved.image.id, saved.image.id)

    def _saved(self, image_id: str, names: Sequence[reference.Reference]) -> SavedImage:
        image = self.resolve(image_id)
        return SavedImage(image, self._content.read(image.id), self._layers_of(image), names)

    def _names_to_save(self, texts: Sequence[str]) -> Mapping[str, Sequence[reference.Reference]]:
        """Return image ids and the names to save them under: a repository stands for all of its tags."""
        chosen: dict[str, list[reference.Reference]] = {}
        for text in texts:
            parsed = reference.parse_any(text)
            found: list[tuple[str, str]] = []
            if not isinstance(parsed, str) and parsed.is_name_only:
                found = self._catalog.tags_of(parsed.name)
            if not found:
                found = [self._name_to_save(text, parsed)]
            for image_id, name in found:
                names = chosen.setdefault(image_id, [])
                if name and reference.parse(name) not in names:
                    names.append(reference.parse(name))
        return chosen

    def _name_to_save(self, text: str, parsed: reference.Reference | str) -> tuple[str, str]:
        try:
            image_id = self._find(text).id
        except errors.NotFound:
            # dockerd's two words for it: a bare name stands for all of its tags.
            bare = not isinstance(parsed, str) and parsed.is_name_only
            raise errors.NotFound(f"No such image: {text}" if bare else "reference does not exist") from None
        is_tag = not isinstance(parsed, str) and bool(parsed.tag) and not parsed.digest
        return image_id, str(parsed) if is_tag else ""

    # Layers and images into the catalog

    @contextmanager
    def _work(self) -> Iterator[Lease]:
        """Work that brings layers: they are kept while it lasts, and those that no image got are removed."""
        lease: Lease | None = None
        try:
            with self._leases.holder() as lease:
                yield lease
        finally:
            if lease is not None:
                for chain_id in reversed(lease.chain_ids):
                    self._remove_layers(chain_id)
                self._driver.sweep()

    def _hold(self, lease: Lease, chain_id: str) -> bool:
        """Keep a layer for the lease's time; True if it is there."""
        with self._catalog.exclusive():
            lease.hold(chain_id)
            return self._catalog.layer(chain_id) is not None

    def _apply(
        self, lease: Lease, parent: str | None, tar: ByteSource, expected_diff_id: str | None = None
    ) -> Layer:
        """Add a layer to the driver and the catalog, held by the lease."""
        with _processing():
            layer = self._driver.apply(parent, tar, expected_diff_id=expected_diff_id)
        with self._catalog.exclusive():
            lease.hold(layer.chain_id)
            # Only a layer that nobody knew the id of beforehand can have been removed by another thread.
            if not self._driver.has(layer.chain_id):
                raise errors.Unavailable("the same layer was removed meanwhile: try again")
            self._catalog.add_layer(layer)
        return layer

    def _add_image(self, config: bytes) -> str:
        """Add an image whose layers are in the catalog and held."""
        document = parse_config(config)
        chain_ids = chain_ids_of(document["rootfs"].get("diff_ids") or [])
        with self._catalog.exclusive():
            image_id = self._content.add(config)
            self._catalog.add_image(image_id, created_ns(document), chain_ids[-1] if chain_ids else None)
        return image_id

    def _remove_layers(self, top: str | None) -> Sequence[str]:
        """Take away the layers of a chain that nothing needs any more, top first; returns their chain ids."""
        with self._catalog.exclusive():
            removed = self._catalog.forget_unused_layers(top, self._leases.held())
            for chain_id in removed:
                self._driver.remove(chain_id)
        return removed

    # Containers' root file systems: the driver's methods, with the parent's layers kept from removal

    def create_writable(self, container_id: str, image_id: str | None) -> None:
        """Make the container's writable layer on the image; its layers stay while it exists, image or not."""
        parent = self.resolve(image_id).top_layer if image_id else None
        if not self._catalog.add_writable(container_id, parent):
            raise errors.NotFound(f"No such image: {image_id}")
        try:
            self._driver.create_writable(container_id, parent)
        except BaseException:
            self._catalog.remove_container(container_id)
            raise

    def mount(self, container_id: str) -> int:
        """Return a descriptor, the caller's to close, of a new detached mount of the root file system."""
        return self._driver.mount(container_id)

    def open_root(self, container_id: str) -> int:
        """Return a detached read-only mount of a container that is not running."""
        return self._driver.open_root(container_id)

    def hold_mounted(self, container_id: str, image_id: str) -> None:
        """Keep the layers of an image that the container mounts, until `remove_writable`."""
        if not self._catalog.add_mounted(container_id, image_id, self.resolve(image_id).top_layer):
            raise errors.NotFound(f"No such image: {image_id}")

    def open_mounted(self, container_id: str, image_id: str, subpath: str = "") -> int:
        """Return a detached read-only mount of an image held by `hold_mounted`, or of a part of it.

        Raises `OSError` for a part that is not there (ENOENT) or that a link leads out of the image (EXDEV).
        """
        return self._driver.open_layer(self._catalog.mounted(container_id, image_id), subpath)

    def remove_writable(self, container_id: str) -> None:
        """Remove the container's writable layer, and layers that nothing else needs."""
        self._driver.remove_writable(container_id)
        removed = [self._remove_layers(top) for top in self._catalog.remove_container(container_id)]
        if any(removed):
            self._driver.sweep()

    def writable_size(self, container_id: str) -> int:
        """`SizeRw`."""
        return self._driver.writable_size(container_id)

    def changes(self, container_id: str) -> Documents:
        """`GET /containers/{id}/changes`."""
        return [{"Path": one.path, "Kind": int(one.kind)} for one in self._driver.changes(container_id)]

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
    if name.familiar_name == digests.PREFIX.rstrip(":"):
        raise errors.InvalidArgument("refusing to create an ambiguous tag using digest algorithm as name")
    return name.with_tag(tag) if tag else name.with_default_tag()


@contextmanager
def _processing() -> Iterator[None]:
    """Say in dockerd's words that a tar is bad; it unpacks in a child process, hence the exit status."""
    try:
        yield
    except WrongDiffID:
        raise
    except errors.InvalidArgument as error:
        raise errors.InvalidArgument(f"Error processing tar file(exit status 1): {error.message}") from error
    except OSError as error:
        raise errors.SampanError(
            f"cannot write to the image store: {os.strerror(error.errno or 0)}"
        ) from error
