"""Hooks: running a list of them, with the container's state on their stdin and a timeout each.

Knows nothing of when a hook runs. Must not be used by a process whose other children matter to `waitpid(-1)`.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence

from sampan import errors
from sampan.linux import processes
from sampan.linux import signals as signal
from sampan.runtime.gotext import go_error
from sampan.runtime.spec import Hook


def run(kind: str, hooks: Sequence[Hook], state: str) -> None:
    """Run all of them in order. Raises StartFailed at the first that fails, in runc's words."""
    for index, hook in enumerate(hooks):
        problem = _run_one(hook, state)
        if problem:
            raise errors.StartFailed(
                f"unable to start container process: error running {kind} hook #{index}: {problem}", 125
            )


def run_all(hooks: Sequence[Hook], state: str) -> list[str]:
    """Run every one of them, whatever the others do; tell what went wrong: poststop hooks cannot stop a
    delete.
    """
    problems = (_run_one(hook, state) for hook in hooks)
    return [problem for problem in problems if problem]


def _run_one(hook: Hook, state: str) -> str | None:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    error_reader, error_writer = os.pipe2(os.O_CLOEXEC)
    try:
        actions = [
            (os.POSIX_SPAWN_DUP2, reader, 0),
            (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, error_writer, 2),
        ]
        environment = dict(entry.partition("=")[::2] for entry in hook.env)
        try:
            pid = os.posix_spawn(
                hook.path,
                hook.args or (hook.path,),
                environment,
                file_actions=actions,
                setsigmask=(),
                setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
            )
        except OSError as error:
            return f"fork/exec {hook.path}: {go_error(error)}"
        os.close(reader)
        reader = -1
        os.close(error_writer)
        error_writer = -1
        # Smaller than a pipe's buffer, so this cannot block; a hook need not read it.
        try:
            os.write(writer, state.encode()[:65536])
        except BrokenPipeError:
            pass
        os.close(writer)
        writer = -1
        return _wait(pid, hook, error_reader)
    finally:
        for fd in (reader, writer, error_reader, error_writer):
            if fd >= 0:
                os.close(fd)


def _wait(pid: int, hook: Hook, error_reader: int) -> str | None:
    deadline = None if hook.timeout is None else time.monotonic() + hook.timeout
    pidfd = processes.pidfd_open(pid)
    stderr = b""
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.register(error_reader, select.POLLIN)
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            ready = dict(poll.poll(left))
            if error_reader in ready:
                part = os.read(error_reader, 65536)
                stderr = (stderr + part)[-4096:]
                if not part:
                    poll.unregister(error_reader)
            elif pidfd in ready:
                break
            elif not ready:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return f"hook ran past specified timeout of {hook.timeout}.0s"
    finally:
        os.close(pidfd)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code == 0:
        return None
    text = stderr.decode(errors="replace")
    status = f"exit status {code}" if code > 0 else f"signal: {signal.strsignal(-code)}"
    return f"{status}, stdout: , stderr: {text}"
