"""`stats`: what containers use, in a table that is written anew twice a second."""

from __future__ import annotations

import time

from sampan.cli.context import Context
from sampan.cli.engine import container
from sampan.cli.failure import EngineFailure
from sampan.cli.flags import Command, Options
from sampan.cli.formatting import FORMAT_HELP, Row, print_rows, short_id
from sampan.wire.units import bytes_size, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
PAUSE = 0.5

# Terminal: to the top; erase the rest of the line; erase what follows.
_HOME, _END_OF_LINE, _REST = "\033[H", "\033[K", "\033[J"


class StatsRow(Row):
    """A container's last sample, with `precpu_stats` of the one before; None of it if there is none."""

    __slots__ = ()
    go_type = "*formatter.statsContext"
    fields = {
        "BlockIO": lambda row: _pair(*_block_io(row)),
        "CPUPerc": lambda row: f"{_cpu_percent(row):.2f}%",
        "Container": lambda row: row.text("container"),
        "ID": lambda row: short_id(row.text("id")) if row.truncate else row.text("id"),
        "MemPerc": lambda row: f"{_memory_percent(row):.2f}%",
        "MemUsage": lambda row: f"{bytes_size(_memory(row))} / {bytes_size(_limit(row))}",
        "Name": lambda row: row.text("name").removeprefix("/"),
        "NetIO": lambda row: _pair(*_network_io(row)),
        "PIDs": lambda row: str(_number(row.mapping("pids_stats"), "current")),
    }
    headings = {
        "BlockIO": "BLOCK I/O",
        "CPUPerc": "CPU %",
        "Container": "CONTAINER",
        "ID": "CONTAINER ID",
        "MemPerc": "MEM %",
        "MemUsage": "MEM USAGE / LIMIT",
        "Name": "NAME",
        "NetIO": "NET I/O",
        "PIDs": "PIDS",
    }


def _number(values: Mapping[str, object], name: str) -> int:
    value = values.get(name)
    return value if isinstance(value, int) else 0


def _mapping(values: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = values.get(name)
    return value if isinstance(value, dict) else {}


def _pair(first: int, second: int) -> str:
    return f"{human_size(first, 3)} / {human_size(second, 3)}"


def _cpu_percent(row: Row) -> float:
    """Of one processor: two that are busy make 200."""
    now, before = row.mapping("cpu_stats"), row.mapping("precpu_stats")
    used = _number(_mapping(now, "cpu_usage"), "total_usage")
    used -= _number(_mapping(before, "cpu_usage"), "total_usage")
    system = _number(now, "system_cpu_usage") - _number(before, "system_cpu_usage")
    return used / system * _number(now, "online_cpus") * 100 if used > 0 and system > 0 else 0.0


def _memory(row: Row) -> int:
    """Without what the kernel would give up at once: the inactive page cache, of v1 and v2."""
    memory = row.mapping("memory_stats")
    usage, details = _number(memory, "usage"), _mapping(memory, "stats")
    for name in ("total_inactive_file", "inactive_file"):
        if 0 < _number(details, name) < usage:
            return usage - _number(details, name)
    return usage


def _limit(row: Row) -> int:
    return _number(row.mapping("memory_stats"), "limit")


def _memory_percent(row: Row) -> float:
    limit = _limit(row)
    return _memory(row) / limit * 100 if limit else 0.0


def _network_io(row: Row) -> tuple[int, int]:
    interfaces = [value for value in row.mapping("networks").values() if isinstance(value, dict)]
    return (
        sum(_number(counters, "rx_bytes") for counters in interfaces),
        sum(_number(counters, "tx_bytes") for counters in interfaces),
    )


def _block_io(row: Row) -> tuple[int, int]:
    entries = row.mapping("blkio_stats").get("io_service_bytes_recursive")
    read = written = 0
    for entry in entries if isinstance(entries, list) else ():
        operation = str(entry.get("op", ""))[:1].lower()
        if operation == "r":
            read += _number(entry, "value")
        elif operation == "w":
            written += _number(entry, "value")
    return read, written


class _Samples:
    """The last samples of the containers that are looked at."""

    def __init__(self, context: Context, names: list[str], every: bool) -> None:
        self._context = context
        self._names = names
        self._every = every
        self._last: dict[str, Mapping[str, object]] = {}

    def take(self) -> list[dict[str, object]]:
        """A sample of each, with what the one before it said. One that has gone is left out."""
        taken = []
        for name in self._names or self._listed():
            try:
                found = self._context.engine.get(f"{container(name)}/stats", {"stream": "0", "one-shot": "1"})
            except EngineFailure as failure:
                if failure.http_status == 404 and (not self._names or self._last):
                    continue
                raise
            assert isinstance(found, dict)
            before = self._last.get(name, {})
            self._last[name] = found
            taken.append(found | {"container": name, "precpu_stats": before.get("cpu_stats") or {}})
        return taken

    def _listed(self) -> list[str]:
        found = self._context.engine.get("/containers/json", {"all": self._every})
        assert isinstance(found, list)
        return [short_id(str(item["Id"])) for item in found]


def run(context: Context, options: Options, arguments: list[str]) -> int:
    form = options.text("format")
    samples = _Samples(context, arguments, options.flag("all"))
    samples.take()  # what processors do is known from the second one on
    once = options.flag("no-stream")
    while True:
        time.sleep(PAUSE)
        rows = [StatsRow(item, not options.flag("no-trunc")) for item in samples.take()]
        screen = context if once else _Screen(context)
        print_rows(screen, StatsRow, rows, form=form, columns=COLUMNS)
        if once:
            return 0


class _Screen(Context):
    """A context whose output is written over what was there before, without flicker."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def out(self, text: str | bytes) -> None:
        shown = text.decode() if isinstance(text, bytes) else text
        lines = "".join([f"{line} {_END_OF_LINE}\n" for line in shown.split("\n")])
        self._context.out(_HOME + lines + _REST)


COMMAND = Command(
    "[OPTIONS] [CONTAINER...]",
    "Display a live stream of container(s) resource usage statistics",
    run,
    aliases=("container stats", "stats"),
    flags=(
        ("all", "a", "bool", "Show all containers (default shows just running)"),
        ("format", "", "string", FORMAT_HELP),
        ("no-stream", "", "bool", "Disable streaming stats and only pull the first result"),
        ("no-trunc", "", "bool", "Do not truncate output"),
    ),
)
