"""`commit`: an image of what a container has written."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.flags import Command, Options


def run(context: Context, options: Options, arguments: list[str]) -> int:
    repository, tag = _name(arguments[1]) if len(arguments) > 1 else ("", "")
    parameters = {
        "container": arguments[0],
        "repo": repository,
        "tag": tag,
        "author": options.text("author"),
        "comment": options.text("message"),
        "changes": options.items("change"),
        "pause": "1" if options.flag("pause") else "0",
    }
    made = context.engine.post("/commit", parameters)
    assert isinstance(made, dict)
    context.line(str(made["Id"]))
    return 0


def _name(text: str) -> tuple[str, str]:
    from sampan.cli.failure import Failure
    from sampan.errors import SampanError
    from sampan.wire.reference import parse

    try:
        name = parse(text)
    except SampanError as error:
        raise Failure(error.message) from None
    return name.familiar_name, name.tag or ""


COMMAND = Command(
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    "Create a new image from a container's changes",
    run,
    aliases=("container commit", "commit"),
    flags=(
        ("author", "a", "string", 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")'),
        ("change", "c", "list", "Apply Dockerfile instruction to the created image"),
        ("message", "m", "string", "Commit message"),
        ("pause", "p", "bool", "Pause container during commit (default true)", True),
    ),
    minimum=1,
    maximum=2,
)
