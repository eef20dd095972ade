"""Files of containers, as the API moves them: archives in and out, changes, export, commit.

Owns the meaning of a path in such a request (moby's daemon/archive.go), the refusals, and who may write when.
Reading and writing of archives is `sampan.trees`' business; how to see a container's files, that of
`rootviews`.
"""

from __future__ import annotations

import asyncio
import os
import posixpath
import stat
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from sampan import errors
from sampan.engine import configuration, rootviews
from sampan.engine.blocking import Steps
from sampan.engine.container import Container
from sampan.engine.containers import Containers
from sampan.engine.lifecycle import Lifecycle
from sampan.engine.rootviews import View
from sampan.engine.schema import ContainerConfig
from sampan.engine.services import Services
from sampan.engine.states import State
from sampan.images import documents
from sampan.images.changes import apply_changes
from sampan.images.compression import decompressed
from sampan.images.configuration import Commit
from sampan.images.layers import ByteSource
from sampan.records import dataclass
from sampan.runtime import users
from sampan.runtime.confined import Root
from sampan.trees.extraction import Extraction
from sampan.trees.packing import Packer, end
from sampan.wire import gotime
from sampan.wire.tarstream import TarReader

_T = TypeVar("_T")

Document = dict[str, Any]

_MAX_LINKS = 255

# Go's fs.FileMode: kinds and special bits are at the top.
_GO_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
}
_GO_BITS = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}


@dataclass(frozen=True, slots=True)
class ArchivePath:
    """A path of a request. A slash or "/." at its end: the last part is a folder, or a link to one."""

    text: str
    whole: str
    """Absolute and clean, but for that end."""

    @classmethod
    def parse(cls, text: str) -> ArchivePath:
        if not text:
            raise errors.InvalidArgument("bad parameter: path cannot be empty")
        whole = posixpath.normpath("/" + text).replace("//", "/", 1)
        if text.endswith("/.") or text == ".":
            whole = whole.rstrip("/") + "/."
        elif text.endswith("/") and whole != "/":
            whole += "/"
        return cls(text, whole)

    @property
    def folder(self) -> str:
        return self.whole[: self.whole.rindex("/") + 1]

    @property
    def entry(self) -> str:
        """The name in the folder; "." is the folder itself."""
        return self.whole[self.whole.rindex("/") + 1 :] or "."

    @property
    def member(self) -> str:
        """What the archive calls it."""
        return posixpath.basename(self.whole.rstrip("/")) or "/"


@dataclass(frozen=True, slots=True)
class CommitRequest:
    """What `docker commit` asks for. `config` is a whole configuration to begin with."""

    repository: str = ""
    tag: str = ""
    author: str = ""
    comment: str = ""
    changes: tuple[str, ...] = ()
    pause: bool = True
    config: ContainerConfig | None = None


class Archives:
    """The part of the API's tag Container that is about files."""

    def __init__(self, services: Services, lifecycle: Lifecycle, containers: Containers) -> None:
        self._services = services
        self._lifecycle = lifecycle
        self._containers = containers

    async def stat(self, reference: str, text: str) -> Document:
        """`HEAD /containers/{id}/archive`."""
        container, path = self._services.registry.resolve(reference), ArchivePath.parse(text)
        return await self._in_view(container, lambda view: _stat(view.root, path, reference))

    async def read(self, reference: str, text: str) -> tuple[Document, Steps[bytes]]:
        """`GET /containers/{id}/archive`: what the path is, and it and all below it as a tar."""
        container, path = self._services.registry.resolve(reference), ArchivePath.parse(text)
        view, close = await self._lasting_view(container)
        try:
            found = await self._services.threads.run(_stat, view.root, path, reference)
        except BaseException:
            await self._services.threads.run(close)
            raise
        self._lifecycle.publish(container, "archive-path")
        return found, Steps(self._services.threads, _pack(view.root, path), close)

    async def write(
        self, reference: str, text: str, content: ByteSource, *, keeps_kinds: bool, owned_by_user: bool
    ) -> None:
        """`PUT /containers/{id}/archive`: extract a tar, compressed or not, into a folder.

        `owned_by_user`: what is new belongs to the container's user.
        """
        container, path = self._services.registry.resolve(reference), ArchivePath.parse(text)
        user = container.record.config.user if owned_by_user else ""

        def extract(view: View) -> None:
            where = _extraction_point(view.root, path, reference)
            _check_writable(container, path)
            found = users.resolve(view.root, user) if user else None
            extraction = Extraction(
                lambda below: view.root.open(f"{where}/{below}", os.O_PATH | os.O_DIRECTORY),
                path.whole.rstrip("/") or "/",
                keeps_kinds=keeps_kinds,
                owner=None if found is None else (found.uid, found.gid),
            )
            extraction.run(TarReader(decompressed(content)))

        await self._in_view(container, extract)
        self._lifecycle.publish(container, "extract-to-dir")

    async def changes(self, reference: str) -> list[Document] | None:
        """`GET /containers/{id}/changes`."""
        container = self._services.registry.resolve(reference)
        return await self._services.threads.run(self._services.images.changes, container.id) or None

    async def export(self, reference: str) -> Steps[bytes]:
        """`GET /containers/{id}/export`: the whole root file system as a tar, without volumes."""
        services, container = self._services, self._services.registry.resolve(reference)
        root = await services.threads.run(rootviews.image_part, services, container.record, container.status)
        self._lifecycle.publish(container, "export")
        return Steps(services.threads, _pack_all(root), lambda: os.close(root))

    async def commit(self, reference: str, request: CommitRequest) -> str:
        """`POST /commit`: an image of what the container has written; returns its id."""
        services, container = self._services, self._services.registry.resolve(reference)
        config = container.record.config
        base = config if request.config is None else configuration.merge(request.config, config)
        changed = apply_changes(documents.full_config(msgspec.to_builtins(base)), request.changes)
        commit = Commit(
            container_id=container.id,
            run_config=msgspec.to_builtins(config),
            changed_config=changed,
            author=request.author,
            comment=request.comment,
        )
        pauses = request.pause and container.state is State.RUNNING
        if pauses:
            await self._containers.pause(reference)
        try:
            image = await services.threads.run_within(
                None,
                lambda: services.images.commit(
                    container.record.image, commit, repository=request.repository, tag=request.tag
                ),
            )
        finally:
            if pauses:
                await self._containers.unpause(container.id)
        name = f"{request.repository}:{request.tag or 'latest'}" if request.repository else ""
        attributes = {"comment": request.comment, "imageID": image, "imageRef": name}
        self._lifecycle.publish(container, "commit", attributes)
        return image

    # --- views ---

    async def _in_view(self, container: Container, function: Callable[[View], _T]) -> _T:
        """Call a function in a thread with the files of a container. A start waits until it is done."""

        async def work() -> _T:
            view = await self._view(container)
            try:
                return await self._services.threads.run_within(None, lambda: function(view))
            finally:
                await self._services.threads.run(view.close)

        return await (work() if container.state.has_processes else container.actor.run(work))

    async def _lasting_view(self, container: Container) -> tuple[View, Callable[[], None]]:
        """A view, and how to close it (in a thread). A start waits until then."""
        if container.state.has_processes:
            shown = await self._view(container)
            return shown, shown.close
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[Any] = loop.create_future()
        closed = asyncio.Event()

        async def hold() -> Any:
            view = await self._view(container)
            if opened.done():
                await self._services.threads.run(view.close)  # nobody waits for it any more
                return
            opened.set_result(view)
            await closed.wait()

        holding = container.actor.post(hold)
        try:
            await asyncio.wait((opened, holding), return_when=asyncio.FIRST_COMPLETED)
        finally:
            opened.cancel()  # without effect when it is done
        if opened.cancelled():
            await holding
        view: View = opened.result()

        def close() -> None:
            view.close()
            loop.call_soon_threadsafe(closed.set)

        return view, close

    async def _view(self, container: Container) -> View:
        services = self._services

        def open_view() -> View:
            view = None
            if container.status.state.has_processes:
                view = rootviews.of_running(container.record, container.status)
            return view or rootviews.of_stopped(services, container.record)

        return await services.threads.run(open_view)


# --- paths, in threads --------------------------------------------------------------------------------------


def _stat(root: Root, path: ArchivePath, reference: str) -> Document:
    """Docker's ContainerPathStat. Raises NotFound."""
    fd = _look(root, path, reference)
    try:
        status = os.fstat(fd)
    finally:
        os.close(fd)
    is_link = stat.S_ISLNK(status.st_mode)
    return {
        "name": path.member,
        "size": status.st_size,
        "mode": _go_mode(status.st_mode),
        "mtime": gotime.format_rfc3339(status.st_mtime_ns),
        "linkTarget": _real_path(root, path.whole) if is_link else "",
    }


def _look(root: Root, path: ArchivePath, reference: str) -> int:
    """A descriptor (O_PATH) of what the path names, which may be a link."""
    try:
        folder = root.open(path.folder, os.O_PATH | os.O_DIRECTORY)
        try:
            return os.open(path.entry, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)
    except FileNotFoundError:
        raise _not_found(path, reference) from None
    except OSError as error:
        told = os.strerror(error.errno or 0).lower()
        raise errors.InvalidArgument(f"lstat {path.whole}: {told}") from None


def _pack(root: Root, path: ArchivePath) -> Iterator[bytes]:
    folder = root.open(path.folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield from Packer().tree(folder, path.entry, path.member)
    finally:
        os.close(folder)
    yield end()


def _pack_all(root: int) -> Iterator[bytes]:
    yield from Packer().tree(root, ".", "")
    yield end()


def _extraction_point(root: Root, path: ArchivePath, reference: str) -> str:
    """The path without links of the folder to extract to."""
    try:
        os.close(root.open(path.whole, os.O_PATH | os.O_DIRECTORY))
    except FileNotFoundError:
        raise _not_found(path, reference) from None
    except NotADirectoryError:
        raise errors.InvalidArgument("extraction point is not a directory") from None
    return _real_path(root, path.whole)


def _real_path(root: Root, text: str) -> str:
    """Where a path leads in the end, as text; what is missing of it stays as it is.

    For messages and as a beginning of further look-ups, which are confined again.
    """
    done: list[str] = []
    left = [part for part in reversed(text.split("/")) if part not in ("", ".")]
    links = 0
    while left:
        part = left.pop()
        if part == "..":
            del done[-1:]
            continue
        target = _link_target(root, "/".join([*done, part]))
        if target is None:
            done.append(part)
            continue
        links += 1
        if links > _MAX_LINKS:
            raise errors.InvalidArgument(f"too many links: {text}")
        if target.startswith("/"):
            done.clear()
        left += [step for step in reversed(target.split("/")) if step not in ("", ".")]
    return "/" + "/".join(done)


def _link_target(root: Root, path: str) -> str | None:
    try:
        fd = root.open(path, os.O_PATH | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return os.readlink("", dir_fd=fd)
    except OSError:
        return None  # something else than a link
    finally:
        os.close(fd)


def _check_writable(container: Container, path: ArchivePath) -> None:
    """Raises InvalidArgument in dockerd's words. The kernel would refuse as well, with fewer."""
    record = container.record
    over = [point for point in record.points if f"{path.whole}/".startswith(f"{point.destination}/")]
    if over:
        if not max(over, key=lambda point: len(point.destination)).writable:
            raise errors.InvalidArgument("mounted volume is marked read-only")
    elif record.host_config.readonly_rootfs:
        raise errors.InvalidArgument("container rootfs is marked read-only")


def _go_mode(mode: int) -> int:
    special = sum(go for bit, go in _GO_BITS.items() if mode & bit)
    return _GO_KINDS.get(stat.S_IFMT(mode), 0) | special | mode & 0o777


def _not_found(path: ArchivePath, reference: str) -> errors.NotFound:
    return errors.NotFound(f"Could not find the file {path.text} in container {reference}")
