"""Where the new process depends on its parent, or lets others have their turn."""

from __future__ import annotations

import errno
import os
import select

from sampan.records import dataclass, replace
from sampan.runtime import hooks
from sampan.runtime.channel import Abandoned, Stage
from sampan.runtime.gotext import go_error
from sampan.runtime.operations import Context, start_failed
from sampan.runtime.spec import Hook
from sampan.runtime.state import State


@dataclass(frozen=True, slots=True)
class Await:
    stage: Stage

    def describe(self) -> str:
        return f"wait until the parent has {self.stage.name.lower()} this process"

    def execute(self, context: Context) -> None:
        context.channel.wait(self.stage)


@dataclass(frozen=True, slots=True)
class EnterCgroup:
    """Be in the cgroup, with all its limits: go through the entrances that the parent has opened, if any.

    They were inherited if the cgroup was there before this process, and else come from the parent.
    """

    def describe(self) -> str:
        return "enter the cgroup when the parent has prepared it"

    def execute(self, context: Context) -> None:
        entrances = context.entrances
        for fd in context.channel.wait(Stage.ATTACHED) if entrances is None else entrances:
            try:
                os.write(fd, b"0")
            except OSError as error:
                raise start_failed(f"unable to apply cgroup configuration: {go_error(error)}") from error
            finally:
                os.close(fd)


@dataclass(frozen=True, slots=True)
class ConfigureNetwork:
    """Let the caller's `inside` work in the new network namespace: addresses, routes."""

    def describe(self) -> str:
        return "configure the network from inside"

    def execute(self, context: Context) -> None:
        if context.inside is None:
            return
        try:
            context.inside()
        except OSError as error:
            what = f"{error.filename}: " if error.filename else ""
            raise start_failed(f"error setting up the network: {what}{go_error(error)}") from error


@dataclass(frozen=True, slots=True)
class AwaitRuntimeHooks:
    """The parent runs prestart and createRuntime hooks now: all is mounted, the root not changed yet."""

    def describe(self) -> str:
        return "let the parent run the hooks prestart and createRuntime"

    def execute(self, context: Context) -> None:
        context.channel.mounted()
        context.channel.wait(Stage.HOOKED)


@dataclass(frozen=True, slots=True)
class RunHooks:
    """Hooks that run in the container's namespaces: createContainer and startContainer."""

    kind: str
    hooks: tuple[Hook, ...]
    state: State
    env: tuple[str, ...] = ()  # for hooks that have none of their own, as in runc: the program's

    def describe(self) -> str:
        return f"run {len(self.hooks)} {self.kind} hooks"

    def execute(self, context: Context) -> None:
        # Inside, the process is known by its pid in the container.
        state = replace(self.state, pid=os.getpid()).to_json()
        hooks.run(self.kind, self.hooks, state, dict(entry.partition("=")[::2] for entry in self.env))


@dataclass(frozen=True, slots=True)
class PassGate:
    """All that can fail is done: say so, and wait for the one byte that lets the program start."""

    def describe(self) -> str:
        return "wait at the gate"

    def execute(self, context: Context) -> None:
        context.channel.ready()
        if context.gate is None:
            return
        # The gate may be a FIFO whose other end nobody has opened yet: poll waits for that, read would not.
        poll = select.poll()
        poll.register(context.gate, select.POLLIN)
        poll.poll()
        try:
            opened = os.read(context.gate, 1)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
            opened = b""
        if not opened:
            raise Abandoned
