"""Users and groups by name: Docker's `user[:group]`, looked up in a container's own /etc/passwd and
/etc/group.

Owns the rules (those of Docker and runc), and the bounds: the files come from an image, so they may be huge,
a FIFO or a link to /dev/zero, and a number may be one that overflows to root (CVE-2024-40635,
CVE-2026-30892).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from sampan import errors
from sampan.records import dataclass
from sampan.runtime.confined import Root
from sampan.runtime.gotext import go_error

# Docker's range for ids: what is above has been read as negative, and so as root, by some.
MAX_ID = 2**31 - 1
MAX_FILE = 8 * 1024 * 1024

_RANGE = f"uids and gids must be in range 0-{MAX_ID}"


@dataclass(frozen=True, slots=True)
class ResolvedUser:
    """`additional_gids` begins with `gid`: else a process could gain rights by leaving its group
    (CVE-2022-36109).
    """

    uid: int
    gid: int
    additional_gids: tuple[int, ...]
    home: str


@dataclass(frozen=True, slots=True)
class _Passwd:
    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    gid: int
    members: tuple[str, ...]


def resolve(root: Root, user: str, additional: Sequence[str] = ()) -> ResolvedUser:
    """Resolve "", "name", "uid", "name:group", "uid:gid", ":group" and so on; `additional` are further
    groups.

    As in Docker, an empty user is root, a number is always an id and never a name, and the groups that list a
    user as member count unless a group is given. Raises StartFailed in Docker's words.
    """
    user_text, _, group_text = user.partition(":")
    number = _number(user_text)
    entry = _find_user(root, user_text, number)
    if entry is not None:
        uid, gid, home = entry.uid, entry.gid, entry.home
    elif not user_text:
        uid, gid, home = 0, 0, "/"
    elif number is None:
        raise _failed(f"unable to find user {user_text}: no matching entries in passwd file")
    else:
        uid, gid, home = number, 0, "/"
    groups = list(_groups(root)) if group_text or entry or additional else []
    member_of: list[int] = []
    if group_text:
        gid = _find_group(groups, group_text, "unable to find group {}: no matching entries in group file")
    elif entry is not None:
        member_of = [group.gid for group in groups if entry.name in group.members]
    added = [_find_group(groups, text, "Unable to find group {}") for text in additional]
    gids = tuple(dict.fromkeys((gid, *member_of, *added)))
    if not all(0 <= one <= MAX_ID for one in (uid, *gids)):
        raise _failed(_RANGE)
    return ResolvedUser(uid, gid, gids, home or "/")


def home_of(root: Root, uid: int) -> str:
    """The home folder of a user id; "/" if the container does not know it."""
    for entry in _passwd(root):
        if entry.uid == uid:
            return entry.home or "/"
    return "/"


def _find_user(root: Root, text: str, number: int | None) -> _Passwd | None:
    wanted = 0 if not text else number
    for entry in _passwd(root):
        if entry.uid == wanted if wanted is not None else entry.name == text:
            return entry
    return None


def _find_group(groups: Sequence[_Group], text: str, unknown: str) -> int:
    number = _number(text)
    if number is not None:
        return number
    for group in groups:
        if group.name == text:
            return group.gid
    raise _failed(unknown.format(text))


def _number(text: str) -> int | None:
    """Go's strconv.Atoi, which Docker uses: a sign is allowed, and what exceeds 64 bits is no number."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 1000:
        return None
    number = int(text)
    if not -(2**63) <= number < 2**63:
        return None
    if not 0 <= number <= MAX_ID:
        raise _failed(_RANGE)
    return number


def _passwd(root: Root) -> Iterator[_Passwd]:
    for fields in _records(root, "/etc/passwd", 4):
        uid, gid = _id(fields[2]), _id(fields[3])
        if uid is not None and gid is not None:
            yield _Passwd(fields[0], uid, gid, fields[5] if len(fields) > 5 else "")


def _groups(root: Root) -> Iterator[_Group]:
    for fields in _records(root, "/etc/group", 3):
        gid = _id(fields[2])
        if gid is not None:
            members = fields[3].split(",") if len(fields) > 3 else ()
            yield _Group(fields[0], gid, tuple(members))


def _id(text: str) -> int | None:
    """An id in a file. Docker takes a malformed one as 0, which makes its owner root; we take no notice of
    its line.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    return int(text)


def _records(root: Root, path: str, least: int) -> Iterator[list[str]]:
    for line in _read(root, path).split("\n"):
        fields = line.strip().split(":")
        if len(fields) >= least and fields[0]:
            yield fields


def _read(root: Root, path: str) -> str:
    """The text of a regular file of the container; "" if there is none."""
    try:
        # O_NONBLOCK: opening a FIFO must not wait for somebody who writes.
        fd = root.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise _failed(f"open {path}: {go_error(error)}") from error
    try:
        found = os.fstat(fd)
        if found.st_mode & 0o170000 != 0o100000:
            raise _failed(f"{path} is not a regular file")
        parts, size = [], 0
        # A buffer of its size; a file system may also not know it.
        while part := os.read(fd, min(max(found.st_size, 4096), MAX_FILE) + 1):
            parts.append(part)
            size += len(part)
            if size > MAX_FILE:
                raise _failed(f"{path} is larger than {MAX_FILE} bytes")
    finally:
        os.close(fd)
    return b"".join(parts).decode("utf-8", "surrogateescape")


def _failed(message: str) -> errors.StartFailed:
    return errors.StartFailed(message, 125)
