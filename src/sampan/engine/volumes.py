"""Volumes, as the API has them: who uses them, filters, events; and what a container's creation needs.

Owns the meaning of a volume for containers. A volume is used by every container that mounts it, running or
not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

import msgspec

from sampan import errors
from sampan.engine.container import Container
from sampan.engine.listing import has_labels
from sampan.engine.mountpoints import MountPoint
from sampan.engine.record import Record
from sampan.engine.services import Services
from sampan.volumes.store import DRIVER, Volume, VolumeStore, new_name
from sampan.wire import gotime

_log = logging.getLogger("sampan.engine")

Document = dict[str, Any]
Filters = Mapping[str, Sequence[str]]

_LIST_KEYS = frozenset(("dangling", "driver", "label", "label!", "name"))
_PRUNE_KEYS = frozenset(("all", "label", "label!"))
_TRUE, _FALSE = ("1", "true"), ("0", "false")


class Volumes:
    """The API's tag Volume."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def create(
        self, name: str, driver: str, options: dict[str, str] | None, labels: dict[str, str] | None
    ) -> Document:
        check_driver(name, driver)
        create = self._store.create
        volume, is_new = await self._services.threads.run(
            lambda: create(name or new_name(), labels, options, anonymous=not name)
        )
        if is_new:
            publish(self._services, "create", volume.name)
        return self._document(volume)

    def listed(self, filters: Filters) -> Document:
        _check_keys(filters, _LIST_KEYS)
        dangling = _flag(filters, "dangling")
        used = self._users()
        found = [
            volume
            for volume in self._store.all()
            if (dangling is None or dangling == (volume.name not in used))
            and all(wanted == DRIVER for wanted in filters.get("driver", ()))
            and _any_in(filters.get("name", ()), volume.name)
            and _has_labels(volume, filters)
        ]
        return {"Volumes": [self._document(volume) for volume in found], "Warnings": None}

    def inspect(self, name: str) -> Document:
        return self._document(self._store.get(name))

    async def remove(self, name: str, *, force: bool) -> None:
        try:
            self._store.get(name)
        except errors.NotFound:
            if force:
                return
            raise
        await self._remove(name)

    async def prune(self, filters: Filters, *, all_by_default: bool) -> Document:
        """Remove what nobody uses: since API 1.42 only volumes without a name, unless `all` is asked for."""
        _check_keys(filters, _PRUNE_KEYS)
        wanted = _flag(filters, "all")
        everything = all_by_default if wanted is None else wanted
        used, removed, freed = self._users(), [], 0
        for volume in self._store.all():
            if volume.name in used or volume.options or not (everything or volume.is_anonymous):
                continue  # what options name is not the engine's to remove
            if not _has_labels(volume, filters):
                continue
            size = await self._services.threads.run(self._store.size, volume.name)
            try:
                await self._remove(volume.name)
            except errors.SampanError:
                continue  # somebody was quicker
            removed.append(volume.name)
            freed += size
        self._services.events.publish("volume", "prune", "", {"reclaimed": str(freed)})
        return {"VolumesDeleted": removed or None, "SpaceReclaimed": freed}

    async def usage(self) -> list[Document]:
        """The volumes for `system df`, with their sizes and how many containers use them."""
        used = self._users()
        volumes = [volume for volume in self._store.all() if not volume.options]

        def measure() -> list[int]:
            return [self._store.size(volume.name) for volume in volumes]

        sizes = await self._services.threads.run(measure)
        return [
            self._document(volume) | {"UsageData": {"Size": size, "RefCount": len(used.get(volume.name, ()))}}
            for volume, size in zip(volumes, sizes, strict=True)
        ]

    @property
    def _store(self) -> VolumeStore:
        return self._services.volumes

    def _users(self) -> dict[str, list[str]]:
        return users(self._services.registry)

    async def _remove(self, name: str) -> None:
        holders = self._users().get(name)
        if holders:
            raise errors.Conflict(f"remove {name}: volume is in use - [{', '.join(holders)}]")
        await self._services.threads.run(self._store.remove, name)
        publish(self._services, "destroy", name)

    def _document(self, volume: Volume) -> Document:
        return {
            "CreatedAt": gotime.format_rfc3339(volume.created // gotime.NANOSECONDS * gotime.NANOSECONDS),
            "Driver": DRIVER,
            "Labels": volume.labels,
            "Mountpoint": self._store.path(volume.name),
            "Name": volume.name,
            "Options": volume.options,
            "Scope": "local",
        }


# --- for containers -----------------------------------------------------------------------------------------


def check_driver(name: str, driver: str) -> None:
    if driver not in ("", DRIVER):
        raise errors.NotFound(
            f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found'
        )


def users(containers: Iterable[Container]) -> dict[str, list[str]]:
    """Volume → ids of those of the containers that mount it."""
    found: dict[str, list[str]] = {}
    for container in containers:
        for point in container.record.points:
            if point.type == "volume":
                found.setdefault(point.name, []).append(container.id)
    return found


def provide(services: Services, points: Iterable[MountPoint]) -> tuple[tuple[MountPoint, ...], list[str]]:
    """In a thread: the mount points with their volumes, and the names of those that had to be made."""
    completed, made = [], []
    try:
        for point in points:
            if point.type == "volume":
                volume, is_new = services.volumes.create(
                    point.name,
                    dict(point.labels) or None,
                    dict(point.driver_options) or None,
                    anonymous=not point.is_named,
                )
                if is_new:
                    made.append(volume.name)
                point = msgspec.structs.replace(point, source=services.volumes.path(volume.name))
            completed.append(point)
    except BaseException:
        for name in made:
            services.volumes.remove(name)
        raise
    return tuple(completed), made


def attach(services: Services, record: Record) -> None:
    """In a thread: mount what the container's volumes name in their options. Raises SampanError."""
    with ExitStack() as undo:
        for point in record.points:
            if point.type == "volume":
                services.volumes.attach(point.name, record.id)
                undo.callback(services.volumes.release, point.name, record.id)
        undo.pop_all()


def release(services: Services, record: Record) -> None:
    """In a thread: the container does not use its volumes any more."""
    for point in record.points:
        if point.type == "volume":
            try:
                services.volumes.release(point.name, record.id)
            except OSError as error:
                _log.warning("volume %s cannot be unmounted: %s", point.name, error)


def publish(services: Services, action: str, name: str, **attributes: str) -> None:
    services.events.publish("volume", action, name, {"driver": DRIVER} | attributes)


def publish_mounts(services: Services, record: Record, *, mounted: bool) -> None:
    """A container has begun or ceased to use its volumes."""
    for point in record.points:
        if point.type == "volume" and mounted:
            access = {"read/write": "true" if point.writable else "false"}
            more = {"destination": point.destination, "propagation": point.propagation} | access
            publish(services, "mount", point.name, container=record.id, **more)
        elif point.type == "volume":
            publish(services, "unmount", point.name, container=record.id)


def with_names(points: Iterable[MountPoint]) -> tuple[MountPoint, ...]:
    """The mount points, with names for the volumes that have none. To be written down before any is made."""
    return tuple(
        msgspec.structs.replace(point, name=new_name())
        if point.type == "volume" and not point.name
        else point
        for point in points
    )


def remove_unnamed(store: VolumeStore, records: Iterable[Record], record: Record) -> None:
    """In a thread: remove what was made for a container that came to nothing, but not what `records` use."""
    used = {point.name for other in records if other.id != record.id for point in other.points}
    for point in record.points:
        if point.type == "volume" and not point.is_named and point.name not in used:
            with suppress(errors.NotFound):
                store.remove(point.name)


async def remove_anonymous(services: Services, points: Iterable[MountPoint]) -> None:
    """Remove the volumes that came without a name, unless another container uses them."""
    used = users(services.registry)
    for point in points:
        if point.type == "volume" and not point.is_named and point.name not in used:
            try:
                await services.threads.run(services.volumes.remove, point.name)
            except (errors.NotFound, OSError):
                continue
            publish(services, "destroy", point.name)


def _check_keys(filters: Filters, known: frozenset[str]) -> None:
    for key in filters:
        if key not in known:
            raise errors.InvalidArgument(f"Invalid filter '{key}'")


def _flag(filters: Filters, key: str) -> bool | None:
    values = filters.get(key)
    if not values:
        return None
    if len(values) == 1 and values[0] in (*_TRUE, *_FALSE):
        return values[0] in _TRUE
    raise errors.InvalidArgument(f"invalid filter '{key}={list(values)}'")


def _any_in(texts: Sequence[str], name: str) -> bool:
    return not texts or any(text in name for text in texts)


def _has_labels(volume: Volume, filters: Filters) -> bool:
    unwanted = filters.get("label!", ())
    return has_labels(volume.labels, filters.get("label", ())) and not any(
        has_labels(volume.labels, [text]) for text in unwanted
    )
