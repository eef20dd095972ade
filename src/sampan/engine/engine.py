"""The engine: what Docker's words mean, with no word of HTTP.

Owns the parts and their order at start and end. Each part is one tag of the API (`containers`, `execs`,
…); all of their methods are called on the event loop, and none blocks it.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os

from sampan.engine import host, images, recovery
from sampan.engine.actor import Tasks
from sampan.engine.archives import Archives
from sampan.engine.blocking import Threads
from sampan.engine.containers import Containers
from sampan.engine.database import Database
from sampan.engine.events import Events
from sampan.engine.execs import Execs
from sampan.engine.health import HealthChecks
from sampan.engine.images import Images
from sampan.engine.lifecycle import Lifecycle
from sampan.engine.network import Network
from sampan.engine.networks import Networks
from sampan.engine.registry import Registry
from sampan.engine.services import Services
from sampan.engine.settings import Settings
from sampan.engine.system import System
from sampan.engine.volumes import Volumes
from sampan.engine.zygote import Zygote
from sampan.images.store import ImageStore
from sampan.runtime.cgroups import open_cgroups
from sampan.volumes.store import VolumeStore

_log = logging.getLogger("sampan.engine")

# What is going on when the engine ends may end too: a start, a removal.
_SECONDS_TO_END = 10.0


class Engine:
    """`await start()` before anything else; `await close()` leaves the containers running."""

    archives: Archives
    containers: Containers
    execs: Execs
    images: Images
    networks: Networks
    volumes: Volumes
    system: System

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.events = Events()
        self._threads = Threads()
        self._tasks = Tasks()
        self._zygote = Zygote(self._threads)
        self._services: Services | None = None
        self._health: HealthChecks | None = None

    async def start(self) -> None:
        """Open the state, set up the network, find the containers again. Raises what keeps it from that."""
        self._tasks.start(self._zygote.start, "zygote")
        try:
            self._services = services = await self._threads.run_within(
                None, functools.partial(self._open, asyncio.get_running_loop())
            )
            lifecycle = Lifecycle(services)
            self.execs = Execs(services, lifecycle)
            lifecycle.health.run = self.execs.run
            self._health = lifecycle.health
            await recovery.recover(services, lifecycle)
        except BaseException:
            await self.close()
            raise
        self.containers = Containers(services, lifecycle)
        self.archives = Archives(services, lifecycle, self.containers)
        self.images = Images(
            services.images, self._threads, services.registry, self.settings.insecure_registries
        )
        self.networks = Networks(services, lifecycle)
        self.volumes = Volumes(services)
        self.system = System(services, self.containers, self.volumes)

    async def close(self) -> None:
        """Leave the containers to their shims and let go of everything else. Can run twice."""
        if self._health is not None:
            await self._health.close()
        await self._tasks.close(_SECONDS_TO_END)
        services, self._services = self._services, None
        if services is not None:
            for container in services.registry:
                container.drop_clients()
                if container.next_start is not None:
                    container.next_start.cancel()
                if container.shim is not None:
                    container.shim.close()
            # What a shim told meanwhile is found again at the next start.
            await self._tasks.close(0)
        await self._zygote.close()
        if services is not None:
            await self._threads.run(services.network.close)
        self._threads.close()
        if services is not None:
            services.images.close()
            services.database.close()

    def _open(self, loop: asyncio.AbstractEventLoop) -> Services:
        """In a thread."""
        settings = self.settings
        os.makedirs(settings.containers_root, 0o710, exist_ok=True)
        os.makedirs(settings.bundles_root, 0o700, exist_ok=True)
        facts = host.examine()
        database = Database(settings.database)
        store = ImageStore(settings.data_root, notify=functools.partial(images.notify, self.events, loop))
        network = Network(settings, database)
        try:
            for complaint in network.setup():
                _log.error("%s", complaint)
        except BaseException:
            network.close()
            store.close()
            database.close()
            raise
        return Services(
            settings=settings,
            host=facts,
            threads=self._threads,
            tasks=self._tasks,
            hierarchy=open_cgroups(),
            database=database,
            images=store,
            volumes=VolumeStore(f"{settings.data_root}/volumes"),
            network=network,
            zygote=self._zygote,
            events=self.events,
            registry=Registry(),
        )
