"""`pull`: an image, or all tags of a repository, from a registry."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.credentials import header
from sampan.cli.failure import Failure
from sampan.cli.flags import Command, Options
from sampan.cli.progress import show_progress


def run(context: Context, options: Options, arguments: list[str]) -> int:
    from sampan.errors import SampanError
    from sampan.wire.reference import parse

    try:
        name = parse(arguments[0])
    except SampanError as error:
        raise Failure(error.message) from None
    every, quiet = options.flag("all-tags"), options.flag("quiet")
    if every and not name.is_name_only:
        raise Failure("tag can't be used with --all-tags/-a")
    if not every and name.is_name_only:
        name = name.with_default_tag()
        if not quiet:
            context.line(f"Using default tag: {name.tag}")
    parameters = {
        "fromImage": name.familiar_name,
        "tag": name.digest or name.tag,
        "platform": options.text("platform"),
    }
    known = header(name.domain)
    response = context.engine.open("POST", "/images/create", parameters, extra=known)
    show_progress(response, 1, quiet=quiet)
    context.line(str(name))
    return 0


COMMAND = Command(
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    "Download an image from a registry",
    run,
    aliases=("image pull", "pull"),
    flags=(
        ("all-tags", "a", "bool", "Download all tagged images in the repository"),
        ("platform", "", "string", "Set platform if server is multi-platform capable"),
        ("quiet", "q", "bool", "Suppress verbose output"),
    ),
    minimum=1,
    maximum=1,
)
