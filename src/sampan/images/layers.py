"""The interface of a layer driver: how the file trees of images and containers are kept and mounted.

Owns the vocabulary (`Layer`, `LayerDriver`) and nothing else. A driver may keep a layer as an extracted
folder, as a plain tar with an index over it, or in any other way: only the driver knows, so nothing outside
it may open a path below its folder. `tests/images/driver_suite.py` is the conformance suite that every driver
passes.

Names, from the OCI image specification: the *diff id* is the digest of a layer's uncompressed tar; the *chain
id* names a layer together with everything below it, and is what a driver keys its layers by.

Life of an image's layers, bottom first:

    base = driver.apply(None, tar)                # verified, in place, safe from a power cut
    top = driver.apply(base.chain_id, tar2)
    b"".join(driver.tar(top.chain_id))            # the bytes of tar2 again, to the last padding byte
    driver.remove(top.chain_id)                   # from the top down; the caller counts references
    driver.sweep()                                # may take long: frees the bytes of what was removed

Life of a container's writable layer:

    driver.create_writable(container_id, top.chain_id)
    root = driver.mount(container_id)             # a detached mount, for the caller to move and to close
    driver.writable_size(container_id)
    driver.remove_writable(container_id)          # after the mounts of it are gone

An image is mounted as it is by `driver.open_layer(top.chain_id)`.

Every method may be called from any thread, and twice; `remove` and `remove_writable` of what is not there
succeed. A call that fails leaves nothing behind, and what a killed process left is removed by `recover`.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from enum import IntEnum
from typing import Protocol, runtime_checkable

from sampan import errors
from sampan.records import dataclass


class ByteSource(Protocol):
    """What a layer's tar is read from: `read(n)` gives up to n bytes, and b"" only at the end."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes."""
        ...


class ChangeKind(IntEnum):
    """As Docker's API numbers them."""

    MODIFIED = 0
    ADDED = 1
    DELETED = 2


@dataclass(frozen=True, slots=True)
class Change:
    """What a container did to a path, which begins with a slash."""

    kind: ChangeKind
    path: str


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that a driver holds."""

    chain_id: str
    """`sha256:…` over this layer and all below it."""
    diff_id: str
    """`sha256:…` of the uncompressed tar."""
    parent: str | None
    """The chain id of the layer below."""
    size: int
    """Bytes in files and links, each inode once: what Docker calls the layer's size."""
    tar_size: int
    """Bytes of the uncompressed tar."""


class WrongDiffID(errors.InvalidArgument):
    """A tar is not the one that its image names."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f'invalid diffID: expected "{expected}", got "{got}"')
        self.expected = expected
        self.got = got


@runtime_checkable
class LayerDriver(Protocol):
    """Keeps layers and mounts containers' root file systems. See the module's text for the life cycle."""

    @property
    def name(self) -> str:
        """The driver's name, as `docker info` shows it."""
        ...

    def apply(self, parent: str | None, tar: ByteSource, *, expected_diff_id: str | None = None) -> Layer:
        """Add the layer whose uncompressed tar is read from `tar` to its end, on top of `parent`.

        Raises `errors.InvalidArgument` for a tar that is damaged or hostile, `WrongDiffID` for one that is
        not the expected one, and `errors.SampanError` in one line when the disk is full. A layer that is
        there already is returned.
        """
        ...

    def has(self, chain_id: str) -> bool:
        """Tell whether the layer is there."""
        ...

    def tar(self, chain_id: str) -> Iterator[bytes]:
        """Yield the layer's tar, byte for byte; raises `errors.SampanError` if its digest is wrong by now."""
        ...

    def remove(self, chain_id: str) -> None:
        """Take away a layer that nothing is on top of. Quick: `sweep`, or `recover`, frees its bytes."""
        ...

    def sweep(self) -> None:
        """Free the bytes of removed layers."""
        ...

    def create_writable(self, container_id: str, parent: str | None) -> None:
        """Make a container's writable layer on `parent`, and the mount points of Docker's init layer."""
        ...

    def mount(self, container_id: str) -> int:
        """Return the descriptor of a new detached mount of the container's root file system, writable."""
        ...

    def open_root(self, container_id: str) -> int:
        """Return a detached read-only mount of a container that is not running, for `cp` and `export`."""
        ...

    def open_layer(self, chain_id: str | None, subpath: str = "") -> int:
        """Return a detached read-only mount of a layer with all below it, or of a part of it.

        Raises `OSError` for a part that is not there (ENOENT) or that a link leads out of the image (EXDEV).
        """
        ...

    def remove_writable(self, container_id: str) -> None:
        """Remove a container's writable layer and all that was written to it."""
        ...

    def changes(self, container_id: str) -> list[Change]:
        """Return what the container has changed, sorted by path; it may be running."""
        ...

    def changes_tar(self, container_id: str) -> Iterator[bytes]:
        """Yield the changes as the tar of a layer, for `apply` on the container's parent."""
        ...

    def writable_size(self, container_id: str) -> int:
        """Return the bytes that the container wrote."""
        ...

    def metadata(self, container_id: str) -> dict[str, str]:
        """Return the `GraphDriver.Data` of a container's inspect document."""
        ...

    def layer_metadata(self, chain_id: str) -> dict[str, str]:
        """Return the `GraphDriver.Data` of the inspect document of the image whose top layer this is."""
        ...

    def recover(self, layers: Container[str], writables: Container[str]) -> list[str]:
        """Remove what a killed process left, and each layer and writable layer not among the given ones.

        Returns what was removed, one line each, for the log.
        """
        ...
