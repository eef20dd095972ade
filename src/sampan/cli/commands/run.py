"""`run`: create a container, attach to it, start it, and end with its exit code.

The order is Docker's: create, attach, wait, start. Attached before it starts, nothing of the output is lost;
waited for before it starts, neither is the exit code of a container that removes itself.
"""

from __future__ import annotations

from sampan.cli.attachment import Attachment, require_terminal
from sampan.cli.containers.config import CONVERT
from sampan.cli.containers.creation import body_of, check_pull, create, refuse_flags
from sampan.cli.containers.flags import FLAGS
from sampan.cli.containers.waiting import ExitWaiter
from sampan.cli.context import Context
from sampan.cli.engine import container
from sampan.cli.failure import PROGRAM, Failure
from sampan.cli.flags import Command, Options
from sampan.cli.terminal import window_size

NOT_FOUND = (
    "executable file not found",
    "no such file or directory",
    "system cannot find the file specified",
)
NOT_EXECUTABLE = ("permission denied", "is a directory")


def _with_help(failure: Failure, status: int = 125) -> Failure:
    """Docker's frame around every error of `run`."""
    return Failure(f"{PROGRAM}: {failure.message}\n\nRun '{PROGRAM} run --help' for more information", status)


def _start_status(message: str) -> int:
    if any(words in message for words in NOT_FOUND):
        return 127
    return 126 if any(words in message for words in NOT_EXECUTABLE) else 125


def run(context: Context, options: Options, arguments: list[str]) -> int:
    detach = options.flag("detach")
    refuse_flags(options)
    try:
        check_pull(options)
        body = body_of(options, arguments, detach)
    except Failure as failure:
        raise _with_help(failure) from None
    if detach:
        if options.items("attach"):
            raise Failure("conflicting options: cannot specify both --attach and --detach")
        body |= {"AttachStdin": False, "AttachStdout": False, "AttachStderr": False, "StdinOnce": False}
    else:
        require_terminal(bool(body["AttachStdin"]), options.flag("tty"))
    host = body["HostConfig"]
    assert isinstance(host, dict)
    host["ConsoleSize"] = list(window_size())
    try:
        identifier = create(context, options, body)
    except Failure as failure:
        raise _with_help(failure, _start_status(failure.message)) from None
    if not (body["AttachStdin"] or body["AttachStdout"] or body["AttachStderr"]):
        return _run_detached(context, identifier)
    return _run_attached(context, options, body, identifier)


def _run_detached(context: Context, identifier: str) -> int:
    try:
        context.engine.post(container(identifier) + "/start")
    except Failure as failure:
        context.line(identifier)
        raise _with_help(failure, _start_status(failure.message)) from None
    context.line(identifier)
    return 0


def _run_attached(context: Context, options: Options, body: dict[str, object], identifier: str) -> int:
    engine = context.engine
    path = container(identifier)
    keys = options.text("detach-keys")
    wanted = {
        "stream": True,
        "stdin": body["AttachStdin"],
        "stdout": body["AttachStdout"],
        "stderr": body["AttachStderr"],
        "detachKeys": keys,
    }
    removes = options.flag("rm")
    try:
        attachment = Attachment(
            context,
            path,
            engine.hijack(path + "/attach", wanted),
            terminal=options.flag("tty"),
            stdin=bool(body["AttachStdin"]),
            stdout=bool(body["AttachStdout"]),
            stderr=bool(body["AttachStderr"]),
            keys=keys,
            kill_path=path + "/kill" if options.flag("sig-proxy") else "",
        )
        waiter = ExitWaiter(engine, identifier, "removed" if removes else "next-exit")
    except Failure as failure:
        raise _with_help(failure) from None
    try:
        engine.post(path + "/start")
    except Failure as failure:
        attachment.close()
        if removes:
            waiter.result()
        raise _with_help(failure, _start_status(failure.message)) from None
    if not attachment.session():
        return 0
    return waiter.result()


COMMAND = Command(
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create and run a new container from an image",
    run,
    aliases=("container run", "run"),
    flags=(
        *FLAGS,
        ("detach", "d", "bool", "Run container in background and print container ID"),
        ("detach-keys", "", "string", "Override the key sequence for detaching a container"),
        ("sig-proxy", "", "bool", "Proxy received signals to the process (default true)", True),
    ),
    convert=CONVERT,
    minimum=1,
    interspersed=False,
)
