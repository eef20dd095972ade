"""The layer driver `overlay2`: a layer is an extracted folder, a container an overlay over such folders.

Owns `<data root>/layers/overlay2` and nothing outside it:

    layers/<chain id>/diff        the layer's files; whiteouts as overlayfs has them
                      record      its tar without the files' content (see record.py)
                      shadow/     content that the same tar hides again, by number in the record
                      layer.json  diff id, parent, sizes
                      init/       mount points for containers on this layer, made when the first one is
    scratch/init/                 the same for containers without an image
    scratch/empty-*/              nothing, for images of less than two layers
    containers/<id>/diff, work    what a container wrote; parent.json names its layer
    tmp/                          all that is being made or removed

Whatever is not in `tmp` is complete: it is made there, synced, and renamed into place. What is to go is
renamed there first. So a process killed at any moment leaves garbage in `tmp` only, which `recover` removes.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections import deque
from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any

from sampan import errors
from sampan.images import initlayer, overlay, upper
from sampan.images.layers import ByteSource, Change, Layer, WrongDiffID
from sampan.images.reassembly import reassemble
from sampan.images.record import RecordWriter
from sampan.images.unpack import Unpacker
from sampan.linux import files
from sampan.trees import walk
from sampan.wire import digest
from sampan.wire.tarstream import TarReader

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
MAX_SIZE = (1 << 63) - 1
_EMPTY = ("scratch/empty-1", "scratch/empty-2")
_EXISTS = (errno.EEXIST, errno.ENOTEMPTY)


class Overlay2:
    """See `sampan.images.layers.LayerDriver`."""

    name = "overlay2"

    def __init__(self, root: str, *, durable: bool = True) -> None:
        """`durable`: wait until a layer is on the disk before it is said to be there."""
        self._root = root
        self._durable = durable
        self._layers: dict[str, Layer] = {}
        self._graves: deque[str] = deque()
        for folder in ("layers", "containers", "scratch", *_EMPTY, "tmp"):
            # 0700 keeps set-id programs of images from the host's users (CVE-2021-41091).
            os.makedirs(f"{root}/{folder}", 0o700, exist_ok=True)
        os.chmod(root, 0o700)

    # Layers

    def apply(self, parent: str | None, tar: ByteSource, *, expected_diff_id: str | None = None) -> Layer:
        """Extract a layer; see the interface."""
        lowers = [f"{self._layer_path(one)}/diff" for one in self._chain(parent)]
        if len(lowers) + 2 > overlay.MAX_LOWERS:
            raise errors.InvalidArgument("max depth exceeded")
        with self._workspace("layer") as place:
            layer = self._extract(place, parent, lowers, tar)
            if expected_diff_id is not None and layer.diff_id != expected_diff_id:
                raise WrongDiffID(expected_diff_id, layer.diff_id)
            self._settle(place, self._layer_path(layer.chain_id))
        self._layers[layer.chain_id] = layer
        return layer

    def _extract(self, place: str, parent: str | None, lowers: list[str], tar: ByteSource) -> Layer:
        os.mkdir(f"{place}/diff", 0o755)
        os.mkdir(f"{place}/shadow", 0o700)
        source = _HashingSource(tar)
        with (
            _folder(f"{place}/diff") as diff_fd,
            _folder(f"{place}/shadow") as shadow_fd,
            open(f"{place}/record", "xb") as file,
        ):
            record = RecordWriter(file)
            reader = TarReader(source, record.raw)
            unpacker = Unpacker(diff_fd, shadow_fd, record, lowers)
            unpacker.unpack(reader)
            reader.drain()
            record.close()
        if not os.listdir(f"{place}/shadow"):
            os.rmdir(f"{place}/shadow")
        layer = Layer(
            chain_id=digest.chain_id(parent, source.digest),
            diff_id=source.digest,
            parent=parent,
            # Holes cost nothing: files of a tar may add up to more than a column of SQLite holds.
            size=min(unpacker.size, MAX_SIZE),
            tar_size=source.size,
        )
        description = {
            "diff_id": layer.diff_id,
            "parent": layer.parent,
            "size": layer.size,
            "tar_size": layer.tar_size,
        }
        _write_json(f"{place}/layer.json", description)
        return layer

    def tar(self, chain_id: str) -> Iterator[bytes]:
        """Read the layer's tar again; see the interface."""
        layer = self._layer(chain_id)
        return reassemble(self._layer_path(chain_id), layer.diff_id)

    def remove(self, chain_id: str) -> None:
        """Move a layer out of the way; see the interface."""
        self._layers.pop(chain_id, None)
        self._bury(self._layer_path(chain_id))

    def sweep(self) -> None:
        """Remove the folders that were moved away; see the interface."""
        while self._graves:
            try:
                walk.remove(self._graves.popleft())
            except IndexError:
                # Another thread took the last one.
                return
            except OSError:
                # Busy, or not to be changed: it is out of the way, and the next start tries again.
                continue

    def has(self, chain_id: str) -> bool:
        """Look for a layer's folder; see the interface."""
        return os.path.isdir(self._layer_path(chain_id))

    # Containers

    def create_writable(self, container_id: str, parent: str | None) -> None:
        """Make a container's folders; see the interface."""
        self._chain(parent)
        self._ensure_init(parent)
        with self._workspace("writable-layer") as place:
            # The mount's root takes its mode from here, and Docker's is 0755 whatever an image says.
            os.mkdir(f"{place}/diff", 0o755)
            os.chmod(f"{place}/diff", 0o755)
            os.mkdir(f"{place}/work", 0o700)
            _write_json(f"{place}/parent.json", {"parent": parent})
            self._settle(place, self._container_path(container_id), sync=False)

    def mount(self, container_id: str) -> int:
        """Mount a container's root; see the interface."""
        path = self._container_path(container_id)
        lowers = self._container_lowers(container_id)
        return overlay.mount(lowers, f"{path}/diff", f"{path}/work", scratch=f"{self._root}/tmp")

    def open_root(self, container_id: str) -> int:
        """Mount a container's root read-only; see the interface."""
        path = self._container_path(container_id)
        lowers = self._container_lowers(container_id)
        return overlay.mount([f"{path}/diff", *lowers], scratch=f"{self._root}/tmp")

    def open_layer(self, chain_id: str | None, subpath: str = "") -> int:
        """Mount an image read-only; see the interface."""
        scratch = f"{self._root}/tmp"
        lowers = [f"{self._layer_path(one)}/diff" for one in self._chain(chain_id)]
        # An overlay that is not written to takes two layers at least.
        empty = [f"{self._root}/{folder}" for folder in _EMPTY]
        root = overlay.mount(lowers + empty[len(lowers) :], scratch=scratch)
        if not subpath:
            return root
        try:
            return overlay.part(root, subpath, scratch=scratch)
        finally:
            os.close(root)

    def changes(self, container_id: str) -> list[Change]:
        """Compare a container's folder with its layers; see the interface."""
        with self._upper_and_lower(container_id) as (above, below):
            return upper.changes(above, below)

    def changes_tar(self, container_id: str) -> Iterator[bytes]:
        """Pack what a container wrote; see the interface."""
        with self._upper_and_lower(container_id) as (above, below):
            yield from upper.layer_tar(above, below)

    @contextmanager
    def _upper_and_lower(self, container_id: str) -> Iterator[tuple[int, int]]:
        lowers = [*self._container_lowers(container_id), f"{self._root}/{_EMPTY[0]}"]
        below = overlay.mount(lowers, scratch=f"{self._root}/tmp")
        try:
            with _folder(f"{self._container_path(container_id)}/diff") as above:
                yield above, below
        finally:
            os.close(below)

    def remove_writable(self, container_id: str) -> None:
        """Remove a container's folders; see the interface."""
        self._bury(self._container_path(container_id))
        self.sweep()

    def writable_size(self, container_id: str) -> int:
        """Measure what a container wrote; see the interface."""
        return walk.size(f"{self._container_path(container_id)}/diff")

    def metadata(self, container_id: str) -> dict[str, str]:
        """Name a container's folders as Docker's overlay2 does; see the interface."""
        return _metadata(self._container_path(container_id), self._container_lowers(container_id))

    def layer_metadata(self, chain_id: str) -> dict[str, str]:
        """Name a layer's folders as Docker's overlay2 does; see the interface."""
        below = self._chain(chain_id)[1:]
        return _metadata(self._layer_path(chain_id), [f"{self._layer_path(one)}/diff" for one in below])

    # After a crash

    def recover(self, layers: Container[str], writables: Container[str]) -> list[str]:
        """Remove garbage and what has no owner; see the interface."""
        removed = []
        for name in os.listdir(f"{self._root}/tmp"):
            overlay.release(f"{self._root}/tmp/{name}")
            walk.remove(f"{self._root}/tmp/{name}")
            removed.append(f"unfinished work {name}")
        for name in os.listdir(f"{self._root}/layers"):
            if digest.PREFIX + name not in layers:
                self.remove(digest.PREFIX + name)
                removed.append(f"layer {name}")
        for name in os.listdir(f"{self._root}/containers"):
            if name not in writables:
                self.remove_writable(name)
                removed.append(f"writable layer {name}")
        self.sweep()
        return removed

    # Names and parents

    def _layer_path(self, chain_id: str) -> str:
        return f"{self._root}/layers/{digest.hex_of(chain_id)}"

    def _container_path(self, container_id: str) -> str:
        if not digest.is_hex(container_id):
            raise errors.InvalidArgument(f"invalid container id: {container_id}")
        return f"{self._root}/containers/{container_id}"

    def _layer(self, chain_id: str) -> Layer:
        layer = self._layers.get(chain_id)
        if layer is None:
            document = _read_json(f"{self._layer_path(chain_id)}/layer.json", f"layer {chain_id}")
            layer = self._layers[chain_id] = Layer(chain_id=chain_id, **document)
        return layer

    def _chain(self, chain_id: str | None) -> list[str]:
        """Return the chain ids from this layer down to the lowest."""
        chain = []
        while chain_id is not None:
            chain.append(chain_id)
            chain_id = self._layer(chain_id).parent
        return chain

    def _container_lowers(self, container_id: str) -> list[str]:
        path = f"{self._container_path(container_id)}/parent.json"
        parent = _read_json(path, f"writable layer {container_id}")["parent"]
        return [self._init_path(parent), *(f"{self._layer_path(one)}/diff" for one in self._chain(parent))]

    def _init_path(self, parent: str | None) -> str:
        return f"{self._root}/scratch/init" if parent is None else f"{self._layer_path(parent)}/init"

    def _ensure_init(self, parent: str | None) -> None:
        """Make the init layer once for all containers of a layer: it only depends on the image."""
        path = self._init_path(parent)
        if os.path.isdir(path):
            return
        with self._workspace("init-layer") as place:
            for folder in ("diff", "work"):
                os.mkdir(f"{place}/{folder}", 0o755)
            os.chmod(f"{place}/diff", 0o755)
            if parent is None:
                with _folder(f"{place}/diff") as root_fd:
                    initlayer.populate(root_fd)
            else:
                lowers = [f"{self._layer_path(one)}/diff" for one in self._chain(parent)]
                root_fd = overlay.mount(lowers, f"{place}/diff", f"{place}/work", scratch=f"{self._root}/tmp")
                try:
                    initlayer.populate(root_fd)
                finally:
                    os.close(root_fd)
            self._settle(f"{place}/diff", path)

    # Making and removing

    @contextmanager
    def _workspace(self, purpose: str) -> Iterator[str]:
        """A folder in `tmp` that is gone at the end, unless it was renamed into place."""
        place = f"{self._root}/tmp/{purpose}-{os.urandom(8).hex()}"
        os.mkdir(place, 0o700)
        try:
            yield place
        except OSError as error:
            raise errors.SampanError(f"cannot make a {purpose}: {os.strerror(error.errno or 0)}") from error
        finally:
            walk.remove(place)

    def _settle(self, place: str, path: str, *, sync: bool = True) -> None:
        """Rename a complete folder into place; if there is one already, it is as good."""
        if sync and self._durable:
            with _folder(place) as fd:
                files.syncfs(fd)
        try:
            os.rename(place, path)
        except OSError as error:
            if error.errno not in _EXISTS:
                raise
            return
        if sync and self._durable:
            with _folder(os.path.dirname(path)) as fd:
                os.fsync(fd)

    def _bury(self, path: str) -> None:
        grave = f"{self._root}/tmp/removed-{os.urandom(8).hex()}"
        try:
            os.rename(path, grave)
        except FileNotFoundError:
            return
        self._graves.append(grave)


class _HashingSource:
    """Reads through to another source and knows the digest and length of what went by."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    @property
    def digest(self) -> str:
        return digest.PREFIX + self._hash.hexdigest()


@contextmanager
def _folder(path: str) -> Iterator[int]:
    fd = os.open(path, _OPEN_FOLDER)
    try:
        yield fd
    finally:
        os.close(fd)


def _metadata(path: str, lowers: list[str]) -> dict[str, str]:
    data = {"MergedDir": f"{path}/merged", "UpperDir": f"{path}/diff", "WorkDir": f"{path}/work"}
    return {"LowerDir": ":".join(lowers), **data} if lowers else data


def _write_json(path: str, document: dict[str, Any]) -> None:
    with open(path, "x", encoding="utf-8") as file:
        json.dump(document, file)


def _read_json(path: str, what: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            document: dict[str, Any] = json.load(file)
            return document
    except FileNotFoundError:
        raise errors.NotFound(f"{what} does not exist") from None
