"""The same request for several containers at once, as `stop a b c` needs it: three times ten seconds are ten.

Owns the order of the results (that of the arguments) and the collection of errors.
"""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.failure import ConnectFailure, EngineFailure, Failure
from sampan.cli.http import Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

AT_ONCE = 50


def request_each(
    context: Context,
    names: Sequence[str],
    method: str,
    path: Callable[[str], str],
    parameters: Mapping[str, object] | None = None,
    tolerate: Callable[[EngineFailure], bool] | None = None,
) -> int:
    """Send a request for each name, on a connection each, and print each name when it is done.

    `tolerate` may take an error for a warning. The errors of all others are raised together at the end.
    """
    engine = context.engine
    if len(names) > 1:
        engine.negotiate()
    failures: list[str] = []
    for start in range(0, len(names), AT_ONCE):
        batch = names[start : start + AT_ONCE]
        connections: list[Connection | Failure | None] = []
        for name in batch:
            try:
                connections.append(
                    _begin(context, method, path(name), parameters) if len(batch) > 1 else None
                )
            except ConnectFailure:
                raise
            except Failure as failure:
                connections.append(failure)
        for name, connection in zip(batch, connections, strict=True):
            try:
                if isinstance(connection, Failure):
                    raise connection
                _finish(context, connection, method, path(name), parameters)
                context.line(name)
            except EngineFailure as failure:
                if tolerate is not None and tolerate(failure):
                    context.error(failure.message)
                else:
                    failures.append(failure.message)
            except Failure as failure:
                if isinstance(failure, ConnectFailure):
                    raise
                failures.append(failure.message)
    if failures:
        raise Failure("\n".join(failures))
    return 0


def _begin(context: Context, method: str, path: str, parameters: Mapping[str, object] | None) -> Connection:
    """Send the request without waiting for its answer."""
    engine = context.engine
    connection = engine.connect()
    lines = [f"{method} {engine.target(path, parameters)} HTTP/1.1", *engine.headers(), "Content-Length: 0"]
    connection.send("\r\n".join(lines).encode() + b"\r\n\r\n")
    return connection


def _finish(
    context: Context,
    connection: Connection | None,
    method: str,
    path: str,
    parameters: Mapping[str, object] | None,
) -> None:
    if connection is None:
        context.engine.call(method, path, parameters)
        return
    response = connection.read_head()
    if response.status >= 400:
        raise context.engine.failure(response)
