"""`linux.intelRdt` of config.json: a share of the cache and of the memory's bandwidth."""

from __future__ import annotations

from sampan.records import dataclass
from sampan.runtime.spec.fields import Fields


@dataclass(frozen=True, slots=True)
class IntelRdt:
    """`clos_id`: name of the class of service, empty for one named after the container. `schemata`: lines."""

    clos_id: str = ""
    schemata: tuple[str, ...] = ()
    monitoring: bool = False


def parse_intel_rdt(fields: Fields) -> IntelRdt:
    clos_id = fields.string("closID")
    # It becomes the name of a folder.
    if clos_id in (".", "..") or "/" in clos_id or "\n" in clos_id:
        raise fields.fail("closID", f'"{clos_id}" is not a name')
    cache, bandwidth = fields.string("l3CacheSchema"), fields.string("memBwSchema")
    # A second line would be one of another resource.
    has_bandwidth = fields.document.get("memBwSchema") is not None
    if has_bandwidth and (not bandwidth.startswith("MB:") or "\n" in bandwidth):
        raise fields.fail("memBwSchema", 'must be one line that starts with "MB:"')
    # The old cache schema may hold several lines, and one of the bandwidth by mistake: that one is not meant
    # (the specification, on l3CacheSchema).
    lines = [line for line in cache.split("\n") if line and not line.startswith("MB:")]
    if has_bandwidth:
        lines.append(bandwidth)
    given = fields.strings("schemata")
    for line in given:
        if "\n" in line:
            raise fields.fail("schemata", "must hold one line each")
    return IntelRdt(clos_id, (*lines, *given), fields.boolean("enableMonitoring"))
