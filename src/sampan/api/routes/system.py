"""System: ping, version, info, events, disk usage (Docker's API, tag System)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING

from sampan import errors
from sampan.api import gates, versions
from sampan.api.message import TEXT, Reply, Request, Response, Stream, json_line, json_response
from sampan.api.router import Route
from sampan.api.versions import Version
from sampan.registry.credentials import from_document

if TYPE_CHECKING:
    from sampan.engine.engine import Engine

_PING_HEADERS = (
    ("Builder-Version", "1"),
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache"),
    ("Swarm", "inactive"),
)

_DISK_USAGE_TYPES = ("container", "image", "volume", "build-cache")


async def ping(_engine: Engine, _request: Request) -> Reply:
    return Response(body=b"OK", content_type=TEXT, headers=_PING_HEADERS)


async def ping_head(_engine: Engine, _request: Request) -> Reply:
    return Response(headers=(*_PING_HEADERS, ("Content-Type", TEXT)))


async def version(engine: Engine, _request: Request) -> Reply:
    """Which API versions there are is known here, the rest by the engine."""
    served = {"ApiVersion": versions.text(versions.MAXIMUM), "MinAPIVersion": versions.text(versions.MINIMUM)}
    document = await engine.system.version() | served
    for component in document["Components"]:
        component["Details"] |= {"ApiVersion": served["ApiVersion"], "MinAPIVersion": served["MinAPIVersion"]}
    return json_response(document)


async def info(engine: Engine, request: Request) -> Reply:
    return json_response(gates.info(await engine.system.info(), request.version))


async def disk_usage(engine: Engine, request: Request) -> Reply:
    query = request.query
    asked = query.texts("type") if request.at_least(1, 42) else ()
    if unknown := [kind for kind in asked if kind not in _DISK_USAGE_TYPES]:
        raise errors.InvalidArgument(f"unknown object type: {unknown[0]}")
    usage = await engine.system.disk_usage()
    verbose = query.flag("verbose")
    return json_response(
        gates.disk_usage(usage, request.version, types=asked or _DISK_USAGE_TYPES, verbose=verbose)
    )


async def events(engine: Engine, request: Request) -> Reply:
    query = request.query
    since, until = query.moment("since"), query.moment("until")
    if since is not None and until is not None and since > until:
        texts = query.text("since"), query.text("until")
        raise errors.InvalidArgument(f"`since` time ({texts[0]}) cannot be after `until` time ({texts[1]})")
    documents = engine.events.subscribe(since=since, until=until, filters=query.filters())
    return Stream(_lines(documents, request.version), lasting=True)


async def _lines(documents: AsyncIterator[gates.Document], version: Version) -> AsyncGenerator[bytes, None]:
    async for document in documents:
        yield json_line(gates.event(document, version))


async def login(engine: Engine, request: Request) -> Reply:
    """`docker login`: whether a registry takes the credentials. They are not kept."""
    document = await request.json(dict, required=True)
    credentials = from_document(document)
    await engine.images.login(credentials, str(document.get("serveraddress") or ""))
    return json_response({"Status": "Login Succeeded", "IdentityToken": ""})


ROUTES = (
    Route("POST", "/auth", login),
    Route("GET", "/_ping", ping),
    Route("HEAD", "/_ping", ping_head),
    Route("GET", "/version", version),
    Route("GET", "/info", info),
    Route("GET", "/system/df", disk_usage),
    Route("GET", "/events", events),
)
