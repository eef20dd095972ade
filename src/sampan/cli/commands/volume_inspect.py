"""`volume inspect`: the documents of volumes."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import IN_PATHS, quote
from sampan.cli.flags import Command, Options
from sampan.cli.inspecting import FORMAT_HELP, inspect


def fetch_volume(context: Context, reference: str) -> tuple[str, bytes]:
    response = context.engine.open("GET", f"/volumes/{quote(reference, IN_PATHS)}")
    data = response.read()
    context.engine.keep(response)
    return "volume.Volume", data


def run(context: Context, options: Options, arguments: list[str]) -> int:
    return inspect(context, arguments, options.text("format"), lambda name: fetch_volume(context, name))


COMMAND = Command(
    "[OPTIONS] VOLUME [VOLUME...]",
    "Display detailed information on one or more volumes",
    run,
    flags=(("format", "f", "string", FORMAT_HELP),),
    minimum=1,
)
