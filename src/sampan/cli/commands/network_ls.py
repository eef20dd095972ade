"""`network ls`: list networks."""

from __future__ import annotations

from sampan.cli.commands.port import natural
from sampan.cli.context import Context
from sampan.cli.flags import Command, Options, filters
from sampan.cli.formatting import FORMAT_HELP, Row, print_rows, short_id

RAW = "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n"


def _word(row: Row, name: str) -> str:
    return "true" if row.value.get(name) is True else "false"


def _labels(row: Row) -> str:
    labels = row.mapping("Labels")
    return ",".join(f"{name}={labels[name]}" for name in sorted(labels))


def _created_at(row: Row) -> str:
    from sampan.wire.gotemplate.values import Time
    from sampan.wire.gotime import parse_rfc3339

    return Time(parse_rfc3339(row.text("Created"))).go_string()


class NetworkRow(Row):
    __slots__ = ()
    go_type = "*network.networkContext"
    with_argument = frozenset(["Label"])
    fields = {
        "CreatedAt": _created_at,
        "Driver": lambda row: row.text("Driver"),
        "ID": lambda row: short_id(row.text("Id")) if row.truncate else row.text("Id"),
        "IPv4": lambda row: _word(row, "EnableIPv4"),
        "IPv6": lambda row: _word(row, "EnableIPv6"),
        "Internal": lambda row: _word(row, "Internal"),
        "Labels": _labels,
        "Name": lambda row: row.text("Name"),
        "Scope": lambda row: row.text("Scope"),
    }
    headings = {
        "CreatedAt": "CREATED AT",
        "Driver": "DRIVER",
        "ID": "NETWORK ID",
        "IPv4": "IPV4",
        "IPv6": "IPV6",
        "Internal": "INTERNAL",
        "Labels": "LABELS",
        "Name": "NAME",
        "Scope": "SCOPE",
    }

    def lookup(self, name: str, argument: str) -> object:
        return str(self.mapping("Labels").get(argument, ""))


def run(context: Context, options: Options, arguments: list[str]) -> int:
    found = context.engine.get("/networks", {"filters": filters(options)})
    assert isinstance(found, list)
    found.sort(key=lambda network: natural(network["Name"]))
    rows = [NetworkRow(network, not options.flag("no-trunc")) for network in found]
    columns = ("ID", "Name", "Driver", "Scope")
    quiet = "ID" if options.flag("quiet") else ""
    form = options.text("format")
    if form == "raw":
        form = RAW.partition("\n")[0] if quiet else RAW
    print_rows(context, NetworkRow, rows, form=form, columns=columns, quiet=quiet)
    return 0


COMMAND = Command(
    "[OPTIONS]",
    "List networks",
    run,
    aliases=("network ls", "network list"),
    flags=(
        ("filter", "f", "filter", 'Provide filter values (e.g. "driver=bridge")'),
        ("format", "", "string", FORMAT_HELP),
        ("no-trunc", "", "bool", "Do not truncate the output"),
        ("quiet", "q", "bool", "Only display network IDs"),
    ),
    maximum=0,
)
