"""System: ping, version, info, events, disk usage (Docker's API, tag System)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING

from sampan import errors
from sampan.api import versions
from sampan.api.message import TEXT, Reply, Request, Response, Stream, json_line, json_response
from sampan.api.router import Route

if TYPE_CHECKING:
    from sampan.engine.engine import Engine

_PING_HEADERS = (
    ("Builder-Version", "1"),
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache"),
    ("Swarm", "inactive"),
)


async def ping(_engine: Engine, _request: Request) -> Reply:
    return Response(body=b"OK", content_type=TEXT, headers=_PING_HEADERS)


async def ping_head(_engine: Engine, _request: Request) -> Reply:
    return Response(headers=(*_PING_HEADERS, ("Content-Type", TEXT)))


async def version(engine: Engine, _request: Request) -> Reply:
    return json_response(await engine.system.version())


async def info(engine: Engine, request: Request) -> Reply:
    return json_response(versions.info(await engine.system.info(), request.version))


async def disk_usage(engine: Engine, request: Request) -> Reply:
    return json_response(await engine.system.disk_usage())


async def events(engine: Engine, request: Request) -> Reply:
    query = request.query
    since, until = query.moment("since"), query.moment("until")
    if since is not None and until is not None and since > until:
        texts = query.text("since"), query.text("until")
        raise errors.InvalidArgument(f"`since` time ({texts[0]}) cannot be after `until` time ({texts[1]})")
    return Stream(_lines(engine.events.subscribe(since=since, until=until, filters=query.filters())))


async def _lines(documents: AsyncIterator[dict[str, object]]) -> AsyncGenerator[bytes, None]:
    async for document in documents:
        yield json_line(document)


ROUTES = (
    Route("GET", "/_ping", ping),
    Route("HEAD", "/_ping", ping_head),
    Route("GET", "/version", version),
    Route("GET", "/info", info),
    Route("GET", "/system/df", disk_usage),
    Route("GET", "/events", events),
)
