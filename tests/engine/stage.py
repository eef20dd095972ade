"""A stage for plays with a real engine in this process: real shims and containers, no HTTP.

async with Stage(folder) as stage:
    await stage.run("web", "echo hello")
    assert await stage.output("web") == b"hello\\n"

The stage lives in a network namespace of its own, so bridges and ports of two stages never meet; threads and
processes that the engine starts are born into it.
"""

from __future__ import annotations

import asyncio
import io
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from sampan.engine.engine import Engine
from sampan.engine.lifecycle import kill_cgroup
from sampan.engine.settings import Settings
from sampan.engine.streams import AttachOptions, LogOptions
from sampan.linux import processes
from sampan.linux.rtnetlink import RouteSocket
from tests.busybox import busybox_rootfs_tar
from tests.engine.bodies import create

SECONDS = 30


class Client:
    """A hijacked client: the engine sees one end of a socket pair, the test has the other."""

    def __init__(self, early: bytes = b"") -> None:
        self.early = early
        self.tty: bool | None = None
        self.socket, self._theirs = socket.socketpair()
        self.socket.setblocking(False)

    async def accept(self, *, tty: bool) -> None:
        self.tty = tty

    def detach_socket(self) -> socket.socket:
        return self._theirs

    async def everything(self) -> bytes:
        """All output until the end of the stream."""
        pieces = []
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(SECONDS):
            while piece := await loop.sock_recv(self.socket, 1 << 16):
                pieces.append(piece)
        self.socket.close()
        # What the shim said before it closed the stream is ready by now; a client of the API, who asks for
        # the exit code next, is no faster than the event loop either.
        for _ in range(2):
            await asyncio.sleep(0)
        return b"".join(pieces)

    async def until(self, text: bytes) -> bytes:
        loop, data = asyncio.get_running_loop(), b""
        async with asyncio.timeout(SECONDS):
            while text not in data:
                data += await loop.sock_recv(self.socket, 1 << 16)
        return data

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def close(self) -> None:
        """Of a client that was not taken."""
        self.socket.close()
        self._theirs.close()


class Stage:
    """One engine and the image `busybox`. `restart` makes a new engine on the same state."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(
            data_root=str(folder / "data"),
            exec_root=str(folder / "exec"),
            bip="172.30.0.1/16",
            cgroup_parent=f"sampan-test-{secrets.token_hex(4)}",
        )
        self.engine = Engine(self.settings)

    async def __aenter__(self) -> Self:
        self._namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        processes.unshare(processes.CLONE_NEWNET)
        with RouteSocket() as route:
            route.set_up("lo")
        await self.engine.start()
        await self.engine.images.import_tar(
            io.BytesIO(busybox_rootfs_tar()), repository="busybox", changes=['CMD ["sh"]']
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            for document in await self.engine.containers.list(all=True):
                await self.engine.containers.remove(document["Id"], force=True, volumes=False, link=False)
            await self.engine.close()
        finally:
            processes.setns(self._namespace, processes.CLONE_NEWNET)
            os.close(self._namespace)
            # Only after a test that failed half-way is anything left in them.
            for identifier in self.residue()["cgroups"]:
                kill_cgroup(f"/{self.settings.cgroup_parent}/{identifier}")
            for top in self.cgroup_tops():
                top.rmdir()

    async def restart(self) -> None:
        """As after a crash as far as the containers are concerned: nothing is told to them."""
        await self.engine.close()
        self.engine = Engine(self.settings)
        await self.engine.start()

    # --- what tests do ---

    async def create(self, name: str, command: str | list[str] = "true", **fields: Any) -> str:
        words = ["sh", "-c", command] if isinstance(command, str) else command
        body = create(**({"Image": "busybox", "Cmd": words} | fields))
        return str((await self.engine.containers.create(name, body))["Id"])

    async def start(self, name: str, command: str | list[str] = "sleep 1000", **fields: Any) -> str:
        identifier = await self.create(name, command, **fields)
        await self.engine.containers.start(identifier)
        return identifier

    async def run(self, name: str, command: str | list[str] = "true", **fields: Any) -> int:
        """Start a container and wait for its end; returns its exit code."""
        identifier = await self.create(name, command, **fields)
        ended = await self.engine.containers.wait(identifier, "next-exit")
        await self.engine.containers.start(identifier)
        return await exit_code(ended)

    async def wait(self, name: str, condition: str = "") -> int:
        return await exit_code(await self.engine.containers.wait(name, condition))

    async def attach(self, name: str, *, early: bytes = b"", **options: Any) -> Client:
        client = Client(early)
        chosen = {"stdin": True, "stdout": True, "stderr": True, "stream": True} | options
        await self.engine.containers.attach(name, AttachOptions(**chosen), client)
        return client

    async def output(self, name: str, **options: Any) -> bytes:
        """What the log holds of stdout."""
        chosen = {"stdout": True} | options
        _, lines = await self.engine.containers.logs(name, LogOptions(**chosen))
        return b"".join([line async for _, line in lines])

    async def state(self, name: str) -> dict[str, Any]:
        return dict((await self.engine.containers.inspect(name))["State"])

    async def names(self) -> list[str]:
        return [entry["Names"][0][1:] for entry in await self.engine.containers.list(all=True)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():  # noqa: ASYNC110 - what is waited for is the kernel's doing
                await asyncio.sleep(0.01)

    # --- what is left ---

    def cgroup_tops(self) -> list[Path]:
        return [
            path for path in Path("/sys/fs/cgroup").glob(f"*/{self.settings.cgroup_parent}") if path.is_dir()
        ]

    def residue(self) -> dict[str, list[str]]:
        """What of a container exists outside of the database."""
        roots = {
            "containers": Path(self.settings.containers_root),
            "bundles": Path(self.settings.bundles_root),
            "layers": Path(self.settings.data_root) / "layers/overlay2/containers",
        }
        found = {
            kind: sorted(path.name for path in root.iterdir())
            for kind, root in roots.items()
            if root.is_dir()
        }
        found["cgroups"] = sorted(
            {path.name for top in self.cgroup_tops() for path in top.iterdir() if path.is_dir()}
        )
        found["mounts"] = [
            line
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if self.settings.data_root in line
        ]
        return found


async def exit_code(future: asyncio.Future[dict[str, Any]]) -> int:
    async with asyncio.timeout(SECONDS):
        return int((await future)["StatusCode"])
