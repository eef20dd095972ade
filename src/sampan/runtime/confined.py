"""Paths of a container, resolved inside its root and nowhere else.

Owns the only way in which the runtime turns a path of an image or of config.json into a file: from the
descriptor of the root, by openat2(2) with RESOLVE_IN_ROOT, and, where something has to be created, component
by component with a descriptor for each. A name is never looked up twice, so swapping a folder for a symlink
changes nothing (CVE-2021-30465, CVE-2024-45310). Must not know what the files are for.
"""

from __future__ import annotations

import errno
import os

from sampan.linux import files, mounts

# The kernel's own limit for one look-up is 40 (path_resolution(7)).
_MAX_SYMLINKS = 40


class Root:
    """The root file system of a container, by a descriptor of its top folder. Does not own the descriptor."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def open(self, path: str, flags: int = os.O_PATH, resolve: int = 0) -> int:
        """Open a path that exists. Symlinks stay inside; those of procfs (magic links) are never followed."""
        return files.openat2(
            path,
            flags | os.O_CLOEXEC,
            dir_fd=self.fd,
            resolve=files.RESOLVE_IN_ROOT | files.RESOLVE_NO_MAGICLINKS | resolve,
        )

    def open_plain_directory(self, path: str) -> int:
        """Open a folder whose path holds no symlink at all, creating what is missing.

        For /dev, /proc and /sys: an image in which one of them leads elsewhere gets its mounts, device nodes
        and masks where they protect nothing (CVE-2023-27561, CVE-2026-41579).
        """
        try:
            return self.open(path, os.O_PATH | os.O_DIRECTORY, files.RESOLVE_NO_SYMLINKS)
        except FileNotFoundError:
            return self._walk(path, directory=True, follow=False)

    def make_directory(self, path: str) -> int:
        """Open a folder, creating it and its parents (mode 0755) as needed."""
        try:
            return self.open(path, os.O_PATH | os.O_DIRECTORY)
        except FileNotFoundError:
            return self._walk(path, directory=True)

    def make_file(self, path: str) -> int:
        """Open anything that is not a folder, creating an empty file and its parents as needed."""
        try:
            fd = self.open(path)
        except FileNotFoundError:
            return self._walk(path, directory=False)
        if is_directory(fd):
            os.close(fd)
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return fd

    def make_parent(self, path: str) -> tuple[int, str]:
        """Open the folder that holds `path`, created as needed, and tell the last component."""
        parent, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        return self.make_directory(parent or "/"), name

    def _walk(self, path: str, *, directory: bool, follow: bool = True) -> int:
        """Resolve as the kernel would with `fd` as its root, and create what is missing.

        openat2(2) cannot create folders, and fails for a symlink whose target does not exist yet
        (/etc/resolv.conf -> /run/resolv.conf in many images). The stack of open folders stands for "..": it
        cannot lead above the root, whatever is renamed meanwhile.
        """
        left = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        stack = [os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.fd)]
        symlinks = 0
        try:
            while left:
                part = left.pop()
                if part == "..":
                    if len(stack) > 1:
                        os.close(stack.pop())
                    continue
                fd = _enter(stack[-1], part, directory=directory or bool(left))
                stack.append(fd)
                target = _symlink_target(fd)
                if target is None:
                    continue
                symlinks += 1
                # What a magic link says is not where it leads, and nothing has to be made below procfs.
                magic = mounts.filesystem_magic(fd) == mounts.PROC_SUPER_MAGIC
                if symlinks > _MAX_SYMLINKS or magic or not follow:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                os.close(stack.pop())
                if target.startswith("/"):
                    while len(stack) > 1:
                        os.close(stack.pop())
                left.extend(step for step in reversed(target.split("/")) if step not in ("", "."))
            if is_directory(stack[-1]) is not directory:
                code = errno.ENOTDIR if directory else errno.EISDIR
                raise OSError(code, os.strerror(code), path)
            return stack.pop()
        finally:
            for fd in stack:
                os.close(fd)


def _enter(parent: int, name: str, *, directory: bool) -> int:
    """Open one component without following it, and create it if it is missing."""
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    # openat2 follows mounts, so a component may be a mount point; O_NOFOLLOW keeps a symlink a symlink.
    try:
        return os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        pass
    try:
        if directory:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent))
    except FileExistsError:
        pass  # somebody was faster: what it is shows in the next open
    return os.open(name, flags, dir_fd=parent)


def _symlink_target(fd: int) -> str | None:
    """What a symlink says, by its O_PATH descriptor; None for anything else."""
    try:
        return os.readlink("", dir_fd=fd)
    except OSError as error:
        # readlinkat(2) with an empty path: ENOENT (EINVAL before Linux 2.6.39) if it is not a symlink.
        if error.errno in (errno.ENOENT, errno.EINVAL):
            return None
        raise


def is_directory(fd: int) -> bool:
    # stat.S_ISDIR, without importing stat.
    return os.fstat(fd).st_mode & 0o170000 == 0o040000
