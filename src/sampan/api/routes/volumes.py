"""Volumes (Docker's API, tag Volume): there are none yet, and clients such as `docker system df` list
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan.api.message import Reply, Request, json_response
from sampan.api.router import Route

if TYPE_CHECKING:
    from sampan.engine.engine import Engine


async def list_all(_engine: Engine, request: Request) -> Reply:
    request.query.filters()  # a broken filter is refused all the same
    return json_response({"Volumes": [], "Warnings": None})


ROUTES = (Route("GET", "/volumes", list_all),)
