"""`cp`: files and folders between containers and the host."""

from __future__ import annotations

import posix

from sampan.cli.context import Context
from sampan.cli.copypaths import (
    Place,
    arrange,
    base,
    destination,
    folder_of,
    local,
    source,
    split_argument,
    with_ending,
)
from sampan.cli.engine import container
from sampan.cli.failure import EngineFailure, Failure, path_failure
from sampan.cli.flags import Command, Options
from sampan.cli.http import Response
from sampan.cli.terminal import is_terminal
from sampan.cli.uploads import blocks
from sampan.errors import SampanError
from sampan.trees.extraction import WHO_CALLS, Extraction
from sampan.trees.packing import Packer, end
from sampan.wire.jsontext import decode
from sampan.wire.tarstream import IteratorSource, TarReader
from sampan.wire.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

TAR = "application/x-tar"
# Go's fs.FileMode
GO_FOLDER, GO_LINK, GO_DEVICE = 1 << 31, 1 << 27, 1 << 26
FOLDER = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC


class Counted:
    """Pieces that pass through, and how many bytes they were."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.size += len(piece)
            yield piece


def run(context: Context, options: Options, arguments: list[str]) -> int:
    for text, what in zip(arguments, ("source", "destination"), strict=True):
        if not text:
            raise Failure(f"{what} can not be empty")
    (giver, come_from), (taker, go_to) = (split_argument(text) for text in arguments)
    if giver and taker:
        raise Failure("copying between containers is not supported")
    if not giver and not taker:
        raise Failure("must specify at least one container source")
    quiet = options.flag("quiet") if "quiet" in options.changed else not is_terminal(1)
    try:
        if giver:
            size = copy_out(context, giver, come_from, go_to, options.flag("follow-link"))
        else:
            size = copy_in(context, taker, come_from, go_to, options)
    except SampanError as error:
        raise Failure(error.message) from None
    if not quiet and arguments[1] != "-":
        context.error(f"Successfully copied {human_size(size)} to {arguments[1]}")
    return 0


def stat(context: Context, name: str, path: str) -> dict[str, object]:
    """What is at a path of a container; its `linkTarget` is from the root."""
    response = context.engine.open("HEAD", f"{container(name)}/archive", {"path": path})
    response.read()
    context.engine.keep(response)
    return _stat(response)


def _stat(response: Response) -> dict[str, object]:
    from binascii import a2b_base64

    found = decode(a2b_base64(response.headers.get("x-docker-container-path-stat", "")))
    if not isinstance(found, dict):
        raise Failure("unable to decode container path stat header")
    return found


def _mode(found: dict[str, object]) -> int:
    mode = found["mode"]
    assert isinstance(mode, int)
    return mode


# --- out of a container -------------------------------------------------------------------------------------


def copy_out(context: Context, name: str, path: str, go_to: str, follow: bool) -> int:
    to = Place("-") if go_to == "-" else destination(local(go_to))
    wanted = base(with_ending(path, path)) if path else ""
    if follow:
        path = _followed(context, name, path)
    response = context.engine.open("GET", f"{container(name)}/archive", {"path": path})
    found = _stat(response)
    pieces = Counted(response.blocks())
    if go_to == "-":
        for piece in pieces:
            context.out(piece)
        return pieces.size
    called = str(found["name"])
    folder, new = arrange(wanted if follow else called, bool(_mode(found) & GO_FOLDER), to)
    extract(pieces, folder, called, new)
    return pieces.size


def _followed(context: Context, name: str, path: str) -> str:
    try:
        found = stat(context, name, path)
    except EngineFailure:
        return path  # what is wrong with it, the copy itself will tell
    return with_ending(str(found["linkTarget"]), path) if _mode(found) & GO_LINK else path


def extract(pieces: Counted, folder: str, called: str, new: str) -> None:
    """The container's archive into a folder of the host. No link in it is ever followed."""
    try:
        top = posix.open(folder, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    except OSError as error:
        raise path_failure("open", folder, error) from None

    def open_folder(path: str) -> int:
        current = posix.open(".", FOLDER, dir_fd=top)
        for part in path.split("/"):
            try:
                below = posix.open(part, FOLDER, dir_fd=current)
            finally:
                posix.close(current)
            current = below
        return current

    prefix = "" if called == "/" else called

    def rename(member: str) -> str:
        return new + member.removeprefix(prefix) if new != called else member

    try:
        extraction = Extraction(open_folder, folder, owner=WHO_CALLS, rename=rename)
        extraction.run(TarReader(IteratorSource(iter(pieces))))
    finally:
        posix.close(top)
    for _ in pieces:  # what is behind the end of the archive
        pass


# --- into a container ---------------------------------------------------------------------------------------


def copy_in(context: Context, name: str, come_from: str, go_to: str, options: Options) -> int:
    to = _target(context, name, go_to)
    if come_from == "-":
        if not to.is_folder:
            raise Failure(f'destination "{name}:{go_to}" must be a directory')
        return _upload(context, name, to.path, blocks(0), options)
    path = local(come_from)
    place, called = source(path, options.flag("follow-link"))
    folder, new = arrange(called, place.is_folder, to)
    if options.flag("follow-link") and not place.path.endswith("/."):
        path = _real(path)
    above = path if path.endswith("/.") else folder_of(path)
    top = posix.open(above, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        return _upload(context, name, folder, _packed(top, path, new), options)
    finally:
        posix.close(top)


def _target(context: Context, name: str, path: str) -> Place:
    """Where it goes, as the engine sees it. What is not there may still be made by the copy."""
    try:
        found = stat(context, name, path)
        if _mode(found) & GO_LINK:
            path = with_ending(str(found["linkTarget"]), path)
            found = stat(context, name, path)
    except EngineFailure:
        return Place(path)
    if _mode(found) & GO_DEVICE:
        raise Failure(f'destination "{name}:{path}" must be a directory or a regular file')
    return Place(path, True, bool(_mode(found) & GO_FOLDER))


def _real(path: str) -> str:
    import os

    return os.path.realpath(path)


def _packed(top: int, path: str, member: str) -> Iterator[bytes]:
    name = base(path)
    try:
        yield from Packer().tree(top, name, member)
    except OSError as error:
        raise path_failure("open", error.filename or path, error) from None
    yield end()


def _upload(context: Context, name: str, folder: str, pieces: Iterator[bytes], options: Options) -> int:
    counted = Counted(pieces)
    parameters = {"path": folder, "noOverwriteDirNonDir": "true"}
    if options.flag("archive"):
        parameters["copyUIDGID"] = "true"
    target = f"{container(name)}/archive"
    context.engine.upload(target, parameters, iter(counted), TAR, method="PUT").read()
    return counted.size


COMMAND = Command(
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tsampan cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    """Copy files/folders between a container and the local filesystem

Use '-' as the source to read a tar archive from stdin
and extract it to a directory destination in a container.
Use '-' as the destination to stream a tar archive of a
container source to stdout.""",
    run,
    aliases=("container cp", "cp"),
    flags=(
        ("archive", "a", "bool", "Archive mode (copy all uid/gid information)"),
        ("follow-link", "L", "bool", "Always follow symbol link in SRC_PATH"),
        (
            "quiet",
            "q",
            "bool",
            "Suppress progress output during copy. Progress output is automatically suppressed if no terminal"
            " is attached",
        ),
    ),
    minimum=2,
    maximum=2,
)
