"""What stands in a tar archive, as values: one `Entry` for each member.

Owns the names of the member types (POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar's `tar.h`) and the
error of this package.
"""

from __future__ import annotations

from sampan import errors
from sampan.records import dataclass, field

BLOCK = 512


class TarError(errors.InvalidArgument):
    """The bytes are not a tar archive that can be read."""


class Kind:
    """The type flags of members that a reader hands out."""

    FILE = "0"
    LINK = "1"
    SYMLINK = "2"
    CHARACTER = "3"
    BLOCK = "4"
    DIRECTORY = "5"
    FIFO = "6"
    GLOBAL = "g"
    """A pax global header: handed out, not applied, as Go's reader does."""

    HEADER_ONLY = frozenset((LINK, SYMLINK, CHARACTER, BLOCK, DIRECTORY, FIFO))
    """Members without data, whatever their size field says."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a sparse file that holds data; the rest are holes."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One member. Text is UTF-8 with surrogate escapes, so that any bytes come out as they went in."""

    name: str
    kind: str = Kind.FILE
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    """Bytes of data in the archive; of a sparse file, without its holes."""
    mtime_ns: int = 0
    linkname: str = ""
    uname: str = ""
    gname: str = ""
    major: int = 0
    minor: int = 0
    xattrs: dict[str, bytes] = field(default_factory=dict)
    segments: tuple[Segment, ...] | None = None
    """Where the data of a sparse file belongs; None for other members."""
    full_size: int = 0
    """Bytes of the file when it is written out: `size`, and the holes of a sparse file."""

    @property
    def is_file(self) -> bool:
        """Whether this is a regular file (sparse ones too)."""
        return self.kind == Kind.FILE
