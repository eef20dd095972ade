"""Reading a container's json-file log, across its rotated files, and following it while it is written.

Owns the order of the files (NAME.2, NAME.1, NAME), the choice of entries and the step from one file to the
next when the writer rotates. Knows nothing of containers and never waits: a follower is polled, after an
inotify event or a while. Memory is one block of 64 KiB and one entry, whatever the size of the log.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Self

from sampan import errors
from sampan.records import dataclass
from sampan.wire.gotime import format_rfc3339, parse_rfc3339
from sampan.wire.jsonlog import LogEntry, decode

_BLOCK_SIZE = 64 * 1024
_STREAMS = frozenset({"stdout", "stderr"})
# Far more than any writer keeps; a bound for the search for rotated files.
_MAX_FILES = 10_000


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries to read. Times are nanoseconds since 1970, both inclusive, as moby compares them.

    As in moby, `tail` counts the last entries of the log before the others choose among them.
    """

    tail: int | None = None
    since: int | None = None
    until: int | None = None
    streams: frozenset[str] = _STREAMS

    def is_past(self, entry: LogEntry) -> bool:
        """Whether this entry, and so each one after it, is later than `until`."""
        return self.until is not None and _time_of(entry) > self.until

    def takes(self, entry: LogEntry) -> bool:
        return entry.stream in self.streams and (self.since is None or _time_of(entry) >= self.since)


class LogReader:
    """One reading of a log: `history` once, then `poll` as often as there may be something new.

        with LogReader(path, Selection(tail=10)) as reader:
            for entry in reader.history(): ...
            while following and not reader.finished:
                ...wait...
                for entry in reader.poll(): ...

    A log that does not exist (yet) is an empty one. Entries are whole: one that is just being written comes
    with the next `poll`.
    """

    def __init__(self, path: str, selection: Selection = Selection()) -> None:
        self.finished = False  # an entry later than `until` was seen
        self._path = path
        self._selection = selection
        self._fds = _open_all(path)  # oldest first; the last one is read on by `poll`
        self._torn = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds = []

    def history(self) -> Iterator[LogEntry]:
        """What is in the log now, as selected."""
        if self._selection.tail is not None:
            self._seek_tail(self._selection.tail)
        while len(self._fds) > 1:
            yield from self._read_rest()
            self._leave_oldest()
        yield from self._read_rest()

    def poll(self) -> Iterator[LogEntry]:
        """What was written since the last reading; follows the writer into its next file."""
        if not self._fds:
            self._fds = _open_all(self._path)
        while self._fds and not self.finished:
            yield from self._read_rest()
            if len(self._fds) > 1:
                self._leave_oldest()
            elif not self._open_next():
                return

    def _read_rest(self) -> Iterator[LogEntry]:
        """The entries of the oldest open file from its position on."""
        while self._fds and not self.finished:
            block = os.read(self._fds[0], _BLOCK_SIZE)
            if not block:
                return
            lines = (self._torn + block).split(b"\n")
            self._torn = lines.pop()
            for line in lines:
                entry = _decode(line)
                if entry is None:
                    continue
                if self._selection.is_past(entry):
                    self.finished = True
                    return
                if self._selection.takes(entry):
                    yield entry

    def _open_next(self) -> bool:
        """Open the file that the writer began after the current one; False if there is none."""
        current = _identity(os.fstat(self._fds[0]))
        newer = None
        for fd in _opened(self._path):
            if _identity(os.fstat(fd)) == current:
                os.close(fd)
                break
            if newer is not None:
                os.close(newer)
            newer = fd
        if newer is None:
            return False
        # The writer is done with the old file, but it may have written to it after our last look: it stays
        # first.
        self._fds.append(newer)
        return True

    def _leave_oldest(self) -> None:
        os.close(self._fds.pop(0))
        self._torn = b""

    def _seek_tail(self, count: int) -> None:
        """Position the files so that the last `count` entries follow."""
        for index in range(len(self._fds) - 1, -1, -1):
            fd = self._fds[index]
            position, count = _find_tail(fd, count)
            os.lseek(fd, position, os.SEEK_SET)
            if count <= 0:
                for older in self._fds[:index]:
                    os.close(older)
                del self._fds[:index]
                return


def render_time(entry: LogEntry) -> str:
    """The entry's time as `docker logs --timestamps` shows it: always nine digits."""
    return format_rfc3339(_time_of(entry), fixed=True)


def _decode(line: bytes) -> LogEntry | None:
    """A line as an entry. A damaged one costs itself, not the log; moby stops there, which helps nobody."""
    try:
        return decode(line)
    except errors.InvalidArgument:
        return None


def _time_of(entry: LogEntry) -> int:
    try:
        return parse_rfc3339(entry.time)
    except ValueError:
        return 0  # not written by an engine


def _names(path: str) -> Iterator[str]:
    yield path
    for number in range(1, _MAX_FILES):
        yield f"{path}.{number}"


def _opened(path: str) -> Iterator[int]:
    """Descriptors of the log's files, youngest first. One name may be missing: so it is between two renames
    of a rotation, which begins with the oldest file.
    """
    missing = 0
    for name in _names(path):
        try:
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            missing += 1
            if missing > 1:
                return
        else:
            yield fd


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _open_all(path: str) -> list[int]:
    """All files of the log, oldest first.

    Opened from the youngest on: a rotation in between then shows one file twice, rather than one not at all.
    """
    found: dict[tuple[int, int], int] = {}
    for fd in _opened(path):
        if found.setdefault(_identity(os.fstat(fd)), fd) != fd:
            os.close(fd)
    return list(reversed(found.values()))


def _find_tail(fd: int, count: int) -> tuple[int, int]:
    """Where the last `count` lines of a file begin, and how many of them it lacks."""
    position = os.fstat(fd).st_size
    if count <= 0:
        return position, 0
    # The newline at the end ends the last line; the one before the wanted lines is the one to find.
    wanted = count + 1
    while position > 0:
        start = max(0, position - _BLOCK_SIZE)
        block = os.pread(fd, position - start, start)
        end = len(block)
        while (newline := block.rfind(b"\n", 0, end)) >= 0:
            wanted -= 1
            if not wanted:
                return start + newline + 1, 0
            end = newline
        position = start
    return 0, wanted - 1
