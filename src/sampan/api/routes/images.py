"""Images (Docker's API, tag Image)."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING

import msgspec

from sampan import errors
from sampan.api import gates, status
from sampan.api.message import TAR, Reply, Request, Response, Stream, json_response
from sampan.api.router import Route
from sampan.registry.credentials import parse_header

if TYPE_CHECKING:
    from sampan.engine.engine import Engine

_log = logging.getLogger("sampan.api")


async def list_all(engine: Engine, request: Request) -> Reply:
    query = request.query
    images = await engine.images.list(all=query.flag("all"), filters=query.filters())
    return json_response(gates.image_list(images, request.version))


async def create(engine: Engine, request: Request) -> Reply:
    """Pull (`fromImage`) or import (`fromSrc`)."""
    query = request.query
    if query.text("fromImage"):
        credentials = parse_header(request.headers.get("x-registry-auth", ""))
        pull = await engine.images.pull(
            query.text("fromImage"), query.text("tag"), query.text("platform"), credentials
        )
        return Stream(_progress(pull.lines))
    source = query.text("fromSrc")
    if not source:
        raise errors.InvalidArgument("one of fromImage and fromSrc is needed")
    if source != "-":
        raise errors.Unsupported(f"importing from a URL is not supported ({source})")
    identifier = await engine.images.import_tar(
        request.body.file(),
        repository=query.text("repo"),
        tag=query.text("tag"),
        message=query.text("message"),
        changes=list(query.texts("changes")),
        platform=query.text("platform"),
    )
    return Stream(_progress(_one({"status": identifier})))


async def load(engine: Engine, request: Request) -> Reply:
    """From here on errors are lines of the stream: the archive is read while progress is told."""
    return Stream(_progress(engine.images.load(request.body.file(), quiet=request.query.flag("quiet"))))


async def _one(line: dict[str, object]) -> AsyncIterator[dict[str, object]]:
    yield line


async def _progress(lines: AsyncIterator[dict[str, object]]) -> AsyncGenerator[bytes, None]:
    """Progress as Docker streams it: one object a line, the error last."""
    try:
        async for line in lines:
            yield msgspec.json.encode(line) + b"\r\n"
    except (errors.SampanError, OSError) as error:
        text = status.message(error)
        _log.error("images: %s", text)
        yield msgspec.json.encode({"errorDetail": {"message": text}, "error": text}) + b"\r\n"


async def save_one(engine: Engine, request: Request) -> Reply:
    return Stream(await engine.images.save([request.name]), TAR)


async def save(engine: Engine, request: Request) -> Reply:
    return Stream(await engine.images.save(list(request.query.texts("names"))), TAR)


async def inspect(engine: Engine, request: Request) -> Reply:
    legacy = request.version < gates.LEGACY_IMAGE_BEFORE
    image = await engine.images.inspect(request.name, legacy=legacy)
    return json_response(gates.image(image, request.version))


async def history(engine: Engine, request: Request) -> Reply:
    return json_response(await engine.images.history(request.name))


async def tag(engine: Engine, request: Request) -> Reply:
    await engine.images.tag(request.name, request.query.text("repo"), request.query.text("tag"))
    return Response(201)


async def remove(engine: Engine, request: Request) -> Reply:
    query = request.query
    return json_response(
        await engine.images.remove(request.name, force=query.flag("force"), noprune=query.flag("noprune"))
    )


async def prune(engine: Engine, request: Request) -> Reply:
    return json_response(await engine.images.prune(request.query.filters()))


ROUTES = (
    Route("GET", "/images/json", list_all),
    Route("GET", "/images/get", save),
    Route("POST", "/images/create", create),
    Route("POST", "/images/load", load),
    Route("POST", "/images/prune", prune),
    Route("GET", "/images/{name}/json", inspect),
    Route("GET", "/images/{name}/history", history),
    Route("GET", "/images/{name}/get", save_one),
    Route("POST", "/images/{name}/tag", tag),
    Route("DELETE", "/images/{name}", remove),
)
