"""Bind mounts: what the host, or the caller by a descriptor, shows in the container."""

from __future__ import annotations

import os

from sampan.linux import files, mounts
from sampan.records import dataclass, replace
from sampan.runtime import confined
from sampan.runtime.gotext import go_error
from sampan.runtime.operations import Context
from sampan.runtime.operations.mounts import (
    WHOLE_TREE,
    attach,
    mount_failed,
    open_directory,
    refuse_below_procfs,
    remember,
)
from sampan.runtime.spec import Mount


@dataclass(frozen=True, slots=True)
class OpenSources:
    """Open the sources of all binds while the host's view is whole: later the root lies over some of them.

    So a source never leads through a path that a container could have prepared.
    """

    sources: tuple[tuple[int, Mount], ...]

    def describe(self) -> str:
        return f"open {' '.join(mount.source for _, mount in self.sources)}"

    def execute(self, context: Context) -> None:
        for number, mount in self.sources:
            if number in context.opened:  # by the parent: see `idmapped`
                continue
            if mount.destination in context.mount_sources:
                context.opened[number] = context.mount_sources[mount.destination]
                continue
            path = os.path.join(context.bundle, mount.source)
            flags = mounts.OPEN_TREE_CLONE | (files.AT_RECURSIVE if mount.options.recursive_bind else 0)
            try:
                context.opened[number] = mounts.open_tree(path, flags)
            except OSError as error:
                raise mount_failed(replace(mount, source=path), f"stat {path}: {go_error(error)}") from error


@dataclass(frozen=True, slots=True)
class BindMount:
    """Attach an opened source. `number` is its number there."""

    mount: Mount
    number: int
    stays_shared: bool  # without a word about propagation, keep what the source has

    def describe(self) -> str:
        kind = "rbind" if self.mount.options.recursive_bind else "bind"
        return f"{kind} {self.mount.source} on {self.mount.destination}"

    def execute(self, context: Context) -> None:
        mount, source = self.mount, context.opened[self.number]
        try:
            if confined.is_directory(source):
                target = open_directory(context, mount)
            else:
                target = context.root.make_file(mount.destination)
            try:
                self._attach(context, source, target)
            finally:
                os.close(target)
        except OSError as error:
            flags = mounts.MS_BIND | (mounts.MS_REC if mount.options.recursive_bind else 0)
            path = os.path.join(context.bundle, mount.source)
            why = f"mount {path}:{mount.destination}, flags: {flags:#x}: {go_error(error)}"
            raise mount_failed(replace(mount, source=path), why) from error

    def _attach(self, context: Context, source: int, target: int) -> None:
        mount = self.mount
        if mount.destination == "/proc":
            if mounts.filesystem_magic(source) != mounts.PROC_SUPER_MAGIC:
                raise mount_failed(mount, '"/proc" cannot be mounted because it is not of type proc')
        elif not mount.destination.startswith("/proc/"):  # of those the plan lets some files pass
            refuse_below_procfs(mount, target)
        if not mount.options.propagation and not self.stays_shared:
            # A clone of a shared mount is shared with the host: what the container mounts would show there.
            mounts.mount_setattr("", dir_fd=source, flags=WHOLE_TREE, propagation=mounts.MS_SLAVE)
        attach(source, target, mount)
        remember(context, mount, source)
