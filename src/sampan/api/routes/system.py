"""System: ping, version, info, events, disk usage, auth (Docker's API, tag System)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan.api.message import TEXT, Reply, Request, Response, json_response
from sampan.api.router import Route

if TYPE_CHECKING:
    from sampan.engine.engine import Engine

_PING_HEADERS = (
    ("Builder-Version", "1"),
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache"),
    ("Swarm", "inactive"),
)


async def ping(engine: Engine, request: Request) -> Reply:
    return Response(body=b"OK", content_type=TEXT, headers=_PING_HEADERS)


async def ping_head(engine: Engine, request: Request) -> Reply:
    return Response(content_type=TEXT, headers=(*_PING_HEADERS, ("Content-Type", TEXT)))


async def version(engine: Engine, request: Request) -> Reply:
    return json_response(engine.system.version())


ROUTES = (
    Route("GET", "/_ping", ping),
    Route("HEAD", "/_ping", ping_head),
    Route("GET", "/version", version),
)
