"""`delete`: remove what `create` has made."""

from __future__ import annotations

import select

from sampan import errors
from sampan.linux import processes
from sampan.linux import signals as signal
from sampan.runtime.commands.arguments import Arguments, Command, Option
from sampan.runtime.commands.create import destroy
from sampan.runtime.containers import Container, ContainerStore

_KILL_SECONDS = 10


def run(arguments: Arguments) -> int:
    store = ContainerStore(arguments.settings.root)
    container_id = arguments.words[0]
    force = arguments.flag("force")
    try:
        container = store.load(container_id)
    except errors.NotFound:
        if not force:
            raise
        store.forget(container_id)  # a create that was killed half-way
        return 0
    status = container.status()
    if status == "created" or (force and status != "stopped"):
        _kill(container)
    elif status != "stopped":
        raise errors.Conflict(f"cannot delete container {container_id} that is not stopped: {status}")
    destroy(store, container)
    return 0


def _kill(container: Container) -> None:
    """Kill the first process, and with it all of its pid namespace, and wait for its end."""
    try:
        pidfd = processes.pidfd_open(container.pid)
    except ProcessLookupError:
        return
    if container.status() == "stopped":
        return
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    if container.cgroup().is_frozen():
        container.cgroup().thaw()  # on v1 a frozen process cannot even be killed
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if not poll.poll(_KILL_SECONDS * 1000):
        raise errors.Unavailable("container init still running")


COMMAND = Command(
    name="delete",
    usage="<container-id>",
    summary="delete any resources held by the container often used with detached container",
    run=run,
    options=(Option(("force", "f"), "forcibly deletes the container if it is still running", flag=True),),
)
