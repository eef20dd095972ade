"""Device nodes and links in /dev."""

from __future__ import annotations

import errno
import os

from sampan.linux import mounts
from sampan.records import dataclass
from sampan.runtime.gotext import go_error
from sampan.runtime.operations import Context, start_failed
from sampan.runtime.operations.mounts import attach_over
from sampan.runtime.spec import Device

_S_IFMT = 0o170000
_FILE_TYPES = {"c": 0o020000, "b": 0o060000, "p": 0o010000}


@dataclass(frozen=True, slots=True)
class CreateDevice:
    device: Device

    def describe(self) -> str:
        device = self.device
        return f"mknod {device.path} {device.type} {device.major} {device.minor} mode {device.mode:o}"

    def execute(self, context: Context) -> None:
        try:
            parent, name = _parent(context, self.device.path)
            try:
                self._make(context, parent, name)
            finally:
                os.close(parent)
        except OSError as error:
            raise start_failed(
                f'error creating device nodes: mknod "{self.device.path}": {go_error(error)}'
            ) from error

    def _make(self, context: Context, parent: int, name: str) -> None:
        device = self.device
        wanted = _FILE_TYPES[device.type]
        number = os.makedev(device.major, device.minor)
        try:
            os.mknod(name, wanted | device.mode, number, dir_fd=parent)
        except PermissionError:
            self._bind(parent, name, wanted, number)
            return
        except FileExistsError:
            # An image without a tmpfs on /dev may bring its own nodes: right ones are kept.
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if found.st_mode & _S_IFMT != wanted or (device.type != "p" and found.st_rdev != number):
                raise
        if device.uid or device.gid:
            os.chown(name, device.uid, device.gid, dir_fd=parent, follow_symlinks=False)

    def _bind(self, parent: int, name: str, wanted: int, number: int) -> None:
        """In a user namespace nobody may make nodes: bind the host's own, if it is what was asked for."""
        source = mounts.open_tree(self.device.path, mounts.OPEN_TREE_CLONE | mounts.OPEN_TREE_CLOEXEC)
        try:
            found = os.fstat(source)
            if found.st_mode & _S_IFMT != wanted or found.st_rdev != number:
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), self.device.path)
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
            target = os.open(name, flags, 0o000, dir_fd=parent)
            try:
                attach_over(source, target)
            finally:
                os.close(target)
        finally:
            os.close(source)


@dataclass(frozen=True, slots=True)
class CreateLink:
    """A symlink that is expected in /dev. What exists already is kept, as in runc, or replaced."""

    path: str
    target: str
    replace: bool = False
    only_if: str = ""  # a path of the host that has to exist

    def describe(self) -> str:
        return f"symlink {self.path} -> {self.target}"

    def execute(self, context: Context) -> None:
        if self.only_if and not os.path.exists(self.only_if):
            return
        try:
            parent, name = _parent(context, self.path)
            try:
                if self.replace:
                    try:
                        os.unlink(name, dir_fd=parent)
                    except FileNotFoundError:
                        pass
                os.symlink(self.target, name, dir_fd=parent)
            except FileExistsError:
                pass
            finally:
                os.close(parent)
        except OSError as error:
            raise start_failed(f"error setting up {self.path} symlink: {go_error(error)}") from error


def _parent(context: Context, path: str) -> tuple[int, str]:
    """Open the folder of a node. /dev must not be a symlink: the nodes would be made where it leads."""
    if path.startswith("/dev/"):
        try:
            os.close(context.root.open_plain_directory("/dev"))
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise start_failed("/dev must be an ordinary directory") from error
            raise
    return context.root.make_parent(path)
