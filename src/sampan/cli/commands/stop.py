"""`stop`: end containers with their stop signal, and with SIGKILL when they take too long."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import container
from sampan.cli.flags import Command, Options
from sampan.cli.several import request_each


def stop_parameters(options: Options) -> dict[str, object]:
    """The query of stop and restart. A timeout of 0 is one; none leaves it to the container."""
    seconds = str(options.number("timeout")) if {"timeout", "time"} & options.changed else ""
    if "time" in options.changed:
        seconds = str(options.number("time"))
    return {"signal": options.text("signal"), "t": seconds}


STOP_FLAGS = (
    ("signal", "s", "string", "Signal to send to the container"),
    ("timeout", "t", "int", "Seconds to wait before killing the container"),
    ("time", "", "int", None),
)


def run(context: Context, options: Options, arguments: list[str]) -> int:
    def path(name: str) -> str:
        return container(name) + "/stop"

    return request_each(context, arguments, "POST", path, stop_parameters(options))


COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Stop one or more running containers",
    run,
    aliases=("container stop", "stop"),
    flags=STOP_FLAGS,
    minimum=1,
)
