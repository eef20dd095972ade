"""`update`: change the limits and the restart policy of containers."""

from __future__ import annotations

from sampan.cli.containers.config import CONVERT, limits_and_policy
from sampan.cli.context import Context
from sampan.cli.engine import container
from sampan.cli.failure import EngineFailure, Failure
from sampan.cli.flags import Command, Options


def run(context: Context, options: Options, arguments: list[str]) -> int:
    if not options.changed:
        raise Failure("you must provide one or more flags when using this command")
    try:
        body = limits_and_policy(options)
    except ValueError as error:
        raise Failure(str(error)) from None
    failures = []
    for name in arguments:
        try:
            answer = context.engine.post(f"{container(name)}/update", body=body)
        except EngineFailure as failure:
            failures.append(failure.message)
            continue
        context.line(name)
        for warning in (answer.get("Warnings") if isinstance(answer, dict) else None) or ():
            context.error(str(warning))
    if failures:
        raise Failure("\n".join(failures))
    return 0


COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Update configuration of one or more containers",
    run,
    aliases=("container update", "update"),
    flags=(
        (
            "blkio-weight",
            "",
            "uint16",
            "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)",
        ),
        ("cpu-period", "", "int", "Limit CPU CFS (Completely Fair Scheduler) period"),
        ("cpu-quota", "", "int", "Limit CPU CFS (Completely Fair Scheduler) quota"),
        ("cpu-rt-period", "", "int", "Limit the CPU real-time period in microseconds"),
        ("cpu-rt-runtime", "", "int", "Limit the CPU real-time runtime in microseconds"),
        ("cpu-shares", "c", "int", "CPU shares (relative weight)"),
        ("cpus", "", "decimal", "Number of CPUs"),
        ("cpuset-cpus", "", "string", "CPUs in which to allow execution (0-3, 0,1)"),
        ("cpuset-mems", "", "string", "MEMs in which to allow execution (0-3, 0,1)"),
        ("memory", "m", "bytes", "Memory limit"),
        ("memory-reservation", "", "bytes", "Memory soft limit"),
        ("memory-swap", "", "bytes", "Swap limit equal to memory plus swap: -1 to enable unlimited swap"),
        ("pids-limit", "", "int", "Tune container pids limit (set -1 for unlimited)"),
        ("restart", "", "string", "Restart policy to apply when a container exits"),
    ),
    convert=CONVERT,
    minimum=1,
)
