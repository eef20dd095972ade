"""`inspect`: the document of anything that has the name: a container, an image, a network."""

from __future__ import annotations

from sampan.cli.commands.container_inspect import fetch_container
from sampan.cli.commands.image_inspect import fetch_image
from sampan.cli.commands.network_inspect import fetch_network
from sampan.cli.commands.volume_inspect import fetch_volume
from sampan.cli.context import Context
from sampan.cli.failure import EngineFailure, Failure
from sampan.cli.flags import Command, Options
from sampan.cli.inspecting import FORMAT_HELP, inspect

# Docker has more kinds; those that Sampan has no objects of are found nowhere.
KINDS = ("config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume")
KNOWN = ("container", "image", "network", "volume")


def _fetch(context: Context, kind: str, reference: str, size: bool) -> tuple[str, bytes]:
    if kind == "container":
        return fetch_container(context, reference, size)
    if kind not in KNOWN:
        raise Failure(f"inspect --type {kind} is not supported yet")
    if kind == "image":
        found = fetch_image(context, reference)
    else:
        found = fetch_network(context, reference) if kind == "network" else fetch_volume(context, reference)
    if size:
        context.error(f"WARNING: --size ignored for {kind}")
    return found


def _fetch_any(context: Context, reference: str, size: bool) -> tuple[str, bytes]:
    for kind in KNOWN:
        try:
            return _fetch(context, kind, reference, size)
        except EngineFailure as failure:
            if failure.http_status != 404:
                raise
    raise Failure(f"Error: No such object: {reference}")


def run(context: Context, options: Options, arguments: list[str]) -> int:
    kind, size = options.text("type"), options.flag("size")
    if "type" in options.changed and kind not in KINDS:
        if not kind:
            raise Failure("type is empty: must be one of " + ", ".join(f'"{name}"' for name in KINDS))
        raise Failure(f'unknown type: "{kind}": must be one of ' + ", ".join(f'"{name}"' for name in KINDS))

    def fetch(reference: str) -> tuple[str, bytes]:
        if kind:
            return _fetch(context, kind, reference, size)
        return _fetch_any(context, reference, size)

    return inspect(context, arguments, options.text("format"), fetch)


COMMAND = Command(
    "[OPTIONS] NAME|ID [NAME|ID...]",
    "Return low-level information on Docker objects",
    run,
    flags=(
        ("format", "f", "string", FORMAT_HELP),
        ("size", "s", "bool", "Display total file sizes if the type is container"),
        ("type", "", "string", "Only inspect objects of the given type"),
    ),
    minimum=1,
)
