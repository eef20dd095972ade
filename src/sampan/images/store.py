"""The image store: what the engine sees of images and of containers' root file systems.

Owns the data root's `content/`, `layers/` and the `image_` tables of its database. Knows nothing of containers but
their ids, and is told who uses an image by a callback. Synchronous and safe to call from any thread: the engine
calls it in its executor. Slow work (reading tars, the disk) is done without the store's lock.

Documents are plain dicts in the shape of Docker's API 1.51; with `legacy=True` they carry in addition the fields that
older API versions had. Filters come decoded: `{"label": ["a=b"], "dangling": ["true"]}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sampan.images.image import Image
from sampan.images.layers import ByteSource, LayerDriver

Document = dict[str, Any]
Filters = Mapping[str, Sequence[str]]
InUse = Callable[[str], Sequence[tuple[str, bool]]]
"""Image id → the containers made from it, as (container id, is it running)."""
Notify = Callable[[str, str, str], None]
"""Told of each change: action (`tag`, `untag`, `delete`, `import`, `load`, `save`), image id, name for the event."""


class ImageStore:
    """All images and layers of one data root. `close()` it at the end."""

    def __init__(self, data_root: str, *, notify: Notify | None = None) -> None:
        """Open the store in `<data_root>`, with its own connection to `<data_root>/sampan.db`."""
        raise NotImplementedError

    @property
    def driver(self) -> LayerDriver:
        """The layer driver in use; its `name` is what `docker info` shows."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the database connection."""
        raise NotImplementedError

    def recover(self, containers: set[str]) -> list[str]:
        """At start: remove what a killed process left, and writable layers of containers not among the given ids."""
        raise NotImplementedError

    # Images

    def resolve(self, reference: str) -> Image:
        """Find by `name[:tag]`, `name@digest`, id or prefix of an id. NotFound: `No such image: x:latest`."""
        raise NotImplementedError

    def list(self, all: bool = False, filters: Filters | None = None) -> list[Document]:
        """`GET /images/json`. Containers is -1 (the engine knows), SharedSize -1 (see `disk_usage`)."""
        raise NotImplementedError

    def count(self) -> int:
        """How many images there are (`docker info`)."""
        raise NotImplementedError

    def inspect(self, reference: str, *, legacy: bool = False) -> Document:
        """`GET /images/{name}/json`; `legacy` adds Container, ContainerConfig and VirtualSize."""
        raise NotImplementedError

    def history(self, reference: str) -> list[Document]:
        """`GET /images/{name}/history`, newest first."""
        raise NotImplementedError

    def size(self, image_id: str) -> int:
        """The bytes of all the layers of an image (`SizeRootFs` without the container's own)."""
        raise NotImplementedError

    def tag(self, reference: str, repository: str, tag: str = "") -> None:
        """`POST /images/{name}/tag`."""
        raise NotImplementedError

    def remove(
        self, reference: str, *, force: bool = False, noprune: bool = False, in_use: InUse
    ) -> list[Document]:
        """`DELETE /images/{name}` → `[{"Untagged": …}, {"Deleted": …}]` by Docker's rules and wording."""
        raise NotImplementedError

    def prune(self, filters: Filters, in_use: InUse) -> Document:
        """`POST /images/prune` → `{"ImagesDeleted": …, "SpaceReclaimed": n}`."""
        raise NotImplementedError

    def disk_usage(self) -> Document:
        """`{"LayersSize": n, "Images": [summaries with SharedSize]}` for `/system/df`."""
        raise NotImplementedError

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
        raise NotImplementedError

    def load(self, stream: ByteSource, *, quiet: bool = False) -> Iterator[Document]:
        """`docker load`: yields progress messages; `{"stream": "Loaded image: x:y\\n"}` for each image. Raises."""
        raise NotImplementedError

    def save(self, references: Sequence[str]) -> Iterator[bytes]:
        """`docker save`: names are checked at once (NotFound), the archive comes as it is read."""
        raise NotImplementedError

    # Containers' root file systems: the driver's methods, with the parent's layers kept from removal

    def create_writable(self, container_id: str, image_id: str | None) -> None:
        """Make the container's writable layer on the image; its layers stay while it exists, image or not."""
        raise NotImplementedError

    def mount(self, container_id: str) -> int:
        """Return a descriptor of a new detached mount of the root file system, writable. The caller closes it."""
        raise NotImplementedError

    def open_root(self, container_id: str) -> int:
        """Return a detached read-only mount of a container that is not running."""
        raise NotImplementedError

    def remove_writable(self, container_id: str) -> None:
        """Remove the container's writable layer, and layers that nothing else needs."""
        raise NotImplementedError

    def writable_size(self, container_id: str) -> int:
        """`SizeRw`."""
        raise NotImplementedError

    def metadata(self, container_id: str) -> Document:
        """`GraphDriver` of the container's inspect document: `{"Name": …, "Data": {…}}`."""
        raise NotImplementedError
