"""Files of containers (Docker's API, tag Container): archives in and out, changes, export, commit."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import msgspec

from sampan.api.message import TAR, Reply, Request, Response, Stream, json_response
from sampan.api.router import Route
from sampan.engine.archives import CommitRequest
from sampan.engine.schema import ContainerConfig

if TYPE_CHECKING:
    from sampan.engine.engine import Engine


async def stat(engine: Engine, request: Request) -> Reply:
    return Response(headers=_stat_header(await engine.archives.stat(request.name, _path(request))))


async def read(engine: Engine, request: Request) -> Reply:
    found, pieces = await engine.archives.read(request.name, _path(request))
    return Stream(pieces, TAR, headers=_stat_header(found))


async def write(engine: Engine, request: Request) -> Reply:
    await engine.archives.write(
        request.name,
        _path(request),
        request.body.file(),
        keeps_kinds=request.query.flag("noOverwriteDirNonDir"),
        owned_by_user=request.query.flag("copyUIDGID"),
    )
    return Response()


async def changes(engine: Engine, request: Request) -> Reply:
    return json_response(await engine.archives.changes(request.name))


async def export(engine: Engine, request: Request) -> Reply:
    return Stream(await engine.archives.export(request.name), TAR)


async def commit(engine: Engine, request: Request) -> Reply:
    query = request.query
    config = await request.json(ContainerConfig)
    asked = CommitRequest(
        repository=query.text("repo"),
        tag=query.text("tag"),
        author=query.text("author"),
        comment=query.text("comment"),
        changes=tuple(query.texts("changes")),
        pause=query.flag("pause") if query.text("pause") else True,
        config=None if config == ContainerConfig() else config,
    )
    return json_response({"Id": await engine.archives.commit(query.text("container"), asked)}, 201)


def _path(request: Request) -> str:
    return request.query.text("path")


def _stat_header(found: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return (("X-Docker-Container-Path-Stat", base64.b64encode(msgspec.json.encode(found)).decode()),)


ROUTES = (
    Route("HEAD", "/containers/{name}/archive", stat),
    Route("GET", "/containers/{name}/archive", read),
    Route("PUT", "/containers/{name}/archive", write),
    Route("GET", "/containers/{name}/changes", changes),
    Route("GET", "/containers/{name}/export", export),
    Route("POST", "/commit", commit),
)
