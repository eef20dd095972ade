"""Images, as the API asks for them: the image store, in threads.

Owns the hops, the events of images, and who uses an image. What takes as long as its client (load, save,
import) has no deadline: it reads or writes as the client does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sampan import errors
from sampan.engine.blocking import Steps, Threads
from sampan.engine.events import Events
from sampan.engine.registry import Registry
from sampan.images.layers import ByteSource
from sampan.images.store import ImageStore, InUse

Document = dict[str, Any]
Documents = list[Document]
Filters = Mapping[str, Sequence[str]]

_T = TypeVar("_T")


def notify(events: Events, loop: asyncio.AbstractEventLoop, action: str, image: str, name: str) -> None:
    """Tell of a change in the store; called in its threads."""
    attributes = {"name": name} if name else {}
    loop.call_soon_threadsafe(events.publish, "image", action, image, attributes)


class Images:
    """The API's tag Image."""

    def __init__(self, store: ImageStore, threads: Threads, registry: Registry) -> None:
        self._store = store
        self._threads = threads
        self._registry = registry

    async def list(self, *, all: bool = False, filters: Filters | None = None) -> Documents:  # noqa: A002 - Docker's name
        documents = await self._threads.run(self._store.list, all, filters or {})
        return [document | {"Containers": self._count(document["Id"])} for document in documents]

    async def inspect(self, reference: str, *, legacy: bool = False) -> Document:
        try:
            return await self._threads.run(self._store.inspect, reference, legacy=legacy)
        except errors.NotFound as error:
            raise errors.NotFound(f"no such image: {reference}: {error}") from None

    async def history(self, reference: str) -> Documents:
        return await self._threads.run(self._store.history, reference)

    async def tag(self, reference: str, repository: str, tag: str = "") -> None:
        await self._threads.run(self._store.tag, reference, repository, tag)

    async def remove(self, reference: str, *, force: bool = False, noprune: bool = False) -> Documents:
        return await self._threads.run(
            self._store.remove, reference, force=force, noprune=noprune, in_use=self._in_use()
        )

    async def prune(self, filters: Filters) -> Document:
        return await self._threads.run(self._store.prune, filters, self._in_use())

    async def pull(self, name: str, tag: str = "") -> None:
        raise errors.NotImplementedYet(f"sampan does not pull images yet ({name}{tag and ':'}{tag})")

    async def import_tar(
        self,
        stream: ByteSource,
        *,
        repository: str = "",
        tag: str = "",
        message: str = "",
        changes: Sequence[str] = (),
        platform: str = "",
    ) -> str:
        return await self._threads.run_within(
            None,
            lambda: self._store.import_tar(
                stream, repository=repository, tag=tag, message=message, changes=changes, platform=platform
            ),
        )

    def load(self, stream: ByteSource, *, quiet: bool = False) -> Steps[Document]:
        return self._iterate(self._store.load(stream, quiet=quiet))

    async def save(self, references: Sequence[str]) -> Steps[bytes]:
        """The names are checked when this returns."""
        return self._iterate(await self._threads.run(self._store.save, references))

    def _iterate(self, items: Iterator[_T]) -> Steps[_T]:
        return Steps(self._threads, items, getattr(items, "close", lambda: None))

    def _count(self, image: str) -> int:
        return sum(container.record.image == image for container in self._registry)

    def _in_use(self) -> InUse:
        """Which containers use an image: as it is now, for a thread to ask."""
        users: dict[str, list[tuple[str, bool]]] = {}
        for container in self._registry:
            mounted = {point.image for point in container.record.points if point.image}
            for image in {container.record.image} | mounted:
                users.setdefault(image, []).append((container.id, container.is_running))
        return lambda image: users.get(image, [])
