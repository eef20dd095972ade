"""Builds (Docker's API, tag Image). There is no build cache, which is what `docker system prune` hears."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan.api.message import Reply, Request, json_response
from sampan.api.router import Route

if TYPE_CHECKING:
    from sampan.engine.engine import Engine


async def prune(_engine: Engine, request: Request) -> Reply:
    request.query.filters()
    return json_response({"CachesDeleted": None, "SpaceReclaimed": 0})


ROUTES = (Route("POST", "/build/prune", prune),)
