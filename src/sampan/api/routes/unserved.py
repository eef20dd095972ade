"""Routes of Docker's API that Sampan does not serve yet: 501 and a sentence that names the feature, never
404.

A client can then tell "this engine cannot do it" from "there is no such thing". A route leaves this table
when its module serves it.
"""

from __future__ import annotations

from sampan import errors
from sampan.api.message import Reply, Request
from sampan.api.router import Handler, Route

_FEATURES = {
    "attach to containers through WebSocket": "GET /containers/{name}/attach/ws",
    "push images": "POST /images/{name}/push",
    "search registries": "GET /images/search",
    "show attestations of images": "GET /images/{name}/attestations",
    "build images": "POST /build, POST /build/cancel, POST /session, POST /grpc",
    "ask registries about images": "GET /distribution/{name}/json",
    "update volumes of a cluster": "PUT /volumes/{name}",
    "run plugins": (
        "GET /plugins/privileges, POST /plugins/pull, DELETE /plugins/{name}, "
        "POST /plugins/{name}/enable, POST /plugins/{name}/disable, POST /plugins/{name}/upgrade, "
        "POST /plugins/create, POST /plugins/{name}/push, POST /plugins/{name}/set"
    ),
    "join a swarm": (
        "GET /swarm, POST /swarm/init, POST /swarm/join, POST /swarm/leave, POST /swarm/update, "
        "GET /swarm/unlockkey, POST /swarm/unlock, "
        "GET /nodes, GET /nodes/{name}, DELETE /nodes/{name}, POST /nodes/{name}/update, "
        "GET /services, POST /services/create, GET /services/{name}/logs, GET /services/{name}, "
        "DELETE /services/{name}, POST /services/{name}/update, "
        "GET /tasks, GET /tasks/{name}/logs, GET /tasks/{name}, "
        "GET /secrets, POST /secrets/create, GET /secrets/{name}, DELETE /secrets/{name}, "
        "POST /secrets/{name}/update, "
        "GET /configs, POST /configs/create, GET /configs/{name}, DELETE /configs/{name}, "
        "POST /configs/{name}/update"
    ),
}


def _refuse(feature: str) -> Handler:
    async def handler(_engine: object, _request: Request) -> Reply:
        raise errors.NotImplementedYet(f"sampan does not {feature} yet")

    return handler


def _routes() -> tuple[Route, ...]:
    lines = ((feature, line.split()) for feature, text in _FEATURES.items() for line in text.split(", "))
    return tuple(Route(method, pattern, _refuse(feature)) for feature, (method, pattern) in lines)


ROUTES = _routes()
