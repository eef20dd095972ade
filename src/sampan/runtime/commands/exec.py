"""`exec`: a further process in a running container."""

from __future__ import annotations

import json
import os

from sampan import errors
from sampan.linux import signals as signal
from sampan.records import replace
from sampan.runtime import spec as specification
from sampan.runtime.command_line import log
from sampan.runtime.commands import create, streams
from sampan.runtime.commands.arguments import Arguments, Command, Option, UsageError
from sampan.runtime.containers import ContainerStore
from sampan.runtime.launch import launch_exec, seccomp_filter
from sampan.runtime.plan import Joinable
from sampan.runtime.spec import Capabilities, Process, Spec, parse_process

_REFUSED = ("process-label", "apparmor", "cgroup")


def run(arguments: Arguments) -> int:
    for option in _REFUSED:
        if arguments.text(option):
            raise errors.Unsupported(f"--{option} is not supported yet")
    container = ContainerStore(arguments.settings.root).load(arguments.words[0])
    status = container.status()
    if status == "stopped":
        raise errors.Conflict("cannot exec in a stopped container")
    if status == "paused" and not arguments.flag("ignore-paused"):
        raise errors.Conflict("cannot exec in a paused container (use --ignore-paused to override)")
    loaded = container.spec()
    process = _process(arguments, loaded)
    detached = arguments.flag("detach")
    streams.check_console(arguments, process.terminal, detached)
    if not detached:
        process = streams.with_own_size(process)
    launched = launch_exec(
        container.pid,
        process,
        joinable=Joinable.of(loaded),
        compiled=seccomp_filter(loaded),
        cgroup=container.cgroup(),
        stdio=streams.own_stdio(process),
        user=arguments.text("user") or None,
        groups=arguments.all("additional-gids"),
        state=container.state(status),
        options=create.options(arguments),
    )
    for warning in launched.warnings:
        log(arguments.settings, "warning", warning)
    try:
        create.write_pid_file(arguments, launched.pid)
        if detached:
            streams.hand_over_console(arguments, launched)
            return 0
        return streams.stay(launched)
    except BaseException:
        signal.pidfd_send_signal(launched.pidfd, signal.SIGKILL)
        raise


def _process(arguments: Arguments, loaded: Spec) -> Process:
    """The process of --process, or the container's own with what the options change."""
    path = arguments.text("process")
    if path:
        with open(path, "rb") as file:
            try:
                return parse_process(json.loads(file.read(specification.MAX_CONFIG)))
            except ValueError as error:
                raise errors.InvalidArgument(f"{path} is not JSON: {error}") from None
    if len(arguments.words) < 2:
        raise UsageError("process args cannot be empty")
    assert loaded.process is not None
    process = loaded.process
    for entry in arguments.all("env"):
        if entry.find("=") < 1:
            raise errors.InvalidArgument(f'invalid environment variable: "{entry}"')
    preserved = arguments.number("preserve-fds") or 0
    listen = (f"LISTEN_FDS={preserved}",) if preserved and "LISTEN_FDS" in os.environ else ()
    return replace(
        process,
        args=arguments.words[1:],
        cwd=arguments.text("cwd") or process.cwd,
        env=(*process.env, *arguments.all("env"), *listen),
        terminal=arguments.flag("tty"),
        console_size=None,
        no_new_privileges=arguments.flag("no-new-privs")
        if arguments.given("no-new-privs")
        else process.no_new_privileges,
        capabilities=_with_capabilities(process.capabilities, arguments.all("cap")),
    )


def _with_capabilities(given: Capabilities | None, added: tuple[str, ...]) -> Capabilities | None:
    if not added:
        return given
    given = given or Capabilities()
    return replace(
        given,
        bounding=(*given.bounding, *added),
        effective=(*given.effective, *added),
        permitted=(*given.permitted, *added),
    )


COMMAND = Command(
    name="exec",
    usage="<container-id> <command> [command options]  || -p process.json <container-id>",
    summary="execute new process inside the container",
    run=run,
    options=(
        Option(
            ("console-socket",), "path to an AF_UNIX socket which will receive the master of the terminal"
        ),
        Option(("cwd",), "current working directory in the container"),
        Option(("env", "e"), "set environment variables", repeated=True),
        Option(("tty", "t"), "allocate a pseudo-TTY", flag=True),
        Option(("user", "u"), "user (format: <name|uid>[:<group|gid>])"),
        Option(("additional-gids", "g"), "additional gids", repeated=True),
        Option(("process", "p"), "path to the process.json"),
        Option(("detach", "d"), "detach from the container's process", flag=True),
        Option(("pid-file",), "specify the file to write the process id to"),
        Option(("process-label",), "not supported yet"),
        Option(("apparmor",), "not supported yet"),
        Option(("no-new-privs",), "set the no new privileges value for the process", flag=True),
        Option(("cap", "c"), "add a capability to the sets of the process", repeated=True),
        Option(("preserve-fds",), "pass N additional file descriptors to the process"),
        Option(("cgroup",), "not supported yet"),
        Option(("ignore-paused",), "allow exec in a paused container", flag=True),
    ),
    words=(1, None),
    failure_code=255,
    prefix="exec failed: ",
)
