"""Networks (Docker's API, tag Network). There are the predefined ones, which nobody can remove."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan import errors
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


async def remove(engine: Engine, request: Request) -> Reply:
    name = (await engine.networks.inspect(request.name))["Name"]
    raise errors.PermissionDenied(f"{name} is a pre-defined network and cannot be removed")


async def prune(_engine: Engine, request: Request) -> Reply:
    request.query.filters()
    return json_response({"NetworksDeleted": None})


ROUTES = (
    Route("GET", "/networks", list_all),
    Route("GET", "/networks/", list_all),
    Route("GET", "/networks/{name}", inspect),
    Route("POST", "/networks/prune", prune),
    Route("DELETE", "/networks/{name}", remove),
)
