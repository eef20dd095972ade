"""`logs`: what a container wrote."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import container
from sampan.cli.failure import Failure
from sampan.cli.flags import Command, Options
from sampan.cli.relay import write_frames
from sampan.cli.times import timestamp
from sampan.wire.attach import Demultiplexer


def _timestamp(options: Options, name: str) -> str:
    try:
        return timestamp(options.text(name))
    except ValueError as error:
        raise Failure(f'invalid value for "{name}": {error}') from None


def run(context: Context, options: Options, arguments: list[str]) -> int:
    engine = context.engine
    document = engine.get(container(arguments[0]) + "/json")
    assert isinstance(document, dict)
    parameters = {
        "stdout": True,
        "stderr": True,
        "since": _timestamp(options, "since"),
        "until": _timestamp(options, "until"),
        "timestamps": options.flag("timestamps"),
        "follow": options.flag("follow"),
        "details": options.flag("details"),
        "tail": options.text("tail"),
    }
    response = engine.open("GET", container(document["Id"]) + "/logs", parameters)
    if document["Config"].get("Tty"):
        for block in response.blocks():
            context.out(block)
        return 0
    frames = Demultiplexer()
    for block in response.blocks():
        write_frames(frames, block)
    return 0


COMMAND = Command(
    "[OPTIONS] CONTAINER",
    "Fetch the logs of a container",
    run,
    aliases=("container logs", "logs"),
    flags=(
        ("details", "", "bool", "Show extra details provided to logs"),
        ("follow", "f", "bool", "Follow log output"),
        (
            "since",
            "",
            "string",
            'Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
        ),
        ("tail", "n", "string", 'Number of lines to show from the end of the logs (default "all")', "all"),
        ("timestamps", "t", "bool", "Show timestamps"),
        (
            "until",
            "",
            "string",
            'Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42'
            " minutes)",
        ),
    ),
    minimum=1,
    maximum=1,
)
