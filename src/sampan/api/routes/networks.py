"""Networks (Docker's API, tag Network)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan.api import gates
from sampan.api.message import NO_CONTENT, Reply, Request, Response, json_response
from sampan.api.router import Route
from sampan.engine.schema import NetworkConnect, NetworkCreate, NetworkDisconnect

if TYPE_CHECKING:
    from sampan.engine.engine import Engine


async def list_all(engine: Engine, request: Request) -> Reply:
    networks = await engine.networks.list(request.query.filters())
    return json_response([gates.network(network, request.version) for network in networks])


async def inspect(engine: Engine, request: Request) -> Reply:
    return json_response(gates.network(await engine.networks.inspect(request.name), request.version))


async def create(engine: Engine, request: Request) -> Reply:
    return json_response(await engine.networks.create(await request.json(NetworkCreate, required=True)), 201)


async def connect(engine: Engine, request: Request) -> Reply:
    await engine.networks.connect(request.name, await request.json(NetworkConnect, required=True))
    return Response()


async def disconnect(engine: Engine, request: Request) -> Reply:
    await engine.networks.disconnect(request.name, await request.json(NetworkDisconnect, required=True))
    return Response()


async def remove(engine: Engine, request: Request) -> Reply:
    await engine.networks.remove(request.name)
    return NO_CONTENT


async def prune(engine: Engine, request: Request) -> Reply:
    return json_response(await engine.networks.prune(request.query.filters()))


ROUTES = (
    Route("GET", "/networks", list_all),
    Route("GET", "/networks/", list_all),
    Route("GET", "/networks/{name}", inspect),
    Route("POST", "/networks/create", create),
    Route("POST", "/networks/prune", prune),
    Route("POST", "/networks/{name}/connect", connect),
    Route("POST", "/networks/{name}/disconnect", disconnect),
    Route("DELETE", "/networks/{name}", remove),
)
