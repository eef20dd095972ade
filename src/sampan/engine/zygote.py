"""The engine's zygote: the process that forks shims, started with the engine and again whenever it has ended.

Owns that process. The engine itself never forks: it has threads. Starting a zygote takes 50 ms, spawning
a shim 0.3.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys

from sampan import errors
from sampan.engine.blocking import Threads
from sampan.shim import spawning, zygote_main
from sampan.shim.client import ShimConnection, ZygoteConnection

_log = logging.getLogger("sampan.engine")
_SECONDS_TO_END = 5.0


class Zygote:
    """Spawns shims. `start` may be left out: then the first `spawn` does it."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._connection: ZygoteConnection | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        async with self._lock:
            await self._ensure()

    async def spawn(self, container: str, directory: str) -> ShimConnection:
        """A new shim for the container whose bundle is `directory`; its connection can be used at once."""
        for _ in range(2):
            connection = self._connection or await self._started()
            try:
                return connection.spawn(container, directory)
            except (BrokenPipeError, ConnectionResetError):
                self._lose()
        raise errors.Unavailable("the zygote ends as soon as it is started")

    async def close(self) -> None:
        """The zygote ends when its socket does; shims are not concerned."""
        process, self._process = self._process, None
        self._lose()
        if process is not None:
            await self._threads.run(_reap, process)

    async def _started(self) -> ZygoteConnection:
        async with self._lock:
            return await self._ensure()

    async def _ensure(self) -> ZygoteConnection:
        if self._connection is None:
            if self._process is not None:
                await self._threads.run(_reap, self._process)
            ours, self._process = await self._threads.run(_launch)
            self._connection = ZygoteConnection(ours)
            asyncio.get_running_loop().add_reader(self._connection.fileno(), self._readable)
        return self._connection

    def _readable(self) -> None:
        """Answers are of interest only when they are bad: then the shim's own connection ends, too."""
        while self._connection is not None:
            try:
                message = self._connection.receive()
            except BlockingIOError:
                return
            except (OSError, errors.InvalidArgument):
                message = None
            if message is None:
                _log.warning("the zygote has ended; a new one is started when it is needed")
                self._lose()
            elif isinstance(message, spawning.SpawnFailure):
                _log.error("the zygote cannot spawn a shim: %s", message.message)

    def _lose(self) -> None:
        if self._connection is not None:
            asyncio.get_running_loop().remove_reader(self._connection.fileno())
            self._connection.close()
            self._connection = None


def _launch() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Start the process. In a thread: Popen waits for the execve."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", zygote_main.__file__, str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
        )
    return ours, process


def _reap(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
