"""Request bodies for tests, decoded as the API decodes them."""

from __future__ import annotations

from typing import Any

import msgspec

from sampan.engine.host import Host
from sampan.engine.schema import ContainerConfig, ContainerCreate, HostConfig

HOST = Host(
    processors=2,
    cpus="0-1",
    memory_nodes="0",
    memory=4 << 30,
    cgroup_version=1,
    controllers=frozenset(("cpu", "cpuset", "memory", "pids", "blkio", "devices", "freezer")),
    swap_limit=True,
    block_weight=False,
    realtime=False,
    kernel="6.1.0-13-amd64",
    machine="x86_64",
    operating_system="Debian GNU/Linux 12 (bookworm)",
    os_version="12",
    name="host",
)


def create(**fields: Any) -> ContainerCreate:
    """A `POST /containers/create`, in Docker's names."""
    return msgspec.json.decode(msgspec.json.encode(fields), type=ContainerCreate)


def host_config(**fields: Any) -> HostConfig:
    return msgspec.convert(fields, HostConfig)


def config(**fields: Any) -> ContainerConfig:
    return msgspec.convert(fields, ContainerConfig)
