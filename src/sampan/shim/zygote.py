"""The zygote: a small process with one thread that has everything loaded, and forks a shim on request.

Owns the fork. Holds no state: when it is killed, running shims do not notice, and the engine starts another
one. It ends with the engine's socket. Never imports asyncio or threading: a fork copies one thread only.

Each page that is dirty here is shared by all shims, as long as neither they nor the zygote write to it again.
So the garbage collector is off and its objects are frozen (gc.freeze, which is meant for this), a shim leaves
with os._exit, and what is done between two forks is done by few objects: it would cost every shim a copy of
their pages.

Measured with ten containers at rest (CPython 3.11): 8 MB in the zygote, 1.4 MB private in each shim; a shim
is there 1 ms after the request.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

from sampan import errors
from sampan.linux import mounts, processes
from sampan.linux import signals as signal
from sampan.linux import sockets as socket
from sampan.shim import rehearsal, spawning, supervisor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_FLAGS = int(socket.MSG_CMSG_CLOEXEC)
_SPACE = socket.CMSG_SPACE(4)


def serve(engine_fd: int) -> None:
    """Fork shims until the engine closes its end. See `spawning` for what is said."""
    rehearsal.rehearse()
    # Shims are not waited for: whoever wants to know how a container ended asks its exit.json.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # Shims inherit this: a container ends by its own signals, and a hand-written `kill` must not leave it
    # without its log and exit code. The zygote itself ends with its socket.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.set_blocking(engine_fd, True)
    engine = socket.SocketType(fileno=engine_fd)
    gc.collect()
    gc.disable()
    gc.freeze()
    try:
        _answer_all(engine)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the engine was killed before it read its answers


def _answer_all(engine: socket.SocketType) -> None:
    while True:
        request, ancillary, _, _ = engine.recvmsg(spawning.MAX_REQUEST, _SPACE, _FLAGS)
        if not request:
            return
        try:
            pid = os.fork()
        except OSError as error:
            engine.send(spawning.encode_failure(str(error)))
            continue
        if pid == 0:
            engine.close()
            _be_shim(request, ancillary)
        for _, _, fds in ancillary:
            os.close(int.from_bytes(fds[:4], sys.byteorder))
        engine.send(spawning.encode_pid(pid))


def _be_shim(request: bytes, ancillary: Sequence[tuple[int, int, bytes]]) -> NoReturn:
    """In the new process. One that was asked for in a wrong way ends at once, and so does its connection."""
    try:
        spawn = spawning.decode_spawn(request)
        control = int.from_bytes(ancillary[0][2][:4], sys.byteorder)
    except (errors.InvalidArgument, IndexError):
        os._exit(1)
    supervisor.main(spawn.container, spawn.directory, socket.SocketType(fileno=control))


def enter_private_mounts() -> None:
    """Leave the host's mount namespace, so that what shims and runtime mount is never seen there.

    Mounts of the host still arrive (slave), and so do its unmounts: otherwise every disk that was mounted
    when the engine started could not be removed as long as a container runs.
    """
    processes.unshare(processes.CLONE_NEWNS)
    mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_SLAVE, None)
