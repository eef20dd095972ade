"""Networks (Docker's API, tag Network)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan.api import gates
from sampan.api.message import Reply, Request, json_response
from sampan.api.router import Route

if TYPE_CHECKING:
    from sampan.engine.engine import Engine


async def list_all(engine: Engine, request: Request) -> Reply:
    networks = await engine.networks.list(request.query.filters())
    return json_response([gates.network(network, request.version) for network in networks])


async def inspect(engine: Engine, request: Request) -> Reply:
    return json_response(gates.network(await engine.networks.inspect(request.name), request.version))


ROUTES = (
    Route("GET", "/networks", list_all),
    Route("GET", "/networks/", list_all),
    Route("GET", "/networks/{name}", inspect),
)
