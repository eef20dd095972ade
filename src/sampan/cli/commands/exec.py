"""`exec`: run a command in a running container, and end with its exit code."""

from __future__ import annotations

from sampan.cli.attachment import Attachment, require_terminal
from sampan.cli.containers.envfiles import read_env_files
from sampan.cli.containers.values import env
from sampan.cli.context import Context
from sampan.cli.engine import container
from sampan.cli.failure import Failure
from sampan.cli.flags import Command, Options
from sampan.cli.terminal import is_terminal, window_size


def _body(options: Options, command: list[str]) -> dict[str, object]:
    detach = options.flag("detach")
    try:
        variables = read_env_files(options.items("env-file")) + options.items("env")
    except ValueError as error:
        raise Failure(str(error)) from None
    body: dict[str, object] = {
        "User": options.text("user"),
        "Privileged": options.flag("privileged"),
        "Tty": options.flag("tty"),
        "AttachStdin": options.flag("interactive") and not detach,
        "AttachStderr": not detach,
        "AttachStdout": not detach,
        "Detach": detach,
        "DetachKeys": options.text("detach-keys"),
        "Env": variables or None,
        "WorkingDir": options.text("workdir"),
        "Cmd": command,
    }
    if options.flag("tty"):
        body["ConsoleSize"] = list(window_size())
    return body


def run(context: Context, options: Options, arguments: list[str]) -> int:
    engine = context.engine
    path = container(arguments[0])
    body = _body(options, arguments[1:])
    terminal, detach = options.flag("tty"), options.flag("detach")
    if not detach and body["AttachStdin"] and terminal and not is_terminal(0):
        engine.get(path + "/json")  # that there is no such container is the better complaint
        require_terminal(True, True)
    created = engine.post(path + "/exec", body=body)
    assert isinstance(created, dict)
    if not created.get("Id"):
        raise Failure("exec ID empty")
    exec_path = f"/exec/{created['Id']}"
    start: dict[str, object] = {"Detach": detach, "Tty": terminal}
    if "ConsoleSize" in body:
        start["ConsoleSize"] = body["ConsoleSize"]
    if detach:
        engine.post(exec_path + "/start", body=start)
        return 0
    attachment = Attachment(
        context,
        exec_path,
        engine.hijack(exec_path + "/start", {}, start),
        terminal=terminal,
        stdin=bool(body["AttachStdin"]),
        keys=options.text("detach-keys"),
    )
    if not attachment.session():
        raise Failure("read escape sequence")
    document = engine.get(exec_path + "/json")
    assert isinstance(document, dict)
    code = document.get("ExitCode")
    return code if isinstance(code, int) else 0


COMMAND = Command(
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    "Execute a command in a running container",
    run,
    aliases=("container exec", "exec"),
    flags=(
        ("detach", "d", "bool", "Detached mode: run command in the background"),
        ("detach-keys", "", "string", "Override the key sequence for detaching a container"),
        ("env", "e", "list", "Set environment variables"),
        ("env-file", "", "list", "Read in a file of environment variables"),
        ("interactive", "i", "bool", "Keep STDIN open even if not attached"),
        ("privileged", "", "bool", "Give extended privileges to the command"),
        ("tty", "t", "bool", "Allocate a pseudo-TTY"),
        ("user", "u", "string", 'Username or UID (format: "<name|uid>[:<group|gid>]")'),
        ("workdir", "w", "string", "Working directory inside the container"),
    ),
    convert={"env": env},
    minimum=2,
    interspersed=False,
)
