"""`start`: start containers that were created or stopped, and attach to one if asked."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import container
from sampan.cli.failure import ConnectFailure, Failure
from sampan.cli.flags import Command, Options


def run(context: Context, options: Options, arguments: list[str]) -> int:
    for name in ("checkpoint", "checkpoint-dir"):
        if name in options.changed:
            raise Failure(f"--{name} is not supported yet")
    if options.flag("attach") or options.flag("interactive"):
        if len(arguments) > 1:
            raise Failure("you cannot start and attach multiple containers at once")
        return _start_attached(context, options, arguments[0])
    failed = []
    for name in arguments:
        try:
            context.engine.post(container(name) + "/start")
        except ConnectFailure:
            raise
        except Failure as failure:
            context.error(failure.message)
            failed.append(name)
        else:
            context.line(name)
    if failed:
        raise Failure(f"Error: failed to start containers: {', '.join(failed)}")
    return 0


def _start_attached(context: Context, options: Options, name: str) -> int:
    from sampan.cli.attachment import Attachment
    from sampan.cli.containers.waiting import ExitWaiter

    engine = context.engine
    document = engine.get(container(name) + "/json")
    assert isinstance(document, dict)
    config, host = document["Config"], document["HostConfig"]
    path = container(document["Id"])
    stdin = options.flag("interactive") and bool(config.get("OpenStdin"))
    keys = options.text("detach-keys")
    terminal = bool(config.get("Tty"))
    wanted = {"stream": True, "stdin": stdin, "stdout": True, "stderr": True, "detachKeys": keys}
    attachment = Attachment(
        context,
        path,
        engine.hijack(path + "/attach", wanted),
        terminal=terminal,
        stdin=stdin,
        keys=keys,
        kill_path="" if terminal else path + "/kill",
    )
    waiter = ExitWaiter(engine, document["Id"], "removed" if host.get("AutoRemove") else "next-exit")
    try:
        engine.post(path + "/start")
    except Failure:
        attachment.close()
        if host.get("AutoRemove"):
            waiter.result()
        raise
    if not attachment.session():
        return 0
    return waiter.result()


COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Start one or more stopped containers",
    run,
    aliases=("container start", "start"),
    flags=(
        ("attach", "a", "bool", "Attach STDOUT/STDERR and forward signals"),
        ("checkpoint", "", "string", None),
        ("checkpoint-dir", "", "string", None),
        ("detach-keys", "", "string", "Override the key sequence for detaching a container"),
        ("interactive", "i", "bool", "Attach container's STDIN"),
    ),
    minimum=1,
)
