"""The zygote: a small process with one thread that has everything loaded, and forks a shim on request.

Owns the fork. Holds no state: when it is killed, running shims do not notice, and the engine starts another
one. It ends with the engine's socket. Never imports asyncio or threading: a fork copies one thread only, and
every page that is dirty here is shared by all shims as long as nobody writes to it. So the garbage collector
is off and its objects are frozen (gc.freeze, "copy-on-write friendly"), and a shim leaves with os._exit.
"""

from __future__ import annotations

import gc
import os
import signal
import socket

from sampan import errors
from sampan.linux import mounts, processes
from sampan.shim import packets, rehearsal, spawning, supervisor
from sampan.shim.packets import Packet


def serve(engine: socket.socket) -> None:
    """Fork shims until the engine closes its end."""
    rehearsal.rehearse()
    # Shims are not waited for: whoever wants to know how a container ended asks its exit.json.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # Shims inherit this: a container ends by its own signals, and a hand-written `kill` must not leave it
    # without its log and exit code. The zygote itself ends with its socket.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    gc.collect()
    gc.disable()
    gc.freeze()
    engine.setblocking(True)
    while True:
        try:
            packet = packets.wait(engine)
        except (OSError, packets.TruncatedPacket):
            return
        if packet is None:
            return
        try:
            answer = _spawn(engine, packet)
        finally:
            packet.close()
        try:
            packets.send(engine, spawning.encode_spawned(answer))
        except OSError:
            return


def enter_private_mounts() -> None:
    """Leave the host's mount namespace, so that what shims and runtime mount is never seen there.

    Mounts of the host still arrive (slave), and so do its unmounts: otherwise every disk that was mounted
    when the engine started could not be removed as long as a container runs.
    """
    processes.unshare(processes.CLONE_NEWNS)
    mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_SLAVE, None)


def _spawn(engine: socket.socket, packet: Packet) -> spawning.Spawned | spawning.SpawnFailure:
    try:
        request = spawning.decode_spawn(packet.payload)
        if len(packet.fds) != len(request.fds):
            raise errors.InvalidArgument("spawn: wrong number of descriptors")
        pid = os.fork()
    except (errors.InvalidArgument, OSError) as error:
        return spawning.SpawnFailure(str(error))
    if pid == 0:
        engine.close()
        control = socket.SocketType(fileno=packet.fds[0])
        supervisor.main(request.container, request.directory, control)
    return spawning.Spawned(pid)
