"""From method and path to a handler: version prefix, exact and named routes, Docker's errors for the rest.

Owns the table's lookup alone; the table is made of the `ROUTES` of the modules in `sampan.api.routes`. A
pattern has at most one `{name}`, which may hold slashes (image names do), as in moby's router: it is whatever
stands between the pattern's fixed beginning and end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from sampan.api import origin, versions
from sampan.api.message import Reply, Request, Response
from sampan.api.status import PageNotFound
from sampan.records import dataclass

if TYPE_CHECKING:
    from sampan.engine.engine import Engine

Handler = Callable[["Engine", Request], Awaitable[Reply]]

_VERSION_CHARACTERS = frozenset("0123456789.")


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table. `since` is the API version that introduced the route."""

    method: str
    pattern: str
    handler: Handler
    since: versions.Version = versions.MINIMUM


@dataclass(frozen=True, slots=True)
class _Named:
    prefix: str
    suffix: str
    route: Route

    def match(self, path: str) -> str | None:
        """The `{name}` in `path`; None when the pattern does not fit."""
        end = len(path) - len(self.suffix)
        if end > len(self.prefix) and path.startswith(self.prefix) and path.endswith(self.suffix):
            return path[len(self.prefix) : end]
        return None


class Router:
    """The table of routes. A named route that was listed earlier wins, so `/a/{name}/json` stands before
    `/a/{name}`.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[tuple[str, str], Route] = {}
        self._named: dict[tuple[str, str], list[_Named]] = {}
        for route in routes:
            prefix, brace, rest = route.pattern.partition("{name}")
            if not brace:
                self._exact[route.method, route.pattern] = route
                continue
            key = (route.method, _first_segment(prefix))
            self._named.setdefault(key, []).append(_Named(prefix, rest, route))

    async def dispatch(self, engine: Engine, request: Request) -> Reply:
        """Answer `request`. Raises PageNotFound and what the handler raises."""
        origin.check(request)
        clean = _clean(request.path)
        if clean != request.path:
            return Response(301, headers=(("Location", clean),))
        label, request.path = _split_version(request.path)
        if label:
            request.version = versions.parse(label)
        if request.method == "OPTIONS":
            return Response()
        handler = self._find(request)
        request.query.parse()
        return await handler(engine, request)

    def _find(self, request: Request) -> Handler:
        """The handler of a request; fills in its name."""
        route = self._exact.get((request.method, request.path))
        if route is None:
            for named in self._named.get((request.method, _first_segment(request.path)), ()):
                name = named.match(request.path)
                if name is not None:
                    route, request.name = named.route, name
                    break
        if route is None or request.version < route.since:
            raise PageNotFound
        return route.handler


def _first_segment(path: str) -> str:
    return path.split("/", 2)[1]


def _split_version(path: str) -> tuple[str, str]:
    """`/v1.41/info` as ("1.41", "/info"); no label when the path does not begin with a version."""
    if path.startswith("/v"):
        label, slash, rest = path[2:].partition("/")
        if slash and label and _VERSION_CHARACTERS.issuperset(label):
            return label, slash + rest
    return "", path


def _clean(path: str) -> str:
    """`path` without empty and dot segments, as Go's mux redirects to it."""
    if "//" not in path and "/." not in path and path.startswith("/"):
        return path
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    tail = "/" if path.endswith("/") and segments else ""
    return "/" + "/".join(segments) + tail
