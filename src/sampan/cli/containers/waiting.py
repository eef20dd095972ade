"""Waiting for the end of a container: asked for before it starts, answered when it ends."""

from __future__ import annotations

from sampan.cli.engine import Engine, container
from sampan.cli.failure import Failure
from sampan.wire.jsontext import decode


class ExitWaiter:
    """A wait request on a connection of its own. Made when the engine has confirmed that it waits.

    `condition` is the API's: "next-exit", "removed", or "" for now or when it stops.
    """

    def __init__(self, engine: Engine, identifier: str, condition: str) -> None:
        target = engine.target(container(identifier) + "/wait", {"condition": condition})
        self.connection = engine.connect()
        self.response = self.connection.request("POST", target, engine.headers(), b"")
        if self.response.status >= 400:
            raise engine.failure(self.response)

    def result(self) -> int:
        """The exit code; 125 when the engine lost track of the container."""
        try:
            document = decode(self.response.read())
        except (Failure, ValueError, OSError):
            return 125
        if not isinstance(document, dict) or document.get("Error"):
            return 125
        code = document.get("StatusCode", 125)
        return code if isinstance(code, int) else 125
