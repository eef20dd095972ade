"""`image inspect`: the documents of images."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import image
from sampan.cli.flags import Command, Options
from sampan.cli.inspecting import FORMAT_HELP, inspect


def fetch_image(context: Context, reference: str, platform: str = "") -> tuple[str, bytes]:
    if platform:
        context.engine.require("1.49", "--platform")
    response = context.engine.open("GET", image(reference) + "/json", {"platform": platform})
    data = response.read()
    context.engine.keep(response)
    return "image.InspectResponse", data


def run(context: Context, options: Options, arguments: list[str]) -> int:
    platform = options.text("platform")
    return inspect(
        context, arguments, options.text("format"), lambda name: fetch_image(context, name, platform)
    )


COMMAND = Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Display detailed information on one or more images",
    run,
    flags=(
        ("format", "f", "string", FORMAT_HELP),
        (
            "platform",
            "",
            "string",
            "Inspect a specific platform of the multi-platform image.\n"
            "If the image or the server is not multi-platform capable, the command will error out if the"
            " platform does not match.\n'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)",
        ),
    ),
    minimum=1,
)
