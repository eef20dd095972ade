"""`start`: open the gate at which a created container's program waits."""

from __future__ import annotations

import errno
import os

from sampan import errors
from sampan.runtime import hooks
from sampan.runtime.commands.arguments import Arguments, Command
from sampan.runtime.containers import ContainerStore


def run(arguments: Arguments) -> int:
    container = ContainerStore(arguments.settings.root).load(arguments.words[0])
    status = container.status()
    if status == "stopped":
        raise errors.Conflict("cannot start a container that has stopped")
    if status != "created":
        raise errors.Conflict("cannot start an already running container")
    try:
        gate = os.open(container.gate, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        # ENXIO: nobody reads at the other end.
        if error.errno == errno.ENXIO:
            raise errors.Conflict("cannot start a container that has stopped") from error
        raise
    try:
        # Only who removes the gate may open it: of two that start at once, one fails here.
        try:
            os.unlink(container.gate)
        except FileNotFoundError:
            raise errors.Conflict("cannot start an already running container") from None
        os.write(gate, b"0")
    finally:
        os.close(gate)
    try:
        hooks.run("poststart", container.spec().hooks.poststart, container.state("running").to_json())
    except errors.StartFailed:
        # The specification: then the container has to be stopped.
        container.cgroup().kill()
        raise
    return 0


COMMAND = Command("start", "<container-id>", "executes the user defined process in a created container", run)
