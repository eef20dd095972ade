"""What the database keeps of a container: how it was created, and how it stands.

Owns the two values. A `Record` changes only by a rename; a `Status` is replaced as a whole with each move
of the container's state.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sampan.engine.mountpoints import MountPoint
from sampan.engine.schema import ContainerConfig, EndpointSettings, HostConfig
from sampan.engine.states import State
from sampan.wire import gotime

NEVER = gotime.ZERO

Endpoints = dict[str, dict[str, Any]]
"""Network → a container's place there, in the form of `sampan.networks.endpoint`."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """How a container was created. Times are nanoseconds since 1970."""

    id: str
    name: str
    created: int
    image: str
    """Id of the image. What the client called it is `config.image`."""
    config: ContainerConfig
    host_config: HostConfig
    points: tuple[MountPoint, ...] = ()
    driver: str = ""
    endpoints: dict[str, EndpointSettings] | None = None
    """Network → what the container wants there; None: the one of its network mode, and nothing special."""

    @property
    def short_id(self) -> str:
        return self.id[:12]


STARTING = "starting"
HEALTHY = "healthy"
UNHEALTHY = "unhealthy"


class Probe(msgspec.Struct, frozen=True):
    """One run of a health check. Times are nanoseconds since 1970; -1 is the exit code of one that failed to
    run, or to end in time.
    """

    start: int
    end: int
    exit_code: int
    output: str


class Health(msgspec.Struct, frozen=True):
    """What the health checks of a container have found so far, oldest probe first."""

    status: str = STARTING
    failing_streak: int = 0
    log: tuple[Probe, ...] = ()


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How a container stands."""

    state: State = State.CREATED
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_at: int = NEVER
    finished_at: int = NEVER
    endpoints: Endpoints = {}
    """Network → what it has given it, in the network's own form; empty unless it runs."""
    hostname: str = ""
    """The name that it was last started with."""
    restart_count: int = 0
    """How often its policy has started it again since it was last started by hand."""
    health: Health | None = None
    """None without health checks."""
    manually_stopped: bool = False
    """It was told to end, and not started since."""
    files_owner: str = ""
    """Id of the container whose /etc/hosts and so on it shares; empty for its own."""
