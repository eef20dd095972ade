"""Volumes (Docker's API, tag Volume). There are none yet, which is what these routes say.

`docker inspect NAME` and `docker system df` ask for volumes among other things, so "none" must not be an
error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan import errors
from sampan.api.message import Reply, Request, json_response
from sampan.api.router import Route

if TYPE_CHECKING:
    from sampan.engine.engine import Engine


async def list_all(_engine: Engine, request: Request) -> Reply:
    request.query.filters()  # a broken filter is refused all the same
    return json_response({"Volumes": [], "Warnings": None})


async def refuse_unknown(_engine: Engine, request: Request) -> Reply:
    raise errors.NotFound(f"get {request.name}: no such volume")


async def prune(_engine: Engine, request: Request) -> Reply:
    request.query.filters()
    return json_response({"VolumesDeleted": None, "SpaceReclaimed": 0})


ROUTES = (
    Route("GET", "/volumes", list_all),
    Route("POST", "/volumes/prune", prune),
    Route("GET", "/volumes/{name}", refuse_unknown),
    Route("DELETE", "/volumes/{name}", refuse_unknown),
)
