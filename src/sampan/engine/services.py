"""What the engine's parts share.

Owns nothing: a bundle of the objects that are made once for each engine, handed to each part.
"""

from __future__ import annotations

from sampan.engine.actor import Tasks
from sampan.engine.blocking import Threads
from sampan.engine.database import Database
from sampan.engine.events import Events
from sampan.engine.host import Host
from sampan.engine.network import Network
from sampan.engine.registry import Registry
from sampan.engine.settings import Settings
from sampan.engine.zygote import Zygote
from sampan.images.store import ImageStore
from sampan.records import dataclass
from sampan.runtime.cgroups import Hierarchy
from sampan.volumes.store import VolumeStore


@dataclass(frozen=True, slots=True)
class Services:
    """The engine's inner life."""

    settings: Settings
    host: Host
    threads: Threads
    tasks: Tasks
    hierarchy: Hierarchy
    database: Database
    images: ImageStore
    volumes: VolumeStore
    network: Network
    zygote: Zygote
    events: Events
    registry: Registry
