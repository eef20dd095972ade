"""`uidMappings` and `gidMappings` of config.json, of the container and of a single mount."""

from __future__ import annotations

from sampan.records import dataclass
from sampan.runtime.spec.fields import Fields


@dataclass(frozen=True, slots=True)
class IdMapping:
    """`size` ids from `container_id` on, inside, are those from `host_id` on, outside."""

    container_id: int
    host_id: int
    size: int


def parse_mappings(fields: Fields, key: str) -> tuple[IdMapping, ...]:
    if key not in fields.document:
        return ()
    return tuple(
        IdMapping(
            entry.required_unsigned("containerID"),
            entry.required_unsigned("hostID"),
            entry.required_unsigned("size"),
        )
        for entry in fields.children(key)
    )
