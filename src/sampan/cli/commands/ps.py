"""`ps`, `container ls`: list containers. The command whose time the project measures: mind the imports."""

from __future__ import annotations

import time

from sampan.cli.context import Context
from sampan.cli.failure import Failure
from sampan.cli.flags import Command, Options, filters
from sampan.cli.formatting import FORMAT_HELP, Row, ellipsis, print_rows, short_id
from sampan.wire.units import human_duration, human_size

COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
RAW = (
    "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\n"
    "state: {{- pad .State 1 0}}\nstatus: {{- pad .Status 1 0}}\nnames: {{.Names}}\n"
    "labels: {{- pad .Labels 1 0}}\nports: {{- pad .Ports 1 0}}\n"
)


QUIET = {"raw": "container_id: {{.ID}}"}


def _names(row: Row) -> str:
    names = [str(name).removeprefix("/") for name in row.sequence("Names")]
    if row.truncate:  # the name itself, not the names that links gave it
        names = [name for name in names if "/" not in name][:1] or names
    return ",".join(names)


def _image(row: Row) -> str:
    image = row.text("Image")
    if not image:
        return "<no image>"
    if not row.truncate:
        return image
    short = short_id(row.text("ImageID"))
    if short and short == short_id(image):
        return short
    name = image.partition("@")[0]
    if ":" not in name.rpartition("/")[2]:
        return image
    return name.removeprefix("docker.io/").removeprefix("library/") if name.startswith("docker.io/") else name


def _command(row: Row) -> str:
    command = row.text("Command")
    if row.truncate:
        command = ellipsis(command, 20)
    if command.isascii() and command.isprintable() and '"' not in command and "\\" not in command:
        return f'"{command}"'
    from sampan.wire.gotemplate.lexer import quote

    return quote(command)


def created_at(seconds: int) -> str:
    """Go's Time.String in the local zone."""
    moment = time.localtime(seconds)
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", moment)


def _running_for(row: Row) -> str:
    return human_duration(time.time() - row.number("Created")) + " ago"


def _ports(row: Row) -> str:
    ports = row.sequence("Ports")
    if not ports:
        return ""
    from sampan.cli.portlists import displayable_ports

    return displayable_ports(ports)


def _size(row: Row) -> str:
    size = human_size(row.number("SizeRw"), 3)
    whole = row.number("SizeRootFs")
    return f"{size} (virtual {human_size(whole, 3)})" if whole > 0 else size


def _mounts(row: Row) -> str:
    names = []
    for mount in row.sequence("Mounts"):
        assert isinstance(mount, dict)
        name = mount.get("Name") or mount.get("Source") or ""
        names.append(ellipsis(name, 15) if row.truncate else name)
    return ",".join(names)


def _local_volumes(row: Row) -> str:
    mounts = row.sequence("Mounts")
    return str(sum(isinstance(mount, dict) and mount.get("Driver") == "local" for mount in mounts))


def _labels(row: Row) -> str:
    labels = row.mapping("Labels")
    return ",".join([f"{name}={labels[name]}" for name in sorted(labels)])


def _networks(row: Row) -> str:
    networks = row.mapping("NetworkSettings").get("Networks")
    return ",".join(sorted(networks)) if isinstance(networks, dict) else ""


class ContainerRow(Row):
    __slots__ = ()
    go_type = "*formatter.ContainerContext"
    with_argument = frozenset(["Label"])
    fields = {
        "Command": _command,
        "CreatedAt": lambda row: created_at(row.number("Created")),
        "ID": lambda row: short_id(row.text("Id")) if row.truncate else row.text("Id"),
        "Image": _image,
        "Labels": _labels,
        "LocalVolumes": _local_volumes,
        "Mounts": _mounts,
        "Names": _names,
        "Networks": _networks,
        "Platform": lambda row: None,
        "Ports": _ports,
        "RunningFor": _running_for,
        "Size": _size,
        "State": lambda row: row.text("State"),
        "Status": lambda row: row.text("Status"),
    }
    headings = {
        "Command": "COMMAND",
        "CreatedAt": "CREATED AT",
        "ID": "CONTAINER ID",
        "Image": "IMAGE",
        "Labels": "LABELS",
        "LocalVolumes": "LOCAL VOLUMES",
        "Mounts": "MOUNTS",
        "Names": "NAMES",
        "Networks": "NETWORKS",
        "Platform": "PLATFORM",
        "Ports": "PORTS",
        "RunningFor": "CREATED",
        "Size": "SIZE",
        "State": "STATE",
        "Status": "STATUS",
    }

    def lookup(self, name: str, argument: str) -> object:
        return str(self.mapping("Labels").get(argument, ""))


def _check_format(form: str) -> bool:
    """Refuse a bad template before the engine is asked. Says whether the template wants sizes."""
    from sampan.cli.templates import TemplateError, compile_template, run_template

    used: set[str] = set()

    class Probe(ContainerRow):
        def go_method(self, name: str):  # type: ignore[no-untyped-def]
            used.add(name)
            return super().go_method(name)

        def go_marshal_json(self) -> str:
            used.update(self.fields)
            return ""

    try:
        template = compile_template(form)
    except TemplateError as error:
        raise Failure(f"failed to parse template: {error}") from None
    try:
        run_template(template, Probe({}))
    except TemplateError as error:
        raise Failure(f"failed to execute template: {error}") from None
    return "Size" in used


def run(context: Context, options: Options, arguments: list[str]) -> int:
    form, quiet = options.text("format"), options.flag("quiet")
    size = options.flag("size")
    if form not in ("", "table", "json"):
        wants_size = _check_format(form)
        if not quiet and not size and "size" not in options.changed:
            size = wants_size
    if quiet and form:
        context.error("WARNING: Ignoring custom format, because both --format and --quiet are set.")
        form = QUIET.get(form, "")
    limit = 1 if options.flag("latest") and options.number("last") == -1 else options.number("last")
    parameters = {
        "all": options.flag("all"),
        "limit": limit if limit > 0 else "",
        "size": size,
        "filters": filters(options),
    }
    found = context.engine.get("/containers/json", parameters)
    assert isinstance(found, list)
    rows = [ContainerRow(item, not options.flag("no-trunc")) for item in found]
    columns = (*COLUMNS, "Size") if options.flag("size") else COLUMNS
    if form == "raw":
        form = RAW + ("size: {{.Size}}\n" if options.flag("size") else "")
    print_rows(context, ContainerRow, rows, form=form, columns=columns, quiet="ID" if quiet else "")
    return 0


COMMAND = Command(
    "[OPTIONS]",
    "List containers",
    run,
    aliases=("container ls", "container list", "container ps", "ps"),
    flags=(
        ("all", "a", "bool", "Show all containers (default shows just running)"),
        ("filter", "f", "filter", "Filter output based on conditions provided"),
        ("format", "", "string", FORMAT_HELP),
        ("last", "n", "int", "Show n last created containers (includes all states) (default -1)", -1),
        ("latest", "l", "bool", "Show the latest created container (includes all states)"),
        ("no-trunc", "", "bool", "Don't truncate output"),
        ("quiet", "q", "bool", "Only display container IDs"),
        ("size", "s", "bool", "Display total file sizes"),
    ),
    maximum=0,
)
