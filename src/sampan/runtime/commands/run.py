"""`run`: create, start, wait, delete."""

from __future__ import annotations

from sampan.runtime.commands import create, streams
from sampan.runtime.commands.arguments import Arguments, Command, Option
from sampan.runtime.containers import ContainerStore


def run(arguments: Arguments) -> int:
    store = ContainerStore(arguments.settings.root)
    detached = arguments.flag("detach")
    container, launched = create.create_container(store, arguments, gated=False, detached=detached)
    if detached:
        create.let_go(store, arguments, container, launched)
        return 0
    try:
        create.write_pid_file(arguments, container.pid)
        return streams.stay(launched)
    finally:
        if not arguments.flag("keep"):
            create.destroy(store, container)


COMMAND = Command(
    name="run",
    usage="<container-id>",
    summary="create and run a container",
    run=run,
    options=(
        *create.OPTIONS,
        Option(("detach", "d"), "detach from the container's process", flag=True),
        Option(("keep",), "do not delete the container after it exits", flag=True),
    ),
    prefix="sampan-runtime run failed: ",
)
