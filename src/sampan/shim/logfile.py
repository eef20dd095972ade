"""The container's json-file log on disk: batched appends, rotation, and what to do when the disk is full.

Owns the current file and its rotated predecessors (`NAME.1` is the youngest). Knows nothing of streams: it is
given whole entries, which `wire.jsonlog` made. One writev for each round of the event loop, without fsync, as
dockerd.

An entry is in the file whole or not at all. When it cannot be written (a full disk, a quota, an I/O error) it
is dropped and the container goes on, as with dockerd: a log must not stop a service.
"""

from __future__ import annotations

import itertools
import os

from sampan.shim.handover import LogState

# A batch is written early when it is this long, so that a busy round does not grow the shim, or when it has
# so many parts (writev takes IOV_MAX, 1024).
_BATCH_SIZE = 256 * 1024
_BATCH_PARTS = 512
_TAIL_SIZE = 128 * 1024  # more than any entry: 16 KiB of text, each byte of it escaped as \u0000


class LogFile:
    """Appends entries to a log that `open_log` opened, and rotates it at `max_size` bytes (None: never)."""

    def __init__(self, state: LogState, fd: int) -> None:
        self._path = state.path
        self._max_size = state.max_size
        self._max_file = state.max_file
        self._size = state.size
        self._fd = fd
        self._batch: list[bytes] = []
        self._batched = 0
        self.dropped = 0  # bytes of entries that could not be written

    def append(self, entries: bytes) -> None:
        """Add whole entries; they are in the file after `flush`."""
        if entries:
            self._batch.append(entries)
            self._batched += len(entries)
            if self._batched >= _BATCH_SIZE or len(self._batch) >= _BATCH_PARTS:
                self.flush()

    def flush(self) -> None:
        """Write what was appended."""
        if not self._batch:
            return
        batch, length = self._batch, self._batched
        self._batch, self._batched = [], 0
        if self._max_size is None or self._size + length < self._max_size:
            self._write(batch, length)
        else:
            self._write_rotating(b"".join(batch), self._max_size)

    def close(self) -> None:
        self.flush()
        os.close(self._fd)

    def _write_rotating(self, entries: bytes, max_size: int) -> None:
        """Fill files up to `max_size`; as in moby, the entry that reaches it is in the old file still."""
        start = 0
        while start < len(entries):
            if self._size >= max_size:
                self._rotate()
            end = entries.find(b"\n", start + max(0, max_size - self._size - 1)) + 1 or len(entries)
            piece = entries[start:end]
            self._write([piece], len(piece))
            start = end

    def _write(self, batch: list[bytes], length: int) -> None:
        try:
            written = os.writev(self._fd, batch)
        except OSError:
            written = 0
        if written < length:
            written = self._cut_torn(b"".join(batch)[:written])
            self.dropped += length - written
        self._size += written

    def _cut_torn(self, written: bytes) -> int:
        """Remove the torn entry after a short write (write(2): the disk was full). Returns what stays."""
        whole = written.rfind(b"\n") + 1
        if whole < len(written):
            os.ftruncate(self._fd, self._size + whole)
        return whole

    def _rotate(self) -> None:
        """Shift NAME to NAME.1 and so on, and begin a new one."""
        try:
            # The new file first: when there is no room for it, nothing has changed.
            fd = _open(f"{self._path}.new", os.O_TRUNC)
        except OSError:
            # The old file grows then: an entry too many is better than one too few.
            return
        self._shift()
        os.close(self._fd)
        self._fd = fd
        self._size = os.fstat(fd).st_size

    def _shift(self) -> None:
        # Also with one file only: where moby truncates, a reader can still finish the old file here.
        names = [f"{self._path}.new", self._path]
        names += [f"{self._path}.{number}" for number in range(1, self._max_file)]
        for younger, older in reversed(list(itertools.pairwise(names))):
            try:
                os.rename(younger, older)
            except FileNotFoundError:
                pass


def open_log(path: str, max_size: int | None = None, max_file: int = 1) -> tuple[LogState, int]:
    """Open a log to go on with it; returns what a `LogFile` is made of."""
    fd = _open(path)
    return LogState(path, max_size, max_file, _repair(fd)), fd


def _open(path: str, more_flags: int = 0) -> int:
    # Mode 0640 as moby: the log may hold what the container's owner would not show to everybody.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags | more_flags, 0o640)


def _repair(fd: int) -> int:
    """Cut off an entry that a crash left torn, so that the next one starts on its own line."""
    size = os.fstat(fd).st_size
    start = max(0, size - _TAIL_SIZE)
    tail = os.pread(fd, size - start, start)
    if tail and not tail.endswith(b"\n"):
        size = start + tail.rfind(b"\n") + 1
        os.ftruncate(fd, size)
    return size
