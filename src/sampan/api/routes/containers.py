"""Containers (Docker's API, tag Container)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any

from sampan import errors
from sampan.api import gates
from sampan.api.hijack import HijackedRequest, stream_type
from sampan.api.message import (
    HIJACKED,
    NO_CONTENT,
    Reply,
    Request,
    Response,
    Stream,
    json_line,
    json_response,
)
from sampan.api.router import Route
from sampan.engine.schema import ContainerCreate, HostConfig
from sampan.engine.streams import AttachOptions, LogOptions
from sampan.wire import attach as frames

if TYPE_CHECKING:
    from sampan.engine.engine import Engine


async def list_all(engine: Engine, request: Request) -> Reply:
    query = request.query
    containers = await engine.containers.list(
        all=query.flag("all"), limit=query.integer("limit"), size=query.flag("size"), filters=query.filters()
    )
    return json_response(gates.container_list(containers, request.version))


async def create(engine: Engine, request: Request) -> Reply:
    body = gates.container_create(await request.json(ContainerCreate, required=True), request.version)
    platform = request.query.text("platform") if request.at_least(1, 41) else ""
    return json_response(await engine.containers.create(request.query.text("name"), body, platform), 201)


async def inspect(engine: Engine, request: Request) -> Reply:
    container = await engine.containers.inspect(request.name, size=request.query.flag("size"))
    return json_response(gates.container(container, request.version))


async def top(engine: Engine, request: Request) -> Reply:
    return json_response(await engine.containers.top(request.name, request.query.text("ps_args")))


async def stats(engine: Engine, request: Request) -> Reply:
    query = request.query
    stream = query.flag("stream") if query.text("stream") else True
    one_shot = query.flag("one-shot")
    if stream and one_shot:
        raise errors.InvalidArgument("cannot have stream=true and one-shot=true")
    return Stream(
        _json_lines(engine.containers.stats(request.name, stream=stream, one_shot=one_shot)), lasting=stream
    )


async def _json_lines(documents: AsyncIterator[dict[str, Any]]) -> AsyncGenerator[bytes, None]:
    async for document in documents:
        yield json_line(document)


async def logs(engine: Engine, request: Request) -> Reply:
    query = request.query
    options = LogOptions(
        stdout=query.flag("stdout"),
        stderr=query.flag("stderr"),
        follow=query.flag("follow"),
        since=query.moment("since"),
        until=query.moment("until"),
        timestamps=query.flag("timestamps"),
        details=query.flag("details"),
        tail=_tail(query.text("tail")),
    )
    if not (options.stdout or options.stderr):
        raise errors.InvalidArgument("Bad parameters: you must choose at least one stream")
    tty, entries = await engine.containers.logs(request.name, options)
    return Stream(_log_stream(tty, entries), stream_type(request.version, tty=tty), options.follow)


async def _log_stream(tty: bool, entries: AsyncIterator[tuple[int, bytes]]) -> AsyncGenerator[bytes, None]:
    async for stream, line in entries:
        yield line if tty else frames.encode(stream, line)


def _tail(text: str) -> int | None:
    """`tail`: a number of lines; anything else (and a negative number) means all, as with dockerd."""
    return int(text) if text.isascii() and text.isdigit() else None


async def start(engine: Engine, request: Request) -> Reply:
    await engine.containers.start(request.name, request.query.text("detachKeys"))
    return NO_CONTENT


async def stop(engine: Engine, request: Request) -> Reply:
    signal = request.query.text("signal") if request.at_least(1, 42) else ""
    await engine.containers.stop(request.name, signal=signal, timeout=request.query.optional_integer("t"))
    return NO_CONTENT


async def restart(engine: Engine, request: Request) -> Reply:
    signal = request.query.text("signal") if request.at_least(1, 42) else ""
    await engine.containers.restart(request.name, signal=signal, timeout=request.query.optional_integer("t"))
    return NO_CONTENT


async def kill(engine: Engine, request: Request) -> Reply:
    await engine.containers.kill(request.name, request.query.text("signal"))
    return NO_CONTENT


async def rename(engine: Engine, request: Request) -> Reply:
    await engine.containers.rename(request.name, request.query.text("name"))
    return NO_CONTENT


async def update(engine: Engine, request: Request) -> Reply:
    changes = await request.json(HostConfig, required=True)
    return json_response(await engine.containers.update(request.name, changes))


async def pause(engine: Engine, request: Request) -> Reply:
    await engine.containers.pause(request.name)
    return NO_CONTENT


async def unpause(engine: Engine, request: Request) -> Reply:
    await engine.containers.unpause(request.name)
    return NO_CONTENT


async def resize(engine: Engine, request: Request) -> Reply:
    height, width = request.query.required_integer("h"), request.query.required_integer("w")
    await engine.containers.resize(request.name, height, width)
    return Response()


async def remove(engine: Engine, request: Request) -> Reply:
    query = request.query
    await engine.containers.remove(
        request.name, force=query.flag("force"), volumes=query.flag("v"), link=query.flag("link")
    )
    return NO_CONTENT


async def prune(engine: Engine, request: Request) -> Reply:
    return json_response(await engine.containers.prune(request.query.filters()))


async def wait(engine: Engine, request: Request) -> Reply:
    """The headers go out at once, which tells `docker run` that it may start the container; the body at the
    end.
    """
    condition = request.query.text("condition") if request.at_least(1, 30) else ""
    return Stream(_exit_status(await engine.containers.wait(request.name, condition)), lasting=True)


async def _exit_status(future: asyncio.Future[dict[str, object]]) -> AsyncGenerator[bytes, None]:
    yield json_line(await future)


async def attach(engine: Engine, request: Request) -> Reply:
    query = request.query
    options = AttachOptions(
        stdin=query.flag("stdin"),
        stdout=query.flag("stdout"),
        stderr=query.flag("stderr"),
        stream=query.flag("stream"),
        logs=query.flag("logs"),
        detach_keys=query.text("detachKeys"),
    )
    client = HijackedRequest(request)
    await client.run(engine.containers.attach(request.name, options, client))
    return HIJACKED


ROUTES = (
    Route("GET", "/containers/json", list_all),
    Route("POST", "/containers/create", create),
    Route("POST", "/containers/prune", prune),
    Route("GET", "/containers/{name}/json", inspect),
    Route("GET", "/containers/{name}/top", top),
    Route("GET", "/containers/{name}/logs", logs),
    Route("GET", "/containers/{name}/stats", stats),
    Route("POST", "/containers/{name}/start", start),
    Route("POST", "/containers/{name}/stop", stop),
    Route("POST", "/containers/{name}/update", update),
    Route("POST", "/containers/{name}/restart", restart),
    Route("POST", "/containers/{name}/kill", kill),
    Route("POST", "/containers/{name}/rename", rename),
    Route("POST", "/containers/{name}/pause", pause),
    Route("POST", "/containers/{name}/unpause", unpause),
    Route("POST", "/containers/{name}/resize", resize),
    Route("POST", "/containers/{name}/wait", wait),
    Route("POST", "/containers/{name}/attach", attach),
    Route("DELETE", "/containers/{name}", remove),
)
