"""All containers of the engine, by id and by name.

Owns the two indexes and how a reference is resolved, which is Docker's way: full id, then name, then a
prefix of an id that fits only one. Lives on the event loop.
"""

from __future__ import annotations

from collections.abc import Iterator

from sampan import errors
from sampan.engine import names
from sampan.engine.container import Container


class Registry:
    """The containers that exist. A name is reserved before its container does."""

    def __init__(self) -> None:
        self._containers: dict[str, Container] = {}
        self._names: dict[str, str] = {}

    def __iter__(self) -> Iterator[Container]:
        return iter(tuple(self._containers.values()))

    def __len__(self) -> int:
        return len(self._containers)

    def resolve(self, reference: str) -> Container:
        """Raises NotFound in dockerd's words."""
        container = self.find(reference)
        if container is None:
            raise errors.NotFound(f"No such container: {reference}")
        return container

    def find(self, reference: str) -> Container | None:
        if reference in self._containers:
            return self._containers[reference]
        identifier = self._names.get(reference.removeprefix("/"))
        if identifier is not None and identifier in self._containers:
            return self._containers[identifier]
        if not reference:
            return None
        found = [container for key, container in self._containers.items() if key.startswith(reference)]
        if len(found) > 1:
            raise errors.InvalidArgument(f"Multiple IDs found with provided prefix: {reference}")
        return found[0] if found else None

    def reserve(self, name: str, identifier: str) -> str:
        """Take a name for a container, or a new one if `name` is empty. Raises Conflict."""
        if not name:
            name = names.generate(self._names)
        else:
            name = names.check(name)
        owner = self._names.setdefault(name, identifier)
        if owner != identifier:
            raise errors.Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{owner}". '
                "You have to remove (or rename) that container to be able to reuse that name."
            )
        return name

    def release(self, name: str, identifier: str) -> None:
        if self._names.get(name) == identifier:
            del self._names[name]

    def add(self, container: Container) -> None:
        """Add a container whose name is reserved."""
        self._containers[container.id] = container

    def discard(self, container: Container) -> None:
        self._containers.pop(container.id, None)
        self.release(container.name, container.id)
