"""Networks, as the API asks for them: the predefined three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sampan.engine.services import Services

Document = dict[str, Any]


class Networks:
    """The API's tag Network."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def list(self, filters: Mapping[str, Sequence[str]]) -> list[Document]:
        return self._services.network.list(filters, self._names())

    async def inspect(self, reference: str) -> Document:
        return self._services.network.inspect(reference, self._names())

    def _names(self) -> dict[str, str]:
        return {container.id: container.name for container in self._services.registry}
