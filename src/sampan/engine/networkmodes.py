"""Which networks a container is to be on: its mode, and what it asks for on each. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.engine.networkrecord import BRIDGE, HOST, NONE
from sampan.engine.record import Record
from sampan.engine.schema import EndpointSettings


def kind_of(record: Record) -> str:
    """The network mode of a container: the name of a network, or `container:ID`."""
    mode = record.host_config.network_mode
    return BRIDGE if mode in ("", "default") else mode


def wanted(record: Record) -> dict[str, EndpointSettings]:
    """The networks that a container is to be on, and what it asks for there."""
    mode = kind_of(record)
    if mode in (HOST, NONE) or mode.startswith("container:"):
        return {}
    return {mode: EndpointSettings()} if record.endpoints is None else record.endpoints


def in_order(record: Record, places: Mapping[str, EndpointSettings]) -> list[str]:
    """The order of its devices: the network of its mode first."""
    mode = kind_of(record)
    return sorted(places, key=lambda name: (name != mode, name))


def names_on(record: Record, settings: EndpointSettings) -> tuple[str, ...]:
    """What a container is called on a network of the user's, its own name first."""
    return tuple(dict.fromkeys((record.name, *(settings.aliases or ()), record.short_id)))
