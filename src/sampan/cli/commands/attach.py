"""`attach`: connect the terminal to a running container."""

from __future__ import annotations

from sampan.cli.attachment import Attachment, require_terminal
from sampan.cli.containers.waiting import ExitWaiter
from sampan.cli.context import Context
from sampan.cli.engine import container
from sampan.cli.failure import Failure
from sampan.cli.flags import Command, Options
from sampan.cli.terminal import resize


def _check_state(state: dict[str, object]) -> None:
    if not state.get("Running"):
        raise Failure("You cannot attach to a stopped container, start it first")
    if state.get("Paused"):
        raise Failure("You cannot attach to a paused container, unpause it first")
    if state.get("Restarting"):
        raise Failure("You cannot attach to a restarting container, wait until it is running")


def run(context: Context, options: Options, arguments: list[str]) -> int:
    engine = context.engine
    document = engine.get(container(arguments[0]) + "/json")
    assert isinstance(document, dict)
    _check_state(document["State"])
    config = document["Config"]
    terminal = bool(config.get("Tty"))
    stdin = not options.flag("no-stdin") and bool(config.get("OpenStdin"))
    require_terminal(stdin, terminal)
    path = container(document["Id"])
    waiter = ExitWaiter(engine, document["Id"], "")
    keys = options.text("detach-keys")
    wanted = {"stream": True, "stdin": stdin, "stdout": True, "stderr": True, "detachKeys": keys}
    attachment = Attachment(
        context,
        path,
        engine.hijack(path + "/attach", wanted),
        terminal=terminal,
        stdin=stdin,
        keys=keys,
        kill_path=path + "/kill" if options.flag("sig-proxy") and not terminal else "",
    )
    if terminal:
        resize(engine, path, larger=1)  # the change to the right size makes the program draw its screen again
    if not attachment.session():
        raise Failure("read escape sequence")
    return waiter.result()


COMMAND = Command(
    "[OPTIONS] CONTAINER",
    "Attach local standard input, output, and error streams to a running container",
    run,
    aliases=("container attach", "attach"),
    flags=(
        ("detach-keys", "", "string", "Override the key sequence for detaching a container"),
        ("no-stdin", "", "bool", "Do not attach STDIN"),
        ("sig-proxy", "", "bool", "Proxy all received signals to the process (default true)", True),
    ),
    minimum=1,
    maximum=1,
)
