"""`kill`: send a signal to the container's first process, or to all of them."""

from __future__ import annotations

import signal

from sampan import errors
from sampan.linux import processes
from sampan.runtime.commands.arguments import Arguments, Command, Option
from sampan.runtime.containers import Container, ContainerStore


def run(arguments: Arguments) -> int:
    container = ContainerStore(arguments.settings.root).load(arguments.words[0])
    number = parse_signal(arguments.words[1] if len(arguments.words) > 1 else "SIGTERM")
    if arguments.flag("all"):
        container.cgroup().kill(number)
        return 0
    send(container, number)
    return 0


def send(container: Container, number: int) -> None:
    if container.status() == "stopped":
        raise errors.Conflict("container not running")
    try:
        pidfd = processes.pidfd_open(container.pid)
    except ProcessLookupError:
        raise errors.Conflict("container not running") from None
    # The pidfd cannot change its process any more; make sure that it is the right one.
    if container.status() == "stopped":
        raise errors.Conflict("container not running")
    signal.pidfd_send_signal(pidfd, number)


def parse_signal(text: str) -> int:
    """A number, or a name with or without "SIG"."""
    if text.isascii() and text.isdigit():
        number = int(text)
        if 0 <= number <= signal.SIGRTMAX:
            return number
    name = text.upper()
    found = signal.Signals.__members__.get(name if name.startswith("SIG") else f"SIG{name}")
    if found is None:
        raise errors.InvalidArgument(f'unknown signal "{text}"')
    return int(found)


COMMAND = Command(
    name="kill",
    usage="<container-id> [signal]",
    summary="kill sends the specified signal (default: SIGTERM) to the container's init process",
    run=run,
    options=(
        Option(("all", "a"), "send the specified signal to all processes inside the container", flag=True),
    ),
    words=(1, 2),
)
