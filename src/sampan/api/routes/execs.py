"""Processes started in running containers (Docker's API, tag Exec)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan.api.hijack import HijackedRequest
from sampan.api.message import HIJACKED, Reply, Request, Response, json_response
from sampan.api.router import Route
from sampan.engine.schema import ExecCreate, ExecStart

if TYPE_CHECKING:
    from sampan.engine.engine import Engine


async def create(engine: Engine, request: Request) -> Reply:
    body = await request.json(ExecCreate)
    return json_response(await engine.execs.create(request.name, body), 201)


async def start(engine: Engine, request: Request) -> Reply:
    body = await request.json(ExecStart)
    if body.detach:
        await engine.execs.start(request.name, body, None)
        return Response()
    client = HijackedRequest(request)
    await client.run(engine.execs.start(request.name, body, client))
    return HIJACKED


async def resize(engine: Engine, request: Request) -> Reply:
    height, width = request.query.required_integer("h"), request.query.required_integer("w")
    await engine.execs.resize(request.name, height, width)
    return Response()


async def inspect(engine: Engine, request: Request) -> Reply:
    return json_response(await engine.execs.inspect(request.name))


ROUTES = (
    Route("POST", "/containers/{name}/exec", create),
    Route("POST", "/exec/{name}/start", start),
    Route("POST", "/exec/{name}/resize", resize),
    Route("GET", "/exec/{name}/json", inspect),
)
