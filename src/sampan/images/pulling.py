"""`docker pull`: an image of a registry put into the store.

Owns the order of the work and dockerd's progress lines (moby, distribution/pull_v2.go). Layers are fetched
several at a time, each checked against its digest on the way; they are unpacked from the lowest up, and
checked against the image's configuration. Those that are known already are not fetched. An image is named
only when all of it is there.
"""

from __future__ import annotations

import hashlib
import os
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from sampan import errors
from sampan.images.compression import decompressed
from sampan.images.image import MAX_CONFIG_BYTES, chain_ids_of, parse_config
from sampan.images.layers import ByteSource, WrongDiffID
from sampan.images.loading import Target
from sampan.records import dataclass
from sampan.registry.client import RegistryClient
from sampan.registry.manifests import ACCEPT, Blob, Manifest, Platform, parse
from sampan.wire import digest as digests
from sampan.wire import reference, units

Document = dict[str, Any]

_AT_ONCE = 3
"""Docker's max-concurrent-downloads."""
_ATTEMPTS = 5
_FIRST_PAUSE = 0.5
_CHUNK = 1 << 18
_SECONDS_BETWEEN_LINES = 0.1
_LONGEST_MANIFEST = 4 << 20


@dataclass(frozen=True, slots=True)
class RemoteImage:
    """An image as a registry describes it. `digest` is that of what its name means there."""

    name: reference.Reference
    digest: str
    manifest: Manifest
    config: bytes


class Puller:
    """One repository of a registry."""

    def __init__(self, client: RegistryClient, name: reference.Reference) -> None:
        self._client = client
        self._name = name
        self._path = name.path
        self._scope = f"repository:{name.path}:pull"

    def resolve(self, platform: Platform) -> RemoteImage:
        """Ask what the name means. Raises NotFound, Unauthorized, PermissionDenied and others, in dockerd's
        words.
        """
        wanted = self._name.digest or self._name.tag
        data, kind, digest = self._manifest(wanted)
        found = parse(data, kind, platform)
        if isinstance(found, Blob):
            data, kind, _ = self._manifest(found.digest)
            inner = parse(data, kind, platform)
            if isinstance(inner, Blob):
                raise errors.InvalidArgument("invalid manifest: an index in an index")
            found = inner
        return RemoteImage(self._name, digest, found, self._config(found.config))

    def tags(self) -> list[str]:
        """All tags of the repository."""
        import json

        with self._client.get(f"{self._path}/tags/list", scope=self._scope) as answer:
            document = json.loads(answer.whole())
        return [str(tag) for tag in document.get("tags") or ()]

    def fetch(self, blob: Blob, path: str, told: Callable[[int], None]) -> None:
        """A blob into a file. A connection that breaks is gone on with where it was. Raises SampanError."""
        pause = _FIRST_PAUSE
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._fetch_rest(blob, path, told)
                break
            except (OSError, errors.Unavailable) as error:
                if attempt == _ATTEMPTS:
                    raise errors.SampanError(f"layer {digests.short(blob.digest)}: {error}") from error
                time.sleep(pause)
                pause *= 2
        with open(path, "rb") as file:
            got = digests.PREFIX + hashlib.file_digest(file, "sha256").hexdigest()
        if got != blob.digest:
            raise errors.SampanError(f"filesystem layer verification failed for digest {blob.digest}")

    def _fetch_rest(self, blob: Blob, path: str, told: Callable[[int], None]) -> None:
        with open(path, "ab") as file:
            have = file.tell()
            if have == blob.size:
                return
            headers = {"Range": f"bytes={have}-"} if have else {}
            where = f"{self._path}/blobs/{blob.digest}"
            with self._client.get(where, scope=self._scope, headers=headers) as answer:
                if have and answer.status != 206:
                    file.truncate(0)  # it does not do parts
                    have = 0
                while data := answer.read(_CHUNK):
                    have += len(data)
                    if have > blob.size:
                        raise errors.SampanError(
                            f"layer {digests.short(blob.digest)} is longer than announced"
                        )
                    file.write(data)
                    told(have)
        if have < blob.size:
            raise ConnectionError("unexpected EOF")

    def _manifest(self, wanted: str) -> tuple[bytes, str, str]:
        """Its bytes, their type and digest."""
        where = f"{self._path}/manifests/{wanted}"
        try:
            with self._client.get(where, accept=ACCEPT, scope=self._scope) as answer:
                data, kind = answer.whole(), answer.headers.get("content-type", "")
        except errors.NotFound as error:
            told = f"manifest for {self._name.familiar} not found: {error.message}"
            raise errors.NotFound(told) from None
        except (errors.Unauthorized, errors.PermissionDenied) as error:
            raise errors.NotFound(
                f"pull access denied for {self._name.familiar_name}, repository does not exist or may "
                f"require 'docker login': {error.message}"
            ) from None
        digest = digests.of_bytes(data)
        if digests.is_digest(wanted) and wanted != digest:
            raise errors.SampanError(f"manifest verification failed for digest {wanted}")
        return data, kind, digest

    def _config(self, blob: Blob) -> bytes:
        if blob.size > MAX_CONFIG_BYTES:
            raise errors.InvalidArgument("invalid image configuration: too long")
        with self._client.get(f"{self._path}/blobs/{blob.digest}", scope=self._scope) as answer:
            data = answer.whole()
        if digests.of_bytes(data) != blob.digest:
            raise errors.SampanError(f"image config verification failed for digest {blob.digest}")
        return data


class _Line:
    """What is told of one layer, from whichever thread."""

    def __init__(self, blob: Blob, lines: queue.SimpleQueue[Document]) -> None:
        self._blob = blob
        self._lines = lines
        self._last = 0.0

    def say(self, status: str) -> None:
        self._lines.put(line(status, self._blob.digest))

    def downloaded(self, current: int) -> None:
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            self._lines.put(line("Downloading", self._blob.digest, current, self._blob.size))


def pull_image(image: RemoteImage, puller: Puller, target: Target, place: str) -> Iterator[Document]:
    """Add an image; yields what dockerd tells its client. `place` is a folder for what is being fetched."""
    config = parse_config(image.config)
    diff_ids: Sequence[str] = config["rootfs"].get("diff_ids") or []
    layers = image.manifest.layers
    if len(diff_ids) != len(layers):
        raise errors.InvalidArgument("invalid manifest: its layers are not those of its configuration")
    if config.get("os") not in (None, "", "linux"):
        raise errors.InvalidArgument(
            f'image operating system "{config["os"]}" cannot be used on this platform'
        )
    chain_ids = chain_ids_of(list(diff_ids))
    known = [target.hold_layer(chain_id) for chain_id in chain_ids]
    lines: queue.SimpleQueue[Document] = queue.SimpleQueue()
    with ThreadPoolExecutor(_AT_ONCE, "pull") as pool:
        futures: dict[int, Future[str]] = {}
        try:
            for number, blob in enumerate(layers):
                if known[number]:
                    yield line("Already exists", blob.digest)
                    continue
                yield line("Pulling fs layer", blob.digest)
                path = os.path.join(place, f"{number}")
                futures[number] = pool.submit(_download, puller, blob, path, _Line(blob, lines))
            parent = None
            for number, (blob, chain_id, diff_id) in enumerate(zip(layers, chain_ids, diff_ids, strict=True)):
                if number in futures:
                    yield from _until_done(futures[number], lines)
                    yield line("Extracting", blob.digest, blob.size, blob.size)
                    _apply(target, parent, futures[number].result(), diff_id)
                    yield line("Pull complete", blob.digest)
                parent = chain_id
        except BaseException:
            for future in futures.values():
                future.cancel()
            raise
    if digests.of_bytes(image.config) != target.add_image(image.config):
        raise errors.SampanError("the image's configuration changed on the way")


def _download(puller: Puller, blob: Blob, path: str, told: _Line) -> str:
    puller.fetch(blob, path, told.downloaded)
    told.say("Verifying Checksum")
    told.say("Download complete")
    return path


def _until_done(future: Future[str], lines: queue.SimpleQueue[Document]) -> Iterator[Document]:
    while not future.done():
        try:
            yield lines.get(timeout=_SECONDS_BETWEEN_LINES)
        except queue.Empty:
            continue
    while not lines.empty():
        yield lines.get()
    future.result()


def _apply(target: Target, parent: str | None, path: str, diff_id: str) -> None:
    with open(path, "rb", buffering=0) as file:
        source: ByteSource = file
        try:
            target.apply_layer(parent, decompressed(source), diff_id)
        except WrongDiffID as wrong:
            raise errors.SampanError(
                f"layers from manifest don't match image configuration: expected {wrong.expected}, "
                f"got {wrong.got}"
            ) from wrong
    os.unlink(path)


def line(status: str, digest: str, current: int = 0, total: int = 0) -> Document:
    """One line of progress of a layer."""
    document: Document = {"status": status, "progressDetail": {}}
    if total:
        shown = f"{units.human_size(current)}/{units.human_size(total)}"
        document |= {"progressDetail": {"current": current, "total": total}, "progress": shown}
    return document | {"id": digests.short(digest)}
