"""`create`: from a request to a container that could be started.

Owns the order of checks (dockerd's), the making of the record, and the one blocking step: row, folder,
layer.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import msgspec

from sampan import errors
from sampan.engine import configuration, mountpoints, refusals, volumes
from sampan.engine.actor import Actor
from sampan.engine.container import Container, Paths
from sampan.engine.mountpoints import MountPoint
from sampan.engine.networkrecord import BRIDGE, HOST, NONE
from sampan.engine.record import Record, Status
from sampan.engine.schema import (
    ContainerConfig,
    ContainerCreate,
    EndpointSettings,
    HostConfig,
    NetworkingConfig,
)
from sampan.engine.services import Services
from sampan.engine.states import Intent
from sampan.images.image import Image
from sampan.linux import files

_CONTAINER = "container:"


async def create(
    services: Services, name: str, body: ContainerCreate, platform: str
) -> tuple[Container, list[str]]:
    """Make a container and add it to the registry; also returns the warnings for the client."""
    config, host_config = configuration.plain(body), body.host_config or HostConfig()
    if config == ContainerConfig():
        raise errors.InvalidArgument("Config cannot be empty in order to create a container")
    configuration.check_modes(config, host_config)
    configuration.check_config(config)
    refusals.check(config, host_config, body.networking_config)
    host_config, warnings = configuration.complete(host_config, services.host)
    host_config = _with_full_ids(services, host_config)
    volumes.check_driver(name, host_config.volume_driver)
    borrowed = [point for text in host_config.volumes_from or () for point in _borrowed(services, text)]
    points = mountpoints.collect(host_config, services.settings.data_root, borrowed)
    identifier = _new_identifier()
    name = services.registry.reserve(name, identifier)
    try:
        record = Record(
            id=identifier,
            name=name,
            created=time.time_ns(),
            image="",
            config=config,
            host_config=host_config,
            points=points,
            endpoints=_endpoints(services, host_config, config, body.networking_config),
        )
        record = await services.threads.run(_make, services, record, platform, warnings)
    except BaseException:
        services.registry.release(name, identifier)
        raise
    container = Container(record, Status(), Actor(services.tasks, record.short_id))
    services.registry.add(container)
    return container, warnings


def _endpoints(
    services: Services, host_config: HostConfig, config: ContainerConfig, networking: NetworkingConfig | None
) -> dict[str, EndpointSettings] | None:
    """What the container wants on which networks; None for nothing but its mode's. A network that is missing
    fails the start.
    """
    mode = host_config.network_mode
    if mode in (HOST, NONE) or mode.startswith(_CONTAINER):
        return None
    given = (networking.endpoints_config if networking is not None else None) or {}
    own = _network_name(services, mode)
    found: dict[str, EndpointSettings] = {own: EndpointSettings()}
    for reference, settings in given.items():
        found[_network_name(services, reference)] = settings or EndpointSettings()
    if config.mac_address and not found[own].mac_address:
        found[own] = msgspec.structs.replace(found[own], mac_address=config.mac_address)
    return None if found == {own: EndpointSettings()} else found


def _network_name(services: Services, reference: str) -> str:
    if reference in ("", "default"):
        return BRIDGE
    try:
        return services.network.store.find(reference)
    except errors.NotFound:
        return reference


def _with_full_ids(services: Services, host_config: HostConfig) -> HostConfig:
    """`container:NAME` as `container:ID`, which a rename does not change. A missing one fails the start."""
    changes: dict[str, Any] = {}
    for field in ("network_mode", "ipc_mode", "pid_mode"):
        mode: str = getattr(host_config, field)
        if mode.startswith(_CONTAINER):
            found = services.registry.find(mode.removeprefix(_CONTAINER))
            if found is not None:
                changes[field] = _CONTAINER + found.id
    return msgspec.structs.replace(host_config, **changes)


def _new_identifier() -> str:
    while True:
        identifier = secrets.token_hex(32)
        if not identifier[:12].isdecimal():  # as a hostname, a number could be taken for an address
            return identifier


def _make(services: Services, record: Record, platform: str, warnings: list[str]) -> Record:
    """In a thread: find the image, then write the intent, make the parts, write the outcome."""
    image = services.images.resolve(record.config.image)
    _check_platform(image, record.config.image, platform)
    record = _from_image(services, record, image, warnings)
    services.network.check(record)
    paths = Paths.of(services.settings, record.id)
    with ExitStack() as undo:
        services.database.insert(record, Status(), Intent.CREATE)
        undo.callback(services.database.delete, record.id)
        os.mkdir(paths.folder, 0o710)
        undo.callback(shutil.rmtree, paths.folder, ignore_errors=True)
        services.images.create_writable(record.id, image.id)
        undo.callback(services.images.remove_writable, record.id)
        for point in record.points:
            if point.type == "image":
                services.images.hold_mounted(record.id, point.image)
        points, made = volumes.provide(services, record.points)
        for volume in made:
            undo.callback(services.volumes.remove, volume)
        record = msgspec.structs.replace(record, points=points)
        services.database.save_record(record)
        _fill_volumes(services, record)
        services.database.set_intent(record.id, Intent.NONE)
        undo.pop_all()
    return record


def _from_image(services: Services, record: Record, image: Image, warnings: list[str]) -> Record:
    """The record with what the image adds. Raises InvalidArgument, Unsupported."""
    try:
        images_own = msgspec.convert(image.run_config, ContainerConfig)
    except msgspec.ValidationError as error:
        raise errors.InvalidArgument(f"invalid configuration of image {image.id}: {error}") from None
    config = configuration.merge(record.config, images_own)
    configuration.check_config(config)
    refusals.check(config, record.host_config, None)
    if not config.hostname and not record.host_config.network_mode.startswith(_CONTAINER):
        own = services.host.name if record.host_config.network_mode == "host" else record.short_id
        config = msgspec.structs.replace(config, hostname=own)
    points = mountpoints.with_anonymous(record.points, record.host_config, sorted(config.volumes or {}))
    points = volumes.with_names(_with_images(services, points))
    driver = services.images.driver.name
    return msgspec.structs.replace(record, image=image.id, config=config, points=points, driver=driver)


def _with_images(services: Services, points: Iterable[MountPoint]) -> list[MountPoint]:
    """The mount points with the ids of the images that they mount."""
    completed = []
    for point in points:
        if point.type == "image":
            try:
                point = msgspec.structs.replace(point, image=services.images.resolve(point.name).id)
            except errors.NotFound as error:
                # Not "not found", on which a client pulls the container's own image.
                raise errors.InvalidArgument(
                    f'invalid mount config for type "image": {error.message}'
                ) from None
        completed.append(point)
    return completed


def _borrowed(services: Services, text: str) -> list[MountPoint]:
    """The mount points of another container, for `--volumes-from NAME[:MODE]`."""
    name, _, mode = text.partition(":")
    try:
        lender = services.registry.resolve(name)
    except errors.NotFound as error:
        # Not "not found", which would mean the image to a client.
        raise errors.InvalidArgument(error.message) from None
    return mountpoints.borrow(lender.record.points, mode)


def _fill_volumes(services: Services, record: Record) -> None:
    """In a thread: give volumes that are empty what the image has in their places."""
    wanted = [point for point in record.points if point.type == "volume" and point.copies]
    if not wanted:
        return
    root = services.images.mount(record.id)
    try:
        for point in wanted:
            try:
                found = files.open_in_root(root, point.destination, os.O_RDONLY | os.O_DIRECTORY)
            except (FileNotFoundError, NotADirectoryError):
                continue
            try:
                services.volumes.attach(point.name, record.id)
                try:
                    services.volumes.fill(point.name, found)
                finally:
                    services.volumes.release(point.name, record.id)
            finally:
                os.close(found)
    finally:
        os.close(root)


def _check_platform(image: Image, reference: str, platform: str) -> None:
    """`--platform os[/arch[/variant]]` has to fit the image."""
    if not platform:
        return
    system, _, rest = platform.partition("/")
    architecture = rest.partition("/")[0]
    wrong_system = system not in (image.os, "") and bool(system)
    if wrong_system or (architecture and image.architecture and architecture != image.architecture):
        raise errors.NotFound(
            f"image with reference {reference} was found but does not match the specified platform: "
            f"wanted {platform}, actual: {image.os}/{image.architecture}"
        )
