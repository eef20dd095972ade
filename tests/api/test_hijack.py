"""Hijacked connections: the socket leaves HTTP with every byte in its place."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sampan import errors
from sampan.api.hijack import HijackedRequest
from sampan.api.message import HIJACKED, Reply, Request
from sampan.wire import attach as frames
from tests.api.harness import Harness

UPGRADE = ("Connection: Upgrade", "Upgrade: tcp")


class Taker:
    """A handler that takes the connection, as the engine does for attach."""

    def __init__(self) -> None:
        self.taken: asyncio.Future[tuple[bytes, socket.socket]] = asyncio.get_running_loop().create_future()
        self.refuse: Exception | None = None
        self.fail_late: Exception | None = None
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.tty = False

    async def handler(self, request: Request) -> Reply:
        await request.body.read()
        client = HijackedRequest(request)
        await client.run(self.take(client))
        return HIJACKED

    async def take(self, client: HijackedRequest) -> None:
        await self.go_on.wait()
        if self.refuse is not None:
            raise self.refuse
        await client.accept(tty=self.tty)
        if self.fail_late is not None:
            raise self.fail_late
        own = client.detach_socket()
        self.taken.set_result((client.early, own))


@pytest_asyncio.fixture
async def taker() -> Taker:
    return Taker()


@pytest_asyncio.fixture
async def harness(tmp_path: Path, taker: Taker) -> AsyncIterator[Harness]:
    harness = Harness(tmp_path)
    harness.handle("POST", "/take", taker.handler)
    await harness.start()
    yield harness
    await harness.close()


@pytest.mark.parametrize(
    ("path", "tty", "kind"),
    [
        ("/take", False, "application/vnd.docker.multiplexed-stream"),
        ("/take", True, "application/vnd.docker.raw-stream"),
        ("/v1.42/take", False, "application/vnd.docker.multiplexed-stream"),
        ("/v1.41/take", False, "application/vnd.docker.raw-stream"),
    ],
)
async def test_upgrade(harness: Harness, taker: Taker, path: str, tty: bool, kind: str) -> None:
    taker.tty = tty
    client = await harness.client()
    client.request(f"POST {path}", *UPGRADE)
    assert await client.head() == (101, {"Content-Type": kind, "Connection": "Upgrade", "Upgrade": "tcp"})
    (await taker.taken)[1].close()
    assert await client.rest() == b""


async def test_without_upgrade_the_stream_follows_a_plain_head(harness: Harness, taker: Taker) -> None:
    client = await harness.client()
    client.request("POST /take")
    assert await client.head() == (200, {"Content-Type": "application/vnd.docker.raw-stream"})
    (await taker.taken)[1].close()


@pytest.mark.parametrize("upgrade", [UPGRADE, ()])
@pytest.mark.parametrize("body", [b"", b'{"Detach":false}'])
async def test_no_byte_is_lost(harness: Harness, taker: Taker, upgrade: tuple[str, ...], body: bytes) -> None:
    """stdin may come with the request, before it is accepted, and after; its end is a half-close."""
    taker.go_on.clear()
    client = await harness.client()
    client.request("POST /take", *upgrade, body=body)
    client.send(b"early ")
    await asyncio.sleep(0.01)
    client.send(b"later ")
    taker.go_on.set()
    await client.head()
    client.send(b"last")
    client.half_close()
    early, own = await taker.taken
    with own:
        own.setblocking(True)
        own.settimeout(20)
        rest = b"".join(iter(lambda: own.recv(100), b""))
        assert early + rest == b"early later last"
        own.sendall(b"answer")
    assert await client.rest() == b"answer"


async def test_a_refusal_is_an_ordinary_answer(harness: Harness, taker: Taker) -> None:
    client = await harness.client()
    taker.refuse = errors.NotFound("No such container: x")
    client.request("POST /take", *UPGRADE)
    assert await client.reply() == (404, b'{"message":"No such container: x"}\n')
    client.request("GET /_ping")
    assert await client.reply() == (200, b"OK")


@pytest.mark.parametrize("tty", [True, False])
async def test_a_late_error_goes_into_the_stream(harness: Harness, taker: Taker, tty: bool) -> None:
    taker.tty, taker.fail_late = tty, errors.Conflict("it has already run")
    client = await harness.client()
    client.request("POST /take", *UPGRADE)
    assert (await client.head())[0] == 101
    text = b"it has already run\r\n"
    assert await client.rest() == (text if tty else frames.encode(frames.STDERR, text))


async def test_a_client_that_left_before_it_was_accepted(harness: Harness, taker: Taker) -> None:
    taker.go_on.clear()
    client = await harness.client()
    client.request("POST /take", *UPGRADE)
    await client.close()
    await asyncio.sleep(0.01)
    taker.go_on.set()
    try:
        _, own = await asyncio.wait_for(asyncio.shield(taker.taken), 0.2)
    except TimeoutError:
        return  # noticed while the head was sent: nothing to hand over
    with own:
        own.setblocking(True)
        assert own.recv(1) == b""
