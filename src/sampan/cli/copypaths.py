"""What the two paths of `cp` mean: Docker's rules for a last slash, "/." and what is there already.

Owns the rules (docker/cli, cli/command/container/cp.go; moby, pkg/archive/copy.go). Looks at nothing but the
host's paths that it is asked about.
"""

from __future__ import annotations

import posix

from sampan.cli.containers.mounts import absolute
from sampan.cli.failure import Failure, path_failure

S_IFMT, S_IFDIR, S_IFLNK, S_IFBLK, S_IFCHR = 0o170000, 0o040000, 0o120000, 0o060000, 0o020000
MAX_LINKS = 255


class Place:
    """A path at one end of a copy, and what is there."""

    def __init__(self, path: str, exists: bool = False, is_folder: bool = False) -> None:
        self.path = path
        self.exists = exists
        self.is_folder = is_folder


def split_argument(text: str) -> tuple[str, str]:
    """`CONTAINER:PATH` as its two parts; a path of the host has no container."""
    container, colon, path = text.partition(":")
    if text.startswith("/") or not colon or container.startswith("."):
        return "", text
    return container, path


def local(path: str) -> str:
    """A path of the host from the root, with the end that says that it is a folder."""
    return with_ending(absolute(path), path)


def with_ending(clean: str, written: str) -> str:
    """Give a cleaned path the end of the written one again."""
    if written in (".", "") or written.endswith("/."):
        return clean.rstrip("/") + "/."
    return clean.rstrip("/") + "/" if written.endswith("/") else clean


def says_folder(path: str) -> bool:
    return path.endswith(("/", "/."))


def base(path: str) -> str:
    """The name that an archive of this path begins with: "." is the content of a folder."""
    if path.endswith("/."):
        return "."
    return path.rstrip("/").rpartition("/")[2] or "/"


def folder_of(path: str) -> str:
    clean = path[:-2] if path.endswith("/.") else path
    return clean.rstrip("/").rpartition("/")[0] or "/"


def source(path: str, follow: bool) -> tuple[Place, str]:
    """A source on the host, and the name that it has in the archive. Raises Failure in Go's words."""
    try:
        status = posix.stat(path) if follow or says_folder(path) else posix.lstat(path)
    except NotADirectoryError:
        raise Failure("not a directory") from None
    except OSError as error:
        raise path_failure("lstat", path, error) from None
    is_folder = status.st_mode & S_IFMT == S_IFDIR
    if says_folder(path) and not is_folder:
        raise Failure("not a directory")
    return Place(path, True, is_folder), base(path)


def destination(path: str) -> Place:
    """A destination on the host, links followed. Raises Failure where nothing can be."""
    parent = folder_of(path)
    if not _is_there(parent):
        raise Failure(f'invalid output path: directory "{parent}" does not exist')
    for _ in range(MAX_LINKS):
        try:
            status = posix.lstat(path.rstrip("/") if path.endswith("/") and path != "/" else path)
        except FileNotFoundError:
            return Place(path)
        except OSError as error:
            raise path_failure("lstat", path, error) from None
        kind = status.st_mode & S_IFMT
        if kind == S_IFLNK:
            target = posix.readlink(path.rstrip("/"))
            path = with_ending(absolute(f"{folder_of(path)}/{target}" if target[:1] != "/" else target), path)
            continue
        if kind in (S_IFBLK, S_IFCHR):
            raise Failure(f'invalid output path: "{path}" must be a directory or a regular file')
        return Place(path, True, kind == S_IFDIR)
    raise Failure(f"too many symlinks: {path}")


def _is_there(path: str) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True


def arrange(name: str, is_folder: bool, to: Place) -> tuple[str, str]:
    """Where to extract a copy of `name` (a folder?), and the name that it gets there. Raises Failure."""
    if to.exists and to.is_folder:
        return to.path, name
    if to.exists and is_folder:
        raise Failure("cannot copy directory")
    if not to.exists and not is_folder and says_folder(to.path):
        raise Failure("no such directory")
    return folder_of(to.path), base(to.path)
