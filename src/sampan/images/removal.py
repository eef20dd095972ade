"""`docker rmi` and `docker image prune`: what goes, what stays, and in which words it is refused.

Owns Docker's rules (moby, daemon/images/image_delete.go): a name is removed before an image; an image goes
with its last name; running containers and child images forbid it, stopped containers and several names forbid
it unless it is forced. Told by callbacks who uses an image and how to remove layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sampan import errors
from sampan.images.catalog import Catalog, ImageRow
from sampan.wire import digest as digests
from sampan.wire import reference

Records = list[dict[str, Any]]
InUse = Callable[[str], Sequence[tuple[str, bool]]]


class _InUse(errors.Conflict):
    """A container is what stands in the way."""


class Removal:
    """One removal. `records` is what it has done so far, in Docker's shape."""

    def __init__(
        self,
        catalog: Catalog,
        remove_image: Callable[[ImageRow], Sequence[str]],
        notify: Callable[[str, str, str], None],
        in_use: InUse,
    ) -> None:
        """`remove_image` removes the image and returns the chain ids of the layers that went with it."""
        self._catalog = catalog
        self._remove_image = remove_image
        self._notify = notify
        self._in_use = in_use
        self.records: Records = []

    def remove(self, image: ImageRow, text: str, *, force: bool, prune: bool) -> None:
        """Remove what `text`, which led to the image, stands for: a name or the image."""
        names = self._catalog.names(image.id)
        if _is_id(image.id, text):
            if _is_single(names):
                self._check(image.id, soft=not force, names=False)
                for name in names:
                    self._untag(image.id, name)
            self._remove(image, force=force, prune=prune, quiet=False)
            return
        if not force and _is_single(names):
            self._check_unused(image.id, text)
        if self._remove_name(image.id, reference.parse(text).with_default_tag()):
            self._remove(image, force=force, prune=prune, quiet=True)

    def _check_unused(self, image_id: str, text: str) -> None:
        for container_id, _ in self._in_use(image_id):
            # Without its name the image would dangle while a container needs it.
            raise errors.Conflict(
                f'conflict: unable to remove repository reference "{text}" (must force) - container'
                f" {digests.short(container_id)} is using its referenced image {digests.short(image_id)}"
            )

    def _remove_name(self, image_id: str, name: reference.Reference) -> bool:
        """Take a name away, and its repository's digests with its last tag; True if no name is left."""
        stored = f"{name.name}@{name.digest}" if name.digest else str(name)
        self._untag(image_id, stored)
        names = self._catalog.names(image_id)
        if not name.digest:
            here = [one for one in names if reference.parse(one).name == name.name]
            if all(reference.parse(one).digest for one in here):
                for one in here:
                    self._untag(image_id, one)
                names = self._catalog.names(image_id)
        return not names

    def _untag(self, image_id: str, name: str) -> None:
        self._catalog.remove_name(name)
        self.records.append({"Untagged": reference.parse(name).familiar})
        self._notify("untag", image_id, image_id)

    def _remove(self, image: ImageRow | None, *, force: bool, prune: bool, quiet: bool) -> None:
        """Remove the image, and with `prune` its parents as far as nothing else needs them."""
        while image is not None:
            try:
                self._check(image.id, soft=not force, names=True)
            except errors.Conflict as conflict:
                # A name was removed, which was asked for; that the image stays is only worth an error when it
                # then dangles without a container that uses it.
                if quiet and (self._catalog.names(image.id) or isinstance(conflict, _InUse)):
                    return
                raise
            for name in self._catalog.names(image.id):
                self._untag(image.id, name)
            removed = self._remove_image(image)
            self._notify("delete", image.id, image.id)
            self.records.append({"Deleted": image.id})
            self.records += [{"Deleted": chain_id} for chain_id in removed]
            image = self._catalog.image(image.parent) if prune and image.parent else None
            force, quiet = False, True

    def _check(self, image_id: str, *, soft: bool, names: bool) -> None:
        """Raise what forbids the removal; `soft` conflicts are those that force overcomes."""
        if self._catalog.children(image_id):
            raise _conflict(image_id, "cannot be forced", "image has dependent child images")
        containers = self._in_use(image_id)
        for container_id, running in containers:
            if running:
                what = f"image is being used by running container {digests.short(container_id)}"
                raise _conflict(image_id, "cannot be forced", what, _InUse)
        if not soft:
            return
        if names and self._catalog.names(image_id):
            raise _conflict(image_id, "must be forced", "image is referenced in multiple repositories")
        for container_id, _ in containers:
            what = f"image is being used by stopped container {digests.short(container_id)}"
            raise _conflict(image_id, "must be forced", what, _InUse)


def _conflict(
    image_id: str, how: str, why: str, kind: type[errors.Conflict] = errors.Conflict
) -> errors.Conflict:
    return kind(f"conflict: unable to delete {digests.short(image_id)} ({how}) - {why}")


def _is_id(image_id: str, text: str) -> bool:
    return image_id.startswith(text) or image_id.removeprefix(digests.PREFIX).startswith(text)


def _is_single(names: list[str]) -> bool:
    """Tell whether an image has one name at most, digests of the same repository not counted."""
    if len(names) <= 1:
        return True
    parsed = [reference.parse(name) for name in names]
    tags = [one for one in parsed if not one.digest]
    if len(tags) > 1:
        return False
    repositories = {one.name for one in parsed if one.digest}
    return repositories == {(tags or parsed)[0].name}
