"""Paths, versions and origins: which handler runs, and what a client reads when none does."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from sampan import errors
from sampan.api import versions
from sampan.api.message import Body, Reply, Request, Response
from sampan.api.query import Query
from sampan.api.router import Route, Router
from sampan.api.status import PageNotFound

if TYPE_CHECKING:
    from sampan.api.connection import Connection
    from sampan.engine.engine import Engine


class Wire:
    """As much of a connection as the router looks at."""

    def __init__(self, tcp: bool = False) -> None:
        self.tcp = tcp


def request(method: str, path: str, *, query: str = "", tcp: bool = False, **headers: str) -> Request:
    async def nothing() -> bytes:
        return b""

    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = cast("Connection", Wire(tcp))
    return Request(method, path, Query(query), fields, Body(nothing, 0), connection)


async def say(_engine: Engine, asked: Request) -> Reply:
    return Response(body=f"{asked.path} {asked.name} {versions.text(asked.version)}".encode())


ROUTER = Router(
    [
        Route("GET", "/info", say),
        Route("GET", "/images/{name}/json", say),
        Route("DELETE", "/images/{name}", say),
        Route("GET", "/new", say, since=(1, 44)),
    ]
)


async def answer(asked: Request) -> str:
    reply = await ROUTER.dispatch(cast("Engine", None), asked)
    assert isinstance(reply, Response)
    return reply.body.decode()


@pytest.mark.parametrize(
    ("method", "path", "text"),
    [
        ("GET", "/info", "/info  1.56"),
        ("GET", "/v1.24/info", "/info  1.24"),
        ("GET", "/v1.41/images/busybox/json", "/images/busybox/json busybox 1.41"),
        ("GET", "/images/r:5000/a@sha256:12/json", "/images/r:5000/a@sha256:12/json r:5000/a@sha256:12 1.56"),
        ("DELETE", "/images/a/b", "/images/a/b a/b 1.56"),
        ("DELETE", "/images/v1.24", "/images/v1.24 v1.24 1.56"),
    ],
)
async def test_found(method: str, path: str, text: str) -> None:
    assert await answer(request(method, path)) == text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/nope"),
        ("POST", "/info"),
        ("GET", "/info/"),
        ("GET", "/vabc/info"),
        ("GET", "/images/json"),
        ("DELETE", "/images/"),
        ("GET", "/v1.43/new"),
        ("GET", "/v1.44"),
        ("GET", "/containers/x"),
    ],
)
async def test_page_not_found(method: str, path: str) -> None:
    with pytest.raises(PageNotFound, match="page not found"):
        await answer(request(method, path))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1.99/info", "client version 1.99 is too new. Maximum supported API version is 1.56"),
        ("/v2.0/info", "client version 2.0 is too new. Maximum supported API version is 1.56"),
        ("/v1.56.1/info", "client version 1.56.1 is too new. Maximum supported API version is 1.56"),
        (
            "/v1.23/info",
            "client version 1.23 is too old. Minimum supported API version is 1.24, "
            "please upgrade your client to a newer version",
        ),
    ],
)
async def test_versions_that_are_not_served(path: str, message: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await answer(request("GET", path))
    assert str(caught.value) == message


@pytest.mark.parametrize("path", ["//info", "/./info", "/images/../info", "/images//../info"])
async def test_unclean_paths_are_redirected(path: str) -> None:
    reply = await ROUTER.dispatch(cast("Engine", None), request("GET", path))
    assert isinstance(reply, Response)
    assert (reply.status, reply.headers[0]) == (301, ("Location", "/info")) or path == "/images//../info"


async def test_options_is_answered_everywhere() -> None:
    assert await answer(request("OPTIONS", "/v1.41/whatever")) == ""


async def test_a_broken_query() -> None:
    with pytest.raises(errors.InvalidArgument, match='invalid URL escape "%zz"'):
        await answer(request("GET", "/info", query="a=%zz"))


@pytest.mark.parametrize(
    ("tcp", "headers"),
    [
        (False, {"host": "d", "origin": "http://evil.example"}),
        (False, {"host": "d", "sec_fetch_site": "cross-site"}),
        (True, {"host": "localhost:2375", "origin": "null"}),
        (True, {"host": "evil.example:2375", "origin": "http://evil.example:2375"}),
        (True, {"host": "evil.example"}),
        (True, {"host": "localhost.evil.example"}),
        (True, {}),
    ],
)
async def test_web_pages_are_refused(tcp: bool, headers: dict[str, str]) -> None:
    with pytest.raises(errors.PermissionDenied):
        await answer(request("GET", "/info", tcp=tcp, **headers))


@pytest.mark.parametrize(
    ("tcp", "headers"),
    [
        (False, {"host": "anything"}),
        (False, {}),
        (True, {"host": "localhost:2375"}),
        (True, {"host": "127.0.0.1"}),
        (True, {"host": "[::1]:2375"}),
        (True, {"host": "[::1]"}),
        (
            True,
            {"host": "localhost:2375", "origin": "http://localhost:2375", "sec_fetch_site": "same-origin"},
        ),
    ],
)
async def test_clients_are_served(tcp: bool, headers: dict[str, str]) -> None:
    assert await answer(request("GET", "/info", tcp=tcp, **headers))
