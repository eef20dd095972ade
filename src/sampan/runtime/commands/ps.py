"""`ps`: the processes of a container, as the host's ps(1) shows them."""

from __future__ import annotations

import json
import os

from sampan import errors
from sampan.runtime.commands.arguments import Arguments, Command, Option
from sampan.runtime.containers import ContainerStore


def run(arguments: Arguments) -> int:
    container = ContainerStore(arguments.settings.root).load(arguments.words[0])
    pids = container.cgroup().pids()
    form = arguments.text("format", "table")
    if form == "json":
        print(json.dumps(pids, separators=(",", ":")))
        return 0
    if form != "table":
        raise errors.InvalidArgument(f"invalid format option: {form}")
    lines = _host_ps(arguments.words[1:] or ("-ef",))
    columns = lines[0].split()
    if "PID" not in columns:
        raise errors.InvalidArgument("couldn't find PID field in ps output")
    column = columns.index("PID")
    print(lines[0])
    for line in lines[1:]:
        fields = line.split()
        if len(fields) > column and fields[column].isdigit() and int(fields[column]) in pids:
            print(line)
    return 0


def _host_ps(options: tuple[str, ...]) -> list[str]:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with open(reader, encoding="utf-8", errors="replace") as output:
        actions = [(os.POSIX_SPAWN_DUP2, writer, 1)]
        pid = os.posix_spawnp("ps", ("ps", *options), os.environ, file_actions=actions)
        os.close(writer)
        lines = output.read().splitlines()
    if os.waitpid(pid, 0)[1] != 0 or not lines:
        raise errors.SampanError("ps failed")
    return lines


COMMAND = Command(
    name="ps",
    usage="<container-id> [ps options]",
    summary="ps displays the processes running inside a container",
    run=run,
    options=(Option(("format", "f"), 'select one of: table or json (default: "table")'),),
    words=(1, None),
)
