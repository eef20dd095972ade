"""`history`: the layers of an image and the steps that made them."""

from __future__ import annotations

import time

from sampan.cli.context import Context
from sampan.cli.engine import image
from sampan.cli.flags import Command, Options
from sampan.cli.formatting import FORMAT_HELP, Row, ellipsis, print_rows, short_id
from sampan.wire.units import human_duration, human_size

CREATED_BY_WIDTH = 45


def _created_at(row: Row) -> str:
    moment = time.localtime(row.number("Created"))
    zone = time.strftime("%z", moment)
    suffix = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + suffix


def _created_since(row: Row) -> str:
    if not row.value["Human"]:
        return _created_at(row)
    return human_duration(time.time() - row.number("Created")) + " ago"


def _created_by(row: Row) -> str:
    text = row.text("CreatedBy").replace("\t", " ")
    return ellipsis(text, CREATED_BY_WIDTH) if row.truncate else text


class LayerRow(Row):
    __slots__ = ()
    go_type = "*image.historyContext"
    fields = {
        "Comment": lambda row: row.text("Comment"),
        "CreatedAt": _created_at,
        "CreatedBy": _created_by,
        "CreatedSince": _created_since,
        "ID": lambda row: short_id(row.text("Id")) if row.truncate else row.text("Id"),
        "Size": lambda row: (
            human_size(row.number("Size"), 3) if row.value["Human"] else str(row.number("Size"))
        ),
    }
    headings = {
        "Comment": "COMMENT",
        "CreatedAt": "CREATED AT",
        "CreatedBy": "CREATED BY",
        "CreatedSince": "CREATED",
        "ID": "IMAGE",
        "Size": "SIZE",
    }


def run(context: Context, options: Options, arguments: list[str]) -> int:
    platform = options.text("platform")
    if platform:
        context.engine.require("1.48", "--platform")
    found = context.engine.get(image(arguments[0]) + "/history", {"platform": platform})
    assert isinstance(found, list)
    human = options.flag("human")
    rows = [LayerRow(layer | {"Human": human}, not options.flag("no-trunc")) for layer in found]
    created = "CreatedSince" if human else "CreatedAt"
    quiet = "ID" if options.flag("quiet") else ""
    columns = ("ID", created, "CreatedBy", "Size", "Comment")
    print_rows(context, LayerRow, rows, form=options.text("format"), columns=columns, quiet=quiet)
    return 0


COMMAND = Command(
    "[OPTIONS] IMAGE",
    "Show the history of an image",
    run,
    aliases=("image history", "history"),
    flags=(
        ("format", "", "string", FORMAT_HELP),
        ("human", "H", "bool", "Print sizes and dates in human readable format (default true)", True),
        ("no-trunc", "", "bool", "Don't truncate output"),
        (
            "platform",
            "",
            "string",
            'Show history for the given platform. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
        ),
        ("quiet", "q", "bool", "Only show image IDs"),
    ),
    minimum=1,
    maximum=1,
)
