"""`list`: all containers below --root."""

from __future__ import annotations

import json
import os

from sampan import errors
from sampan.runtime.commands.arguments import Arguments, Command, Option
from sampan.runtime.containers import ContainerStore

_COLUMNS = ("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")


def run(arguments: Arguments) -> int:
    store = ContainerStore(arguments.settings.root)
    documents = [container.document() | {"owner": _owner(container.folder)} for container in store.list()]
    if arguments.flag("quiet"):
        for document in documents:
            print(document["id"])
        return 0
    form = arguments.text("format", "table")
    if form == "json":
        print(json.dumps(documents, separators=(",", ":"), ensure_ascii=False), end="")
    elif form == "table":
        rows = [_COLUMNS, *(tuple(str(document[key.lower()]) for key in _COLUMNS) for document in documents)]
        # As Go's tabwriter lays it out: columns at least 12 wide, with 3 spaces between.
        widths = [max(12, *(len(row[index]) + 3 for row in rows)) for index in range(len(_COLUMNS) - 1)]
        for row in rows:
            print("".join(text.ljust(width) for text, width in zip(row, widths, strict=False)) + row[-1])
    else:
        raise errors.InvalidArgument("invalid format option")
    return 0


def _owner(folder: str) -> str:
    import pwd

    uid = os.stat(folder).st_uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


COMMAND = Command(
    name="list",
    usage="",
    summary="lists containers started by sampan-runtime with the given root",
    run=run,
    options=(
        Option(("format", "f"), 'select one of: table or json (default: "table")'),
        Option(("quiet", "q"), "display only container IDs", flag=True),
    ),
    words=(0, 0),
)
