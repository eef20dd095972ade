"""`system df`: how much disk the engine uses, and how much of it could be freed."""

from __future__ import annotations

from sampan.cli.commands.ps import ContainerRow
from sampan.cli.context import Context
from sampan.cli.failure import Failure
from sampan.cli.flags import Command, Options
from sampan.cli.formatting import FORMAT_HELP, Row, print_rows
from sampan.cli.imagerows import UNKNOWN, ImageRow, image_rows
from sampan.wire.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Items = list[dict[str, object]]

ACTIVE = frozenset(["running", "paused", "restarting"])


class UsageRow(Row):
    """One kind of object: all fields are in the document, as text."""

    __slots__ = ()
    go_type = "*formatter.diskUsageImagesContext"
    fields = {
        name: lambda row, name=name: row.text(name)  # type: ignore[misc]
        for name in ("Active", "Reclaimable", "Size", "TotalCount", "Type")
    }
    headings = {
        "Active": "ACTIVE",
        "Reclaimable": "RECLAIMABLE",
        "Size": "SIZE",
        "TotalCount": "TOTAL",
        "Type": "TYPE",
    }


class VolumeRow(Row):
    __slots__ = ()
    go_type = "*formatter.volumeContext"
    fields = {
        "Links": lambda row: str(_usage(row.value).get("RefCount", "N/A")),
        "Name": lambda row: row.text("Name"),
        "Size": lambda row: human_size(_number(_usage(row.value), "Size")),
    }
    headings = {"Links": "LINKS", "Name": "VOLUME NAME", "Size": "SIZE"}


def _items(document: Mapping[str, object], name: str) -> Items:
    value = document.get(name)
    return value if isinstance(value, list) else []


def _number(item: Mapping[str, object], name: str) -> int:
    value = item.get(name)
    return value if isinstance(value, int) else 0


def _usage(volume: Mapping[str, object]) -> dict[str, object]:
    value = volume.get("UsageData")
    return value if isinstance(value, dict) else {}


def _row(kind: str, total: int, active: int, size: int, reclaimable: int, percent: bool = True) -> UsageRow:
    freed = human_size(reclaimable)
    if percent and size > 0:
        freed += f" ({reclaimable * 100 // size}%)"
    return UsageRow(
        {
            "Type": kind,
            "TotalCount": str(total),
            "Active": str(active),
            "Size": human_size(size),
            "Reclaimable": freed,
        }
    )


def _images(document: Mapping[str, object]) -> UsageRow:
    images = _items(document, "Images")
    used = [image for image in images if _number(image, "Containers") != 0]
    kept = sum(
        _number(image, "Size") - _number(image, "SharedSize")
        for image in used
        if UNKNOWN not in (_number(image, "Size"), _number(image, "SharedSize"))
    )
    active = sum(_number(image, "Containers") > 0 for image in images)
    size = _number(document, "LayersSize")
    return _row("Images", len(images), active, size, size - kept)


def _containers(document: Mapping[str, object]) -> UsageRow:
    containers = _items(document, "Containers")
    idle = [item for item in containers if item.get("State") not in ACTIVE]
    size = sum(_number(item, "SizeRw") for item in containers)
    freed = sum(_number(item, "SizeRw") for item in idle)
    return _row("Containers", len(containers), len(containers) - len(idle), size, freed)


def _volumes(document: Mapping[str, object]) -> UsageRow:
    usages = [_usage(volume) for volume in _items(document, "Volumes")]
    sized = [usage for usage in usages if _number(usage, "Size") != UNKNOWN]
    size = sum(_number(usage, "Size") for usage in sized)
    freed = sum(_number(usage, "Size") for usage in sized if _number(usage, "RefCount") == 0)
    active = sum(_number(usage, "RefCount") > 0 for usage in usages)
    return _row("Local Volumes", len(usages), active, size, freed)


def _build_cache(document: Mapping[str, object]) -> UsageRow:
    records = [record for record in _items(document, "BuildCache") if not record.get("Shared")]
    size = sum(_number(record, "Size") for record in records)
    freed = sum(_number(record, "Size") for record in records if not record.get("InUse"))
    active = sum(bool(record.get("InUse")) for record in _items(document, "BuildCache"))
    total = len(_items(document, "BuildCache"))
    return _row("Build Cache", total, active, size, freed, percent=False)


def run(context: Context, options: Options, arguments: list[str]) -> int:
    document = context.engine.get("/system/df")
    assert isinstance(document, dict)
    form = options.text("format")
    if options.flag("verbose"):
        if form:
            raise Failure("--verbose with --format is not supported yet")
        _print_verbose(context, document)
        return 0
    rows = [_images(document), _containers(document), _volumes(document), _build_cache(document)]
    columns = ("Type", "TotalCount", "Active", "Size", "Reclaimable")
    print_rows(context, UsageRow, rows, form=form, columns=columns)
    return 0


def _print_verbose(context: Context, document: Mapping[str, object]) -> None:
    context.out("Images space usage:\n\n")
    columns: tuple[str, ...] = ("Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize")
    images = image_rows(_items(document, "Images"), truncate=True, digests=False)
    print_rows(context, ImageRow, images, form="", columns=(*columns, "Containers"))
    context.out("\nContainers space usage:\n\n")
    columns = ("ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names")
    containers = [ContainerRow(item | {"SizeRootFs": 0}) for item in _items(document, "Containers")]
    print_rows(context, ContainerRow, containers, form="", columns=columns)
    context.out("\nLocal Volumes space usage:\n\n")
    volumes = [VolumeRow(item) for item in _items(document, "Volumes")]
    print_rows(context, VolumeRow, volumes, form="", columns=("Name", "Links", "Size"))
    context.out(f"\nBuild cache usage: {_build_cache(document).text('Size')}\n\n")
    context.out("CACHE ID   CACHE TYPE   SIZE      CREATED   LAST USED   USAGE     SHARED\n")


COMMAND = Command(
    "[OPTIONS]",
    "Show disk usage",
    run,
    flags=(
        ("format", "", "string", FORMAT_HELP),
        ("verbose", "v", "bool", "Show detailed information on space usage"),
    ),
    maximum=0,
)
