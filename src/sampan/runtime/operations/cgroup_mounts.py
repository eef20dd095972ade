"""/sys/fs/cgroup inside the container: its own cgroup, as the host's hierarchy shows it."""

from __future__ import annotations

import os

from sampan.linux import mounts
from sampan.records import dataclass, replace
from sampan.runtime.cgroups import CgroupView
from sampan.runtime.gotext import go_error
from sampan.runtime.operations import Context
from sampan.runtime.operations.mounts import (
    attach,
    attach_over,
    make_filesystem,
    mount_failed,
    set_attributes,
    set_read_only,
)
from sampan.runtime.spec import Attributes, Mount, MountOptions

_SAFE = mounts.MOUNT_ATTR_NOSUID | mounts.MOUNT_ATTR_NODEV | mounts.MOUNT_ATTR_NOEXEC


@dataclass(frozen=True, slots=True)
class MountCgroup:
    """`namespaced`: there is a cgroup namespace, so a new mount shows its own cgroup as the root."""

    mount: Mount
    view: CgroupView
    namespaced: bool

    def describe(self) -> str:
        return f"mount cgroup v{self.view.version} on {self.mount.destination}"

    def execute(self, context: Context) -> None:
        try:
            target = context.root.make_directory(self.mount.destination)
            try:
                if self.view.version == 2:
                    self._mount_unified(target)
                else:
                    self._mount_controllers(target)
            finally:
                os.close(target)
        except OSError as error:
            raise mount_failed(self.mount, f"mount cgroup: {go_error(error)}") from error

    def _mount_unified(self, target: int) -> None:
        options = replace(self.mount.options, data=())
        mount = replace(self.mount, type="cgroup2", source="cgroup", options=options)
        detached = make_filesystem(mount, ())
        try:
            attach(detached, target, mount)
        finally:
            os.close(detached)

    def _mount_controllers(self, target: int) -> None:
        """cgroup v1: a tmpfs with a folder for each hierarchy, and a link for each controller that shares
        one.
        """
        writable = MountOptions(attributes=Attributes(to_set=_SAFE))
        top = make_filesystem(Mount(self.mount.destination, "tmpfs", "tmpfs", writable), ("mode=755",))
        try:
            set_attributes(top, replace(self.mount, options=writable))
            attach_over(top, target)
            for hierarchy in self.view.hierarchies:
                os.mkdir(hierarchy.name, 0o755, dir_fd=top)
                folder = os.open(hierarchy.name, os.O_PATH | os.O_CLOEXEC, dir_fd=top)
                try:
                    self._mount_hierarchy(hierarchy.options, hierarchy.path, folder)
                finally:
                    os.close(folder)
                parts = hierarchy.name.split(",")
                for controller in parts if len(parts) > 1 else ():
                    os.symlink(hierarchy.name, controller, dir_fd=top)
            if self.mount.options.read_only:
                set_read_only(top)
        finally:
            os.close(top)

    def _mount_hierarchy(self, options: tuple[str, ...], path: str, folder: int) -> None:
        if self.namespaced:
            mount = replace(
                self.mount, type="cgroup", source="cgroup", options=replace(self.mount.options, data=())
            )
            detached = make_filesystem(mount, options)
        else:
            detached = mounts.open_tree(path, mounts.OPEN_TREE_CLONE | mounts.OPEN_TREE_CLOEXEC)
        try:
            set_attributes(detached, self.mount)
            attach_over(detached, folder)
        finally:
            os.close(detached)
