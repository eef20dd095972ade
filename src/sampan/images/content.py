"""The content store: bytes by their digest, in `content/blobs/sha256/<hex>` (OCI image layout's naming).

Owns that folder and `content/ingest`, where content is written before it has its name. A blob is there in
full or not at all: written beside, synced, renamed. Who needs which blob is the catalog's business.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from contextlib import contextmanager

from sampan import errors
from sampan.trees import walk
from sampan.wire import digest as digests


class ContentStore:
    """Blobs of one data root."""

    def __init__(self, root: str) -> None:
        """`root` is `<data root>/content`."""
        self._blobs = f"{root}/blobs/sha256"
        self._ingest = f"{root}/ingest"
        for folder in (self._blobs, self._ingest):
            os.makedirs(folder, 0o700, exist_ok=True)

    def add(self, data: bytes) -> str:
        """Store the bytes; returns their digest."""
        digest = digests.of_bytes(data)
        path = self._path(digest)
        if os.path.exists(path):
            return digest
        beside = f"{self._ingest}/{os.urandom(8).hex()}"
        try:
            with open(beside, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(beside, path)
        except OSError as error:
            walk.remove(beside)
            raise errors.SampanError(f"cannot write to the content store: {error.strerror}") from error
        return digest

    def read(self, digest: str) -> bytes:
        """Return a blob's bytes, checked against their name."""
        try:
            with open(self._path(digest), "rb") as file:
                data = file.read()
        except FileNotFoundError:
            raise errors.NotFound(f"content {digest} does not exist") from None
        if digests.of_bytes(data) != digest:
            raise errors.SampanError(f"content {digest} is damaged on the disk")
        return data

    def remove(self, digest: str) -> None:
        """Remove a blob; one that is not there is removed already."""
        walk.remove(self._path(digest))

    @contextmanager
    def workspace(self) -> Iterator[str]:
        """A folder for files that are being received, gone at the end."""
        place = f"{self._ingest}/{os.urandom(8).hex()}"
        os.mkdir(place, 0o700)
        try:
            yield place
        finally:
            walk.remove(place)

    def recover(self, wanted: Container[str]) -> list[str]:
        """Remove what a killed process left, and blobs that are not wanted; returns what was removed."""
        removed = []
        for name in os.listdir(self._ingest):
            walk.remove(f"{self._ingest}/{name}")
            removed.append(f"unfinished content {name}")
        for name in os.listdir(self._blobs):
            if digests.PREFIX + name not in wanted:
                walk.remove(f"{self._blobs}/{name}")
                removed.append(f"content {name}")
        return removed

    def _path(self, digest: str) -> str:
        return f"{self._blobs}/{digests.hex_of(digest)}"
