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
from sampan.images.configuration import platform_of
from sampan.images.layers import ByteSource
from sampan.images.pulling import Puller, RemoteImage
from sampan.images.store import ImageStore, InUse
from sampan.records import dataclass, replace
from sampan.registry.client import RegistryClient
from sampan.registry.credentials import NOBODY, Credentials
from sampan.registry.manifests import Platform
from sampan.wire import digest as digests
from sampan.wire import reference

Document = dict[str, Any]
Documents = list[Document]
Filters = Mapping[str, Sequence[str]]

_T = TypeVar("_T")


def notify(events: Events, loop: asyncio.AbstractEventLoop, action: str, image: str, name: str) -> None:
    """Tell of a change in the store; called in its threads."""
    attributes = {"name": name} if name else {}
    loop.call_soon_threadsafe(events.publish, "image", action, image, attributes)


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull that is going on, by its lines of progress."""

    lines: Steps[Document]


def _pull_all(store: ImageStore, found: Sequence[tuple[Puller, RemoteImage]]) -> Iterator[Document]:
    for puller, image in found:
        yield {"status": f"Pulling from {image.name.path}", "id": image.name.tag or image.name.digest}
        yield from store.pull(image, puller)


def parse_platform(text: str) -> Platform:
    """`os[/architecture[/variant]]`; what is left out is this machine's."""
    system, architecture, variant = platform_of(text)
    return Platform(system, architecture, variant)


class Images:
    """The API's tag Image."""

    def __init__(
        self, store: ImageStore, threads: Threads, registry: Registry, insecure: Sequence[str] = ()
    ) -> None:
        """`insecure`: registries without a certificate that can be checked."""
        self._insecure = insecure
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

    async def pull(
        self, name: str, tag: str = "", platform: str = "", credentials: Credentials = NOBODY
    ) -> Pull:
        """Ask a registry for an image; all that can be wrong with its name is raised now. An empty tag stands
        for all tags.
        """
        wanted = reference.parse(name)
        if tag:
            digest = digests.is_digest(tag)
            wanted = replace(wanted, tag="", digest=tag) if digest else wanted.with_tag(tag)
        client = RegistryClient(wanted.domain, credentials, insecure=self._insecure)
        chosen = parse_platform(platform)

        def resolve() -> list[tuple[Puller, RemoteImage]]:
            tags = Puller(client, wanted).tags() if wanted.is_name_only else []
            names = [wanted.with_tag(one) for one in tags] or [wanted]
            pullers = [Puller(client, one) for one in names]
            return [(puller, puller.resolve(chosen)) for puller in pullers]

        found = await self._threads.run_within(None, resolve)
        return Pull(self._iterate(_pull_all(self._store, found)))

    async def login(self, credentials: Credentials, address: str) -> None:
        """Whether a registry takes these credentials. Raises Unauthorized and others."""
        domain = address.removeprefix("https://").removeprefix("http://").partition("/")[0]
        if domain in ("", "index.docker.io"):
            domain = reference.DEFAULT_DOMAIN
        client = RegistryClient(domain, credentials, insecure=self._insecure)
        await self._threads.run_within(None, client.check)

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
