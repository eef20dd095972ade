"""`pause`: stop all processes of a container, until `resume`."""

from __future__ import annotations

from sampan import errors
from sampan.runtime.commands.arguments import Arguments, Command
from sampan.runtime.containers import ContainerStore


def run(arguments: Arguments) -> int:
    container = ContainerStore(arguments.settings.root).load(arguments.words[0])
    status = container.status()
    if status not in ("running", "created"):
        raise errors.Conflict(f"container not running or created: {status}")
    container.cgroup().freeze()
    return 0


COMMAND = Command("pause", "<container-id>", "pause suspends all processes inside the container", run)
