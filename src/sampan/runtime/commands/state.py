"""`state`: the container's state as JSON."""

from __future__ import annotations

import json

from sampan.runtime.commands.arguments import Arguments, Command
from sampan.runtime.containers import ContainerStore


def run(arguments: Arguments) -> int:
    container = ContainerStore(arguments.settings.root).load(arguments.words[0])
    print(json.dumps(container.document(), indent=2, ensure_ascii=False), end="")
    return 0


COMMAND = Command("state", "<container-id>", "output the state of a container", run)
