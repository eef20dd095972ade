"""`import`: make an image of one layer from a tar file, standard input or a URL."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.failure import Failure
from sampan.cli.flags import Command, Options
from sampan.cli.progress import show_progress
from sampan.cli.uploads import blocks, open_file


def _check_name(name: str) -> None:
    from sampan.errors import SampanError
    from sampan.wire.reference import parse

    try:
        parse(name)
    except SampanError as error:
        raise Failure(error.message) from None


def run(context: Context, options: Options, arguments: list[str]) -> int:
    source = arguments[0]
    name = arguments[1] if len(arguments) > 1 else ""
    remote = source.startswith(("http://", "https://"))
    descriptor = open_file(source) if source != "-" and not remote else 0
    if name:
        _check_name(name)
    parameters = {
        "fromSrc": source if remote else "-",
        "repo": name,
        "message": options.text("message"),
        "changes": options.items("change"),
        "platform": options.text("platform"),
    }
    if remote:
        response = context.engine.open("POST", "/images/create", parameters)
    else:
        response = context.engine.upload(
            "/images/create", parameters, blocks(descriptor), "application/x-tar"
        )
    show_progress(response, 1)
    return 0


COMMAND = Command(
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    "Import the contents from a tarball to create a filesystem image",
    run,
    aliases=("image import", "import"),
    flags=(
        ("change", "c", "list", "Apply Dockerfile instruction to the created image"),
        ("message", "m", "string", "Set commit message for imported image"),
        ("platform", "", "string", "Set platform if server is multi-platform capable"),
    ),
    minimum=1,
)
