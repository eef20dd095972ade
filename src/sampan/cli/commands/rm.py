"""`rm`: remove containers."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import container
from sampan.cli.failure import EngineFailure, Failure
from sampan.cli.flags import Command, Options
from sampan.cli.several import request_each


def run(context: Context, options: Options, arguments: list[str]) -> int:
    force = options.flag("force")

    def already_gone(failure: EngineFailure) -> bool:
        return force and failure.http_status == 404

    parameters = {"force": force, "link": options.flag("link"), "v": options.flag("volumes")}

    def path(name: str) -> str:
        if not name:
            raise Failure("container name cannot be empty")
        return container(name)

    names = [name.strip("/") for name in arguments]
    return request_each(context, names, "DELETE", path, parameters, already_gone)


COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Remove one or more containers",
    run,
    aliases=("container rm", "container remove", "rm"),
    flags=(
        ("force", "f", "bool", "Force the removal of a running container (uses SIGKILL)"),
        ("link", "l", "bool", "Remove the specified link"),
        ("volumes", "v", "bool", "Remove anonymous volumes associated with the container"),
    ),
    minimum=1,
)
