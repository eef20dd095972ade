"""`update`: change the limits of a running container."""

from __future__ import annotations

import json
import sys

from sampan import errors
from sampan.runtime.commands.arguments import Arguments, Command, Option
from sampan.runtime.containers import ContainerStore
from sampan.runtime.spec import MAX_CONFIG, parse_resources

# option -> (object, field) of linux.resources
_NUMBERS = {
    "blkio-weight": ("blockIO", "weight"),
    "cpu-period": ("cpu", "period"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-share": ("cpu", "shares"),
    "cpu-rt-period": ("cpu", "realtimePeriod"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
    "memory": ("memory", "limit"),
    "memory-reservation": ("memory", "reservation"),
    "memory-swap": ("memory", "swap"),
    "pids-limit": ("pids", "limit"),
}
_TEXTS = {"cpuset-cpus": ("cpu", "cpus"), "cpuset-mems": ("cpu", "mems")}


def run(arguments: Arguments) -> int:
    container = ContainerStore(arguments.settings.root).load(arguments.words[0])
    if container.status() == "stopped":
        raise errors.Conflict("container not running")
    container.cgroup().apply(parse_resources(_document(arguments), "resources"))
    return 0


def _document(arguments: Arguments) -> object:
    path = arguments.text("resources")
    if path:
        try:
            if path == "-":
                return json.loads(sys.stdin.read(MAX_CONFIG))
            with open(path, "rb") as file:
                return json.loads(file.read(MAX_CONFIG))
        except ValueError as error:
            raise errors.InvalidArgument(f"{path} is not JSON: {error}") from None
    document: dict[str, dict[str, object]] = {}
    for option, (section, name) in _NUMBERS.items():
        number = arguments.number(option)
        if number:
            document.setdefault(section, {})[name] = number
    for option, (section, name) in _TEXTS.items():
        if arguments.text(option):
            document.setdefault(section, {})[name] = arguments.text(option)
    return document


COMMAND = Command(
    name="update",
    usage="<container-id>",
    summary="update container resource constraints",
    run=run,
    options=(
        Option(("resources", "r"), "path to the file containing the resources to update, or '-' for stdin"),
        Option(("blkio-weight",), "per cgroup weight, range is from 10 to 1000"),
        Option(("cpu-period",), "CPU CFS period to be used for hardcapping (in usecs)"),
        Option(("cpu-quota",), "CPU CFS hardcap limit (in usecs). Allowed cpu time in a given period"),
        Option(("cpu-share",), "CPU shares (relative weight vs. other containers)"),
        Option(("cpu-rt-period",), "CPU realtime period to be used for hardcapping (in usecs)"),
        Option(("cpu-rt-runtime",), "CPU realtime hardcap limit (in usecs)"),
        Option(("cpuset-cpus",), "CPU(s) to use"),
        Option(("cpuset-mems",), "memory node(s) to use"),
        Option(("memory",), "memory limit (in bytes)"),
        Option(("memory-reservation",), "memory reservation or soft limit (in bytes)"),
        Option(("memory-swap",), "total memory usage (memory + swap); '-1' for unlimited swap"),
        Option(("pids-limit",), "maximum number of pids allowed in the container"),
    ),
)
