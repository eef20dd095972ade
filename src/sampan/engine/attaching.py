"""`attach`: a client's connection becomes the container's stdin, stdout and stderr.

Owns the hand-over: the connection's socket goes to the shim, or waits here for the start. From then on no
byte of it passes through the engine.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from contextlib import closing

from sampan import errors
from sampan.engine import detachkeys, logreading
from sampan.engine.container import Container, EarlyClient
from sampan.engine.services import Services
from sampan.engine.states import State
from sampan.engine.streams import AttachOptions, HijackedClient, LogOptions
from sampan.shim import protocol
from sampan.wire import attach as frames

_names = itertools.count(1)


def client_name() -> str:
    """A name for a client, by which the shim tells of its leaving."""
    return f"client-{next(_names)}"


async def attach(
    services: Services, container: Container, options: AttachOptions, client: HijackedClient
) -> None:
    """Hand the client over. Errors before it is accepted are the request's answer."""
    if container.state is State.PAUSED:
        raise errors.Conflict(f"container {container.name} is paused, unpause the container before attach")
    if container.state is State.RESTARTING:
        raise errors.Conflict(
            f"container {container.name} is restarting, wait until the container is running before attach"
        )
    keys = detachkeys.parse(options.detach_keys)
    tty = container.record.config.tty
    await client.accept(tty=tty)
    early = client.early
    with closing(client.detach_socket()) as sock:
        if options.logs:
            await _replay(services, container, options, sock, tty=tty)
        if options.stream:
            request = protocol.Attach(
                seq=0,
                client=client_name(),
                stdin=options.stdin and container.record.config.open_stdin,
                stdout=options.stdout,
                stderr=options.stderr,
                multiplex=not tty,
                detach_keys=keys,
                early=early,
            )
            await _hand_over(container, request, sock)


async def _hand_over(container: Container, request: protocol.Attach, sock: socket.socket) -> None:
    if container.shim is None:
        container.keep_client(EarlyClient(request, sock.dup()))
    else:
        await container.shim.request(request, fds=[sock.fileno()])


async def _replay(
    services: Services, container: Container, options: AttachOptions, sock: socket.socket, *, tty: bool
) -> None:
    """What was logged until now, before what is to come."""
    wanted = LogOptions(stdout=options.stdout, stderr=options.stderr)
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    async for stream, line in logreading.read(services, container, wanted):
        await loop.sock_sendall(sock, line if tty else frames.encode(stream, line))
