"""Plugins (Docker's API, tag Plugin). There are none; `docker inspect NAME` asks all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan import errors
from sampan.api.message import Reply, Request, json_response
from sampan.api.router import Route

if TYPE_CHECKING:
    from sampan.engine.engine import Engine


async def list_all(_engine: Engine, request: Request) -> Reply:
    request.query.filters()
    return json_response([])


async def refuse_unknown(_engine: Engine, request: Request) -> Reply:
    raise errors.NotFound(f'plugin "{request.name}" not found')


ROUTES = (
    Route("GET", "/plugins", list_all),
    Route("GET", "/plugins/{name}/json", refuse_unknown),
)
