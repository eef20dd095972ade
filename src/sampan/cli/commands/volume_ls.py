"""`volume ls`: list volumes."""

from __future__ import annotations

from sampan.cli.commands.port import natural
from sampan.cli.context import Context
from sampan.cli.flags import Command, Options, filters
from sampan.cli.formatting import FORMAT_HELP, Row, print_rows
from sampan.wire.units import human_size

RAW = "name: {{.Name}}\ndriver: {{.Driver}}\n"
NOT_KNOWN = "N/A"


def _labels(row: Row) -> str:
    labels = row.mapping("Labels")
    return ",".join([f"{name}={labels[name]}" for name in sorted(labels)])


def _links(row: Row) -> str:
    return str(row.mapping("UsageData").get("RefCount", NOT_KNOWN))


def _size(row: Row) -> str:
    size = row.mapping("UsageData").get("Size")
    return human_size(size) if isinstance(size, int) else NOT_KNOWN


class VolumeRow(Row):
    __slots__ = ()
    go_type = "*formatter.volumeContext"
    with_argument = frozenset(["Label"])
    fields = {
        "Availability": lambda row: NOT_KNOWN,
        "Driver": lambda row: row.text("Driver"),
        "Group": lambda row: NOT_KNOWN,
        "Labels": _labels,
        "Links": _links,
        "Mountpoint": lambda row: row.text("Mountpoint"),
        "Name": lambda row: row.text("Name"),
        "Scope": lambda row: row.text("Scope"),
        "Size": _size,
        "Status": lambda row: NOT_KNOWN,
    }
    headings = {
        "Availability": "AVAILABILITY",
        "Driver": "DRIVER",
        "Group": "GROUP",
        "Labels": "LABELS",
        "Links": "LINKS",
        "Mountpoint": "MOUNTPOINT",
        "Name": "VOLUME NAME",
        "Scope": "SCOPE",
        "Size": "SIZE",
        "Status": "STATUS",
    }

    def lookup(self, name: str, argument: str) -> object:
        return str(self.mapping("Labels").get(argument, ""))


def run(context: Context, options: Options, arguments: list[str]) -> int:
    found = context.engine.get("/volumes", {"filters": filters(options)})
    assert isinstance(found, dict)
    volumes = found.get("Volumes") or []
    assert isinstance(volumes, list)
    volumes.sort(key=lambda volume: natural(volume["Name"]))
    quiet = "Name" if options.flag("quiet") else ""
    form = options.text("format")
    if form == "raw":
        form = RAW.partition("\n")[0] if quiet else RAW
    rows = [VolumeRow(volume) for volume in volumes]
    print_rows(context, VolumeRow, rows, form=form, columns=("Driver", "Name"), quiet=quiet)
    return 0


COMMAND = Command(
    "[OPTIONS]",
    "List volumes",
    run,
    aliases=("volume ls", "volume list"),
    flags=(
        ("filter", "f", "filter", 'Provide filter values (e.g. "dangling=true")'),
        ("format", "", "string", FORMAT_HELP),
        ("quiet", "q", "bool", "Only display volume names"),
    ),
    maximum=0,
)
