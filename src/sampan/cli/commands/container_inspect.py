"""`container inspect`: the documents of containers."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import container
from sampan.cli.flags import Command, Options
from sampan.cli.inspecting import FORMAT_HELP, inspect


def fetch_container(context: Context, reference: str, size: bool) -> tuple[str, bytes]:
    response = context.engine.open("GET", container(reference) + "/json", {"size": size})
    data = response.read()
    context.engine.keep(response)
    return "container.InspectResponse", data


def run(context: Context, options: Options, arguments: list[str]) -> int:
    size = options.flag("size")
    return inspect(
        context, arguments, options.text("format"), lambda name: fetch_container(context, name, size)
    )


COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Display detailed information on one or more containers",
    run,
    flags=(
        ("format", "f", "string", FORMAT_HELP),
        ("size", "s", "bool", "Display total file sizes"),
    ),
    minimum=1,
)
