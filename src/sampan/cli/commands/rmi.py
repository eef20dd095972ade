"""`rmi`, `image rm`: remove names of images, and images that have none left."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import image
from sampan.cli.failure import EngineFailure, Failure
from sampan.cli.flags import Command, Options


def run(context: Context, options: Options, arguments: list[str]) -> int:
    if options.items("platform"):
        raise Failure("--platform is not supported yet")
    force = options.flag("force")
    parameters = {"force": force, "noprune": options.flag("no-prune")}
    failures: list[EngineFailure] = []
    for name in arguments:
        try:
            done = context.engine.call("DELETE", image(name), parameters)
        except EngineFailure as failure:
            failures.append(failure)
            continue
        assert isinstance(done, list)
        lines = (
            f"{word}: {item[word]}\n" for item in done for word in ("Deleted", "Untagged") if word in item
        )
        context.out("".join(lines))
    if failures:
        message = "\n".join(failure.message for failure in failures)
        if not force or any(failure.http_status != 404 for failure in failures):
            raise Failure(message)
        context.error(message)
    return 0


COMMAND = Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Remove one or more images",
    run,
    aliases=("image rm", "image remove", "rmi"),
    flags=(
        ("force", "f", "bool", "Force removal of the image"),
        ("no-prune", "", "bool", "Do not delete untagged parents"),
        ("platform", "", "strings", None),
    ),
    minimum=1,
)
