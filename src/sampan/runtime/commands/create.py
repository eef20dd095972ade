"""`create`: everything but the program, which waits at a gate for `start`."""

from __future__ import annotations

import os
import sys

from sampan import errors
from sampan.linux import signals as signal
from sampan.records import replace
from sampan.runtime import containers, hooks
from sampan.runtime import spec as specification
from sampan.runtime.cgroups import open_cgroups
from sampan.runtime.command_line import log
from sampan.runtime.commands import streams
from sampan.runtime.commands.arguments import Arguments, Command, Option
from sampan.runtime.containers import Container, ContainerStore
from sampan.runtime.launch import Launched, Options, launch

OPTIONS = (
    Option(("bundle", "b"), "path to the root of the bundle directory, defaults to the current directory"),
    Option(("console-socket",), "path to an AF_UNIX socket which will receive the master of the terminal"),
    Option(("pid-file",), "specify the file to write the process id to"),
    Option(("no-pivot",), "not supported: the root is always changed with pivot_root", flag=True),
    Option(("no-new-keyring",), "not supported: the container always gets a session keyring", flag=True),
    Option(("preserve-fds",), "pass N additional file descriptors to the container"),
)


def run(arguments: Arguments) -> int:
    store = ContainerStore(arguments.settings.root)
    container, launched = create_container(store, arguments, gated=True, detached=True)
    let_go(store, arguments, container, launched)
    return 0


def let_go(store: ContainerStore, arguments: Arguments, container: Container, launched: Launched) -> None:
    """Leave a container to itself, its terminal and pid to those who asked for them; or leave none behind."""
    try:
        streams.hand_over_console(arguments, launched)
        write_pid_file(arguments, container.pid)
    except BaseException:
        signal.pidfd_send_signal(launched.pidfd, signal.SIGKILL)
        os.waitpid(launched.pid, 0)
        destroy(store, container)
        raise
    os.close(launched.pidfd)


def create_container(
    store: ContainerStore, arguments: Arguments, *, gated: bool, detached: bool
) -> tuple[Container, Launched]:
    """Make a container from a bundle. `gated`: its program waits for `start`."""
    for option in ("no-pivot", "no-new-keyring"):
        if arguments.flag(option):
            raise errors.Unsupported(f"--{option} is not supported")
    bundle = os.path.abspath(arguments.text("bundle", "."))
    if not os.path.isdir(bundle):
        raise errors.InvalidArgument(f"chdir {bundle}: no such file or directory")
    container_id = arguments.words[0]
    loaded = specification.load(bundle)
    process = loaded.process
    if process is None:
        raise errors.InvalidArgument("process property must not be empty")
    streams.check_console(arguments, process.terminal, detached)
    if not detached:
        loaded = replace(loaded, process=streams.with_own_size(process))
    cgroup_path = loaded.linux.cgroups_path or container_id
    cgroup = open_cgroups().cgroup(cgroup_path)
    folder = store.reserve(container_id, bundle)
    gate = None
    try:
        if gated:
            os.mkfifo(f"{folder}/{containers.GATE}", 0o600)
            gate = os.open(f"{folder}/{containers.GATE}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        launched = launch(
            loaded,
            bundle,
            container_id=container_id,
            cgroup=cgroup,
            stdio=streams.own_stdio(process),
            gate=gate,
            options=options(arguments),
        )
        container = containers.remember(container_id, folder, bundle, loaded, cgroup_path, launched.pid)
        store.save(container)
    except BaseException:
        store.forget(container_id)
        raise
    finally:
        if gate is not None:
            os.close(gate)
    for warning in launched.warnings:
        log(arguments.settings, "warning", warning)
    return container, launched


def options(arguments: Arguments) -> Options:
    """What create, run and exec have in common."""
    settings = arguments.settings

    def debug(plan: str) -> None:
        for line in plan.splitlines():
            log(settings, "debug", line)

    preserve = arguments.number("preserve-fds") or 0
    if preserve < 0:
        raise errors.InvalidArgument("--preserve-fds must not be negative")
    for fd in range(3, 3 + preserve):
        try:
            os.fstat(fd)
        except OSError:
            raise errors.InvalidArgument(f"please check that preserved-fd {fd} is present") from None
    return Options(preserve_fds=preserve, debug=debug if settings.debug else None)


def write_pid_file(arguments: Arguments, pid: int) -> None:
    """Whole or not at all: who waits for the file reads it at once."""
    path = arguments.text("pid-file")
    if not path:
        return
    folder, name = os.path.split(os.path.abspath(path))
    beside = f"{folder}/.{name}"
    with open(beside, "w", encoding="ascii") as file:
        file.write(str(pid))
    os.rename(beside, path)


def destroy(store: ContainerStore, container: Container) -> None:
    """Remove what `create` has made; the container must have stopped."""
    loaded = container.spec()
    cgroup = container.cgroup()
    # Without a pid namespace of its own the container may have left processes behind.
    cgroup.kill()
    cgroup.delete()
    if loaded.linux.intel_rdt is not None:
        from sampan.runtime import resctrl  # rare

        resctrl.ResctrlGroup(resctrl.find_resctrl(), loaded.linux.intel_rdt, container.id).remove()
    state = container.state("stopped").to_json()
    for problem in hooks.run_all(loaded.hooks.poststop, state):
        print(f"error running poststop hook: {problem}", file=sys.stderr)
    store.forget(container.id)


COMMAND = Command(
    name="create",
    usage="<container-id>",
    summary="create a container",
    run=run,
    options=OPTIONS,
    prefix="sampan-runtime create failed: ",
)
