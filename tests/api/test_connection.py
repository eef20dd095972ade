"""HTTP at its edges: pipelining, early bytes, half-close, bodies of all framings, clients that leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sampan import errors
from sampan.api.message import JSON_LIMIT, Reply, Request, Response, Stream
from tests.api.harness import Harness, until


@pytest_asyncio.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    harness = Harness(tmp_path)
    yield harness
    await harness.close()


async def test_pipelined_requests_are_answered_in_turn(harness: Harness) -> None:
    await harness.start()
    client = await harness.client()
    for text in (b"one", b"two", b"three"):
        client.request("POST /echo", body=text)
    assert [await client.reply() for _ in range(3)] == [(200, b"one"), (200, b"two"), (200, b"three")]


async def test_a_request_that_comes_byte_by_byte(harness: Harness) -> None:
    await harness.start()
    client = await harness.client()
    for byte in (
        b"POST /echo HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    ):
        client.send(bytes((byte,)))
        await asyncio.sleep(0)
    assert await client.reply() == (200, b"abc")


async def test_every_answer_carries_dockers_headers(harness: Harness) -> None:
    await harness.start()
    client = await harness.client()
    client.request("GET /nope")
    status, fields = await client.head()
    assert status == 404
    assert fields["Api-Version"] == "1.56"
    assert fields["Ostype"] == "linux"
    assert fields["Server"].startswith("Sampan/") and fields["Server"].endswith(" (linux)")
    assert await client.reader.readexactly(int(fields["Content-Length"])) == b'{"message":"page not found"}\n'


async def test_expect_continue_is_answered_when_the_body_is_wanted(harness: Harness) -> None:
    async def refuse(_request: Request) -> Reply:
        raise errors.Conflict("not now")

    harness.handle("POST", "/refuse", refuse)
    await harness.start()
    client = await harness.client()
    client.send(b"POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert (await client.head())[0] == 100
    client.send(b"hi")
    assert await client.reply() == (200, b"hi")
    # Whether the body follows a refusal is up to the client, so the connection cannot go on.
    client.send(b"POST /refuse HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    status, fields = await client.head()
    assert (status, fields["Connection"]) == (409, "close")
    assert await client.rest() == b'{"message":"not now"}\n'


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_too_large_is_refused_while_it_is_sent(harness: Harness, chunked: bool) -> None:
    await harness.start()
    client = await harness.client()
    size = JSON_LIMIT + 1
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    client.send(f"POST /echo HTTP/1.1\r\nHost: d\r\n{framing}\r\n\r\n".encode())
    body = b"x" * size
    client.send(b"%x\r\n%s\r\n0\r\n\r\n" % (size, body) if chunked else body)
    assert await client.reply() == (413, b'{"message":"http: request body too large"}\n')
    client.request("GET /_ping")
    assert await client.reply() == (200, b"OK")


async def test_a_body_that_nobody_reads_is_skipped(harness: Harness) -> None:
    await harness.start()
    client = await harness.client()
    client.request("POST /nope", body=b"x" * 300_000)
    client.request("GET /_ping")
    assert [(await client.reply())[0] for _ in range(2)] == [404, 200]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\r\n\r\n", 400),
        (b"GET /_ping HTTP/1.1\r\n\r\n", 400),
        (b"GET /%zz HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: foo\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: d\r\nX: " + b"a" * (2 << 20), 431),
    ],
)
async def test_what_is_no_request_ends_the_connection(harness: Harness, data: bytes, status: int) -> None:
    await harness.start()
    client = await harness.client()
    client.send(data)
    assert (await client.head())[0] == status
    assert (await client.rest()).startswith(b"%d " % status)


async def test_a_body_with_broken_framing(harness: Harness) -> None:
    await harness.start()
    client = await harness.client()
    client.send(b"POST /echo HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    assert await client.reply() == (400, b'{"message":"invalid byte in chunk length"}\n')
    assert await client.rest() == b""


async def test_http_1_0_and_head(harness: Harness) -> None:
    async def head(_request: Request) -> Reply:
        return Response()

    harness.handle("HEAD", "/_ping", head)
    await harness.start()
    client = await harness.client()
    client.request("HEAD /_ping")
    status, fields = await client.head()
    assert (status, fields["Content-Length"]) == (200, "0")
    client.send(b"GET /_ping HTTP/1.0\r\n\r\n")
    assert (await client.rest()).endswith(b"\r\n\r\nOK")


async def test_a_half_closed_client_gets_its_reply(harness: Harness) -> None:
    await harness.start()
    client = await harness.client()
    client.request("GET /_ping")
    client.half_close()
    assert (await client.rest()).endswith(b"\r\n\r\nOK")


class Source:
    """A stream that tells how far it came and whether it was ended properly."""

    def __init__(self, chunk: bytes = b"tick\n") -> None:
        self.chunk = chunk
        self.sent = 0
        self.ended = False
        self.go_on = asyncio.Event()

    async def handler(self, request: Request) -> Reply:
        return Stream(self.chunks(), lasting=request.query.flag("lasting"))

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield self.chunk
                self.sent += 1
                if self.chunk == b"tick\n":
                    await self.go_on.wait()
                    self.go_on.clear()
        finally:
            self.ended = True


@pytest.mark.parametrize("half", [True, False])
async def test_a_stream_is_flushed_and_ends_with_its_client(harness: Harness, half: bool) -> None:
    source = Source()
    harness.handle("GET", "/stream", source.handler)
    await harness.start()
    client = await harness.client()
    client.request("GET /stream?lasting=1")
    await client.head()
    for _ in range(3):
        assert await client.reader.readline() == b"5\r\n"
        assert await client.reader.readexactly(7) == b"tick\n\r\n"
        source.go_on.set()
    assert not source.ended
    if half:
        client.half_close()
    else:
        await client.close()
    await until(lambda: source.ended)


async def test_a_half_closed_client_gets_its_finite_stream(harness: Harness) -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield b"whole"

    async def handler(request: Request) -> Reply:
        await request.body.read()
        await asyncio.sleep(0.01)
        return Stream(chunks())

    harness.handle("POST", "/stream", handler)
    await harness.start()
    client = await harness.client()
    client.request("POST /stream", body=b"x")
    client.half_close()
    assert await client.reply() == (200, b"whole")


async def test_a_slow_client_holds_its_stream_back(harness: Harness) -> None:
    source = Source(b"x" * 65_536)
    harness.handle("GET", "/stream", source.handler)
    await harness.start()
    client = await harness.client()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    client.request("GET /stream")
    await until(lambda: source.sent > 0)
    before = -1
    while before != source.sent:
        before = source.sent
        await asyncio.sleep(0.05)
    assert source.sent < 50  # what the kernel buffers, and no more


async def test_a_stream_that_breaks_off_is_not_terminated(harness: Harness) -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield b"begin"
        raise errors.NotFound("it went away")

    async def handler(_request: Request) -> Reply:
        return Stream(chunks())

    harness.handle("GET", "/stream", handler)
    await harness.start()
    client = await harness.client()
    client.request("GET /stream")
    await client.head()
    assert await client.rest() == b"5\r\nbegin\r\n"


async def test_a_command_runs_to_its_end_without_its_client(harness: Harness) -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def command(_request: Request) -> Reply:
        begun.set()
        await go_on.wait()
        done.set()
        return Response(204)

    harness.handle("POST", "/command", command)
    await harness.start()
    client = await harness.client()
    client.request("POST /command")
    await begun.wait()
    await client.close()
    await asyncio.sleep(0.01)
    go_on.set()
    await asyncio.wait_for(done.wait(), 20)


@pytest.mark.parametrize("complete", [True, False])
async def test_a_thread_reads_the_body_as_a_file(harness: Harness, complete: bool) -> None:
    size, result = 3_000_000, asyncio.get_running_loop().create_future()

    async def upload(request: Request) -> Reply:
        file = request.body.file()

        def read() -> int:
            return sum(len(piece) for piece in iter(lambda: file.read(10_000), b""))

        try:
            result.set_result(await asyncio.to_thread(read))
        except errors.InvalidArgument as error:
            result.set_exception(error)
            raise
        return Response(204)

    harness.handle("POST", "/upload", upload)
    await harness.start()
    client = await harness.client()
    client.send(b"POST /upload HTTP/1.1\r\nHost: d\r\nContent-Length: %d\r\n\r\n" % size)
    client.send(b"x" * (size if complete else size // 2))
    if complete:
        assert (await client.head())[0] == 204
        assert await result == size
    else:
        await client.close()
        with pytest.raises(errors.InvalidArgument, match="unexpected EOF"):
            await result


async def test_the_end_of_the_server(harness: Harness) -> None:
    """Idle clients and streams are dropped, a command that is under way gets its answer out."""
    source, begun, go_on = Source(), asyncio.Event(), asyncio.Event()

    async def command(_request: Request) -> Reply:
        begun.set()
        await go_on.wait()
        return Response(204)

    harness.handle("GET", "/stream", source.handler)
    harness.handle("POST", "/command", command)
    await harness.start()
    idle, streaming, busy = [await harness.client() for _ in range(3)]
    streaming.request("GET /stream")
    await streaming.head()
    busy.request("POST /command")
    await begun.wait()
    closing = asyncio.ensure_future(harness.server.close())
    assert await idle.rest() == b""
    await until(lambda: source.ended)
    go_on.set()
    assert (await busy.head())[0] == 204
    await closing
    assert not harness.path.exists()
