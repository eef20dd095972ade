"""Volumes (Docker's API, tag Volume)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan import errors
from sampan.api.message import NO_CONTENT, Reply, Request, json_response
from sampan.api.router import Route
from sampan.engine.schema import VolumeCreate

if TYPE_CHECKING:
    from sampan.engine.engine import Engine


async def list_all(engine: Engine, request: Request) -> Reply:
    return json_response(engine.volumes.listed(request.query.filters()))


async def create(engine: Engine, request: Request) -> Reply:
    body = await request.json(VolumeCreate)
    if body.cluster_volume_spec is not None:
        raise errors.Unsupported("volumes of a cluster are not supported yet (ClusterVolumeSpec)")
    document = await engine.volumes.create(body.name, body.driver, body.driver_opts, body.labels)
    return json_response(document, 201)


async def inspect(engine: Engine, request: Request) -> Reply:
    return json_response(engine.volumes.inspect(request.name))


async def remove(engine: Engine, request: Request) -> Reply:
    await engine.volumes.remove(request.name, force=request.query.flag("force"))
    return NO_CONTENT


async def prune(engine: Engine, request: Request) -> Reply:
    filters = request.query.filters()
    return json_response(await engine.volumes.prune(filters, all_by_default=not request.at_least(1, 42)))


ROUTES = (
    Route("GET", "/volumes", list_all),
    Route("POST", "/volumes/create", create),
    Route("POST", "/volumes/prune", prune),
    Route("GET", "/volumes/{name}", inspect),
    Route("DELETE", "/volumes/{name}", remove),
)
