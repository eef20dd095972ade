"""`resume`: let a paused container go on."""

from __future__ import annotations

from sampan import errors
from sampan.runtime.commands.arguments import Arguments, Command
from sampan.runtime.containers import ContainerStore


def run(arguments: Arguments) -> int:
    container = ContainerStore(arguments.settings.root).load(arguments.words[0])
    if container.status() != "paused":
        raise errors.Conflict("container not paused")
    container.cgroup().thaw()
    return 0


COMMAND = Command("resume", "<container-id>", "resumes all processes that have been previously paused", run)
