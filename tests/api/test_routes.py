"""Each route asks the engine for the right thing and answers in Docker's form. The engine is a recorder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import pytest_asyncio

from sampan import errors
from sampan.api import addresses, routes
from sampan.api.routes import unserved
from sampan.api.server import Server
from sampan.engine.schema import ContainerCreate, ExecCreate, ExecStart, HostConfig
from sampan.engine.streams import LogOptions
from sampan.wire import attach as frames
from tests.api.harness import Client

if TYPE_CHECKING:
    from sampan.engine.engine import Engine

Call = tuple[str, tuple[Any, ...], dict[str, Any]]


class Recorder:
    """An engine that writes down what it is asked, and gives the answers that the test put in."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: dict[str, Any] = {}

    def __getattr__(self, part: str) -> Any:
        return _Part(self, part)


class _Part:
    def __init__(self, recorder: Recorder, name: str) -> None:
        self._recorder = recorder
        self._name = name

    def __getattr__(self, method: str) -> Callable[..., Any]:
        name = f"{self._name}.{method}"

        def note(*arguments: Any, **options: Any) -> Any:
            self._recorder.calls.append((name, arguments, options))
            answer = self._recorder.answers.get(name)
            if isinstance(answer, Exception):
                raise answer
            return answer

        async def note_later(*arguments: Any, **options: Any) -> Any:
            return note(*arguments, **options)

        return note if name in ("events.subscribe", "images.load") else note_later


@pytest.fixture
def engine() -> Recorder:
    return Recorder()


@pytest_asyncio.fixture
async def client(tmp_path: Path, engine: Recorder) -> AsyncIterator[Client]:
    server = Server(cast("Engine", engine), routes.ALL)
    await server.listen(addresses.listen(addresses.parse(f"unix://{tmp_path}/s")))
    client = Client(*await asyncio.open_unix_connection(f"{tmp_path}/s"))
    yield client
    await client.close()
    await server.close()


async def items(*values: Any) -> AsyncIterator[Any]:
    for value in values:
        yield value


JSON = "Content-Type: application/json"
FILTERS = "filters=%7B%22label%22%3A%5B%22a%22%5D%7D"
LABEL_A = {"label": ["a"]}


@pytest.mark.parametrize(
    ("line", "status", "call"),
    [
        (
            f"GET /containers/json?all=1&limit=3&{FILTERS}",
            200,
            ("containers.list", (), {"all": True, "limit": 3, "size": False, "filters": LABEL_A}),
        ),
        ("GET /containers/x/json?size=1", 200, ("containers.inspect", ("x",), {"size": True})),
        ("GET /containers/x/top?ps_args=aux", 200, ("containers.top", ("x", "aux"), {})),
        ("POST /containers/x/start", 204, ("containers.start", ("x", ""), {})),
        (
            "POST /containers/x/stop?t=5&signal=INT",
            204,
            ("containers.stop", ("x",), {"signal": "INT", "timeout": 5}),
        ),
        (
            "POST /v1.41/containers/x/stop?signal=INT",
            204,
            ("containers.stop", ("x",), {"signal": "", "timeout": None}),
        ),
        (
            "POST /containers/x/restart?t=-1",
            204,
            ("containers.restart", ("x",), {"signal": "", "timeout": -1}),
        ),
        ("POST /containers/x/kill?signal=HUP", 204, ("containers.kill", ("x", "HUP"), {})),
        ("POST /containers/x/rename?name=y", 204, ("containers.rename", ("x", "y"), {})),
        ("POST /containers/x/pause", 204, ("containers.pause", ("x",), {})),
        ("POST /containers/x/unpause", 204, ("containers.unpause", ("x",), {})),
        ("POST /containers/x/resize?h=10&w=20", 200, ("containers.resize", ("x", 10, 20), {})),
        (
            "DELETE /containers/x?force=true&v=1",
            204,
            ("containers.remove", ("x",), {"force": True, "volumes": True, "link": False}),
        ),
        (f"POST /containers/prune?{FILTERS}", 200, ("containers.prune", (LABEL_A,), {})),
        ("POST /exec/e/resize?h=1&w=2", 200, ("execs.resize", ("e", 1, 2), {})),
        ("GET /exec/e/json", 200, ("execs.inspect", ("e",), {})),
        ("GET /images/a/b:c/history", 200, ("images.history", ("a/b:c",), {})),
        ("POST /images/a/tag?repo=r&tag=t", 201, ("images.tag", ("a", "r", "t"), {})),
        ("DELETE /images/a?force=1", 200, ("images.remove", ("a",), {"force": True, "noprune": False})),
        (f"POST /images/prune?{FILTERS}", 200, ("images.prune", (LABEL_A,), {})),
    ],
)
async def test_calls(client: Client, engine: Recorder, line: str, status: int, call: Call) -> None:
    engine.answers["containers.list"] = []
    engine.answers["containers.inspect"] = {}
    client.request(line)
    assert (await client.reply())[0] == status
    assert engine.calls == [call]


async def test_create(client: Client, engine: Recorder) -> None:
    engine.answers["containers.create"] = {"Id": "1", "Warnings": []}
    body = b'{"Image":"busybox","Cmd":"sh","Env":null,"HostConfig":{"Memory":5,"NetworkMode":"default"}}'
    client.request("POST /containers/create?name=n&platform=linux", JSON, body=body)
    assert await client.reply() == (201, b'{"Id":"1","Warnings":[]}\n')
    expected = ContainerCreate(
        image="busybox", cmd=["sh"], host_config=HostConfig(memory=5, network_mode="default")
    )
    assert engine.calls == [("containers.create", ("n", expected, "linux"), {})]


@pytest.mark.parametrize(
    ("header", "body", "message"),
    [
        (JSON, b"hello", "invalid JSON: invalid character 'h' looking for beginning of value"),
        (JSON, b"", "invalid JSON: EOF"),
        (JSON, b'{"Image":', "invalid JSON: unexpected EOF"),
        (
            JSON,
            b'{"Image":5}',
            "invalid JSON: json: cannot unmarshal number "
            "into Go struct field ContainerCreate.Image of type string",
        ),
        (
            "Content-Type: text/plain",
            b"{}",
            "unsupported Content-Type header (text/plain): must be 'application/json'",
        ),
        ("X: y", b"{}", "malformed Content-Type header (): mime: no media type"),
    ],
)
async def test_bodies_that_are_refused(
    client: Client, engine: Recorder, header: str, body: bytes, message: str
) -> None:
    client.request("POST /containers/create", header, body=body)
    status, answer = await client.reply()
    assert (status, json.loads(answer)) == (400, {"message": message})
    assert engine.calls == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NotFound("No such container: x"), 404),
        (errors.Conflict("in use"), 409),
        (errors.NotModified("no"), 304),
        (errors.Unsupported("no"), 400),
        (errors.PermissionDenied("no"), 403),
        (errors.Unavailable("no"), 503),
        (errors.StartFailed("not found", 127), 400),
        (errors.StartFailed("odd", 125), 500),
        (OSError(28, "no space left on device"), 500),
        (RuntimeError("a bug"), 500),
    ],
)
async def test_errors(client: Client, engine: Recorder, error: Exception, status: int) -> None:
    engine.answers["containers.start"] = error
    client.request("POST /containers/x/start")
    code, body = await client.reply()
    assert code == status
    assert body == b"" if code == 304 else json.loads(body) == {"message": str(error)}


async def test_wait_sends_its_headers_at_once(client: Client, engine: Recorder) -> None:
    future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    engine.answers["containers.wait"] = future
    client.request("POST /containers/x/wait?condition=removed")
    status, fields = await client.head()
    assert (status, fields["Content-Type"]) == (200, "application/json")
    future.set_result({"StatusCode": 7})
    assert [chunk async for chunk in client.chunks()] == [b'{"StatusCode":7}\n']
    assert engine.calls == [("containers.wait", ("x", "removed"), {})]


@pytest.mark.parametrize(
    ("version", "tty", "kind"),
    [("", False, "multiplexed"), ("", True, "raw"), ("/v1.41", False, "raw")],
)
async def test_logs(client: Client, engine: Recorder, version: str, tty: bool, kind: str) -> None:
    engine.answers["containers.logs"] = (tty, items((1, b"out\n"), (2, b"err\n")))
    client.request(f"GET {version}/containers/x/logs?stdout=1&follow=1&since=1.5&until=&tail=10&timestamps=1")
    status, fields = await client.head()
    assert (status, fields["Content-Type"]) == (200, f"application/vnd.docker.{kind}-stream")
    framed = b"out\nerr\n" if tty else frames.encode(1, b"out\n") + frames.encode(2, b"err\n")
    assert b"".join([chunk async for chunk in client.chunks()]) == framed
    options = LogOptions(stdout=True, follow=True, since=1_500_000_000, timestamps=True, tail=10)
    assert engine.calls == [("containers.logs", ("x", options), {})]


async def test_logs_of_no_stream(client: Client) -> None:
    client.request("GET /containers/x/logs")
    assert await client.reply() == (
        400,
        b'{"message":"Bad parameters: you must choose at least one stream"}\n',
    )


async def test_exec(client: Client, engine: Recorder) -> None:
    engine.answers["execs.create"] = {"Id": "e"}
    client.request("POST /containers/x/exec", JSON, body=b'{"Cmd":["ls"],"Tty":true}')
    assert await client.reply() == (201, b'{"Id":"e"}\n')
    client.request("POST /exec/e/start", JSON, body=b'{"Detach":true}')
    assert await client.reply() == (200, b"")
    assert engine.calls == [
        ("execs.create", ("x", ExecCreate(cmd=["ls"], tty=True)), {}),
        ("execs.start", ("e", ExecStart(detach=True), None), {}),
    ]


async def test_events(client: Client, engine: Recorder) -> None:
    engine.answers["events.subscribe"] = items({"Action": "start", "status": "start"})
    client.request(f"GET /v1.51/events?since=1&until=2&{FILTERS}")
    assert await client.reply() == (200, b'{"Action":"start","status":"start"}\n')
    assert engine.calls == [
        ("events.subscribe", (), {"since": 1_000_000_000, "until": 2_000_000_000, "filters": LABEL_A})
    ]
    client.request("GET /events?since=3&until=2")
    message = "`since` time (3) cannot be after `until` time (2)"
    assert await client.reply() == (400, b'{"message":"%s"}\n' % message.encode())


async def test_load_tells_errors_in_its_stream(client: Client, engine: Recorder) -> None:
    async def load() -> AsyncIterator[dict[str, Any]]:
        yield {"stream": "Loaded image: x:latest\n"}
        raise errors.InvalidArgument("unexpected EOF")

    engine.answers["images.load"] = load()
    client.request("POST /images/load?quiet=1", body=b"tar")
    assert await client.reply() == (
        200,
        b'{"stream":"Loaded image: x:latest\\n"}\r\n'
        b'{"errorDetail":{"message":"unexpected EOF"},"error":"unexpected EOF"}\r\n',
    )


async def test_versions_are_the_apis_own(client: Client, engine: Recorder) -> None:
    engine.answers["system.version"] = {
        "Version": "9",
        "Components": [{"Name": "Engine", "Details": {"Os": "linux"}}],
    }
    client.request("GET /version")
    served = {"ApiVersion": "1.56", "MinAPIVersion": "1.24"}
    component = {"Name": "Engine", "Details": {"Os": "linux"} | served}
    assert json.loads((await client.reply())[1]) == {"Version": "9", "Components": [component]} | served


async def test_ping(client: Client) -> None:
    client.request("GET /_ping")
    status, fields = await client.head()
    assert (status, await client.reader.readexactly(2)) == (200, b"OK")
    assert fields["Cache-Control"] == "no-cache, no-store, must-revalidate"
    client.request("HEAD /_ping")
    status, fields = await client.head()
    assert (status, fields["Content-Length"]) == (200, "0")


@pytest.mark.parametrize("route", unserved.ROUTES, ids=lambda route: f"{route.method} {route.pattern}")
async def test_what_is_not_served_says_so(client: Client, route: Any) -> None:
    client.request(f"{route.method} {route.pattern.replace('{name}', 'x')}")
    status, fields = await client.head()
    body = await client.reader.readexactly(0 if route.method == "HEAD" else int(fields["Content-Length"]))
    assert status == 501
    assert route.method == "HEAD" or b'{"message":"sampan does not ' in body
