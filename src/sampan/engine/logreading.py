"""`logs`: a container's log as a stream of lines.

Owns the choice of lines, their prefix, and following: history in a thread, then a look at the file a few
times a second until the container has ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from itertools import islice

from sampan import errors
from sampan.engine.container import Container, Paths
from sampan.engine.services import Services
from sampan.engine.streams import LogOptions
from sampan.logs.jsonfile import LogReader, Selection, render_time
from sampan.wire.jsonlog import LogEntry

Line = tuple[int, bytes]

_NUMBERS = {"stdout": 1, "stderr": 2}
_BATCH = 256
_SECONDS_BETWEEN_LOOKS = 0.1


def check(container: Container) -> None:
    """Raise NotImplementedYet, in dockerd's words, if there is no log to read."""
    if container.record.host_config.log_config.type == "none":
        raise errors.NotImplementedYet("configured logging driver does not support reading")


async def read(services: Services, container: Container, options: LogOptions) -> AsyncGenerator[Line, None]:
    """The lines, as (1 or 2 for stdout or stderr, bytes). Memory is one batch, however long the log is."""
    selection = Selection(
        tail=options.tail,
        since=options.since,
        until=options.until,
        streams=frozenset(
            name for name, wanted in (("stdout", options.stdout), ("stderr", options.stderr)) if wanted
        ),
    )
    threads = services.threads
    path = Paths.of(services.settings, container.id).log
    reader = await threads.run(LogReader, path, selection)
    try:
        entries = reader.history()
        while batch := await threads.run(_take, entries):
            for entry in batch:
                yield _line(entry, options)
        while options.follow and not reader.finished:
            # Asked before the file is read: what was written until the end is in it then.
            over = not container.is_running or _is_past(options.until)
            entries = reader.poll()
            while batch := await threads.run(_take, entries):
                for entry in batch:
                    yield _line(entry, options)
            if over:
                return
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
    finally:
        reader.close()


def _take(entries: Iterator[LogEntry]) -> list[LogEntry]:
    return list(islice(entries, _BATCH))


def _is_past(moment: int | None) -> bool:
    return moment is not None and time.time_ns() > moment


def _line(entry: LogEntry, options: LogOptions) -> Line:
    prefix = b""
    if options.timestamps:
        prefix = render_time(entry).encode() + b" "
    if options.details:
        # The attributes of the entry, of which there are none; dockerd writes the blank all the same.
        prefix += b" "
    return _NUMBERS[entry.stream], prefix + entry.text
