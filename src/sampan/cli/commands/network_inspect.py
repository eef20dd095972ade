"""`network inspect`: the documents of networks."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import IN_PATHS, quote
from sampan.cli.flags import Command, Options
from sampan.cli.inspecting import FORMAT_HELP, inspect


def fetch_network(context: Context, reference: str, verbose: bool = False) -> tuple[str, bytes]:
    parameters = {"verbose": "true" if verbose else ""}
    response = context.engine.open("GET", f"/networks/{quote(reference, IN_PATHS)}", parameters)
    data = response.read()
    context.engine.keep(response)
    return "network.Inspect", data


def run(context: Context, options: Options, arguments: list[str]) -> int:
    verbose = options.flag("verbose")
    return inspect(
        context, arguments, options.text("format"), lambda name: fetch_network(context, name, verbose)
    )


COMMAND = Command(
    "[OPTIONS] NETWORK [NETWORK...]",
    "Display detailed information on one or more networks",
    run,
    flags=(
        ("format", "f", "string", FORMAT_HELP),
        ("verbose", "v", "bool", "Verbose output for diagnostics"),
    ),
    minimum=1,
)
