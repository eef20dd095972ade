"""Hooks: running a list of them, with the container's state on their stdin and a timeout each.

Knows nothing of when a hook runs. Must not be used by a process whose other children matter to `waitpid(-1)`.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Mapping, Sequence

from sampan import errors
from sampan.linux import processes
from sampan.linux import signals as signal
from sampan.runtime.gotext import go_error
from sampan.runtime.spec import Hook


def run(kind: str, hooks: Sequence[Hook], state: str, env: Mapping[str, str] | None = None) -> None:
    """Run all of them in order. Raises StartFailed at the first that fails, in runc's words.

    `env` is for hooks that have none of their own; without it they get the runtime's.
    """
    for index, hook in enumerate(hooks):
        problem = _run_one(hook, state, env)
        if problem:
            raise errors.StartFailed(
                f"unable to start container process: error running {kind} hook #{index}: {problem}", 125
            )


def run_all(hooks: Sequence[Hook], state: str) -> list[str]:
    """Run every one of them, whatever the others do; tell what went wrong: poststop hooks cannot stop a
    delete.
    """
    problems = (_run_one(hook, state, None) for hook in hooks)
    return [problem for problem in problems if problem]


def _run_one(hook: Hook, state: str, env: Mapping[str, str] | None) -> str | None:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    error_reader, error_writer = os.pipe2(os.O_CLOEXEC)
    try:
        actions = [
            (os.POSIX_SPAWN_DUP2, reader, 0),
            (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, error_writer, 2),
        ]
        if hook.env is not None:
            env = dict(entry.partition("=")[::2] for entry in hook.env)
        try:
            pid = os.posix_spawn(
                hook.path,
                hook.args or (hook.path,),
                os.environ if env is None else env,
                file_actions=actions,
                setsigmask=(),
                setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
            )
        except OSError as error:
            return f"fork/exec {hook.path}: {go_error(error)}"
        finally:
            os.close(reader)
            os.close(error_writer)
        writing, writer = writer, -1
        return _accompany(pid, hook, writing, state.encode(), error_reader)
    finally:
        os.close(error_reader)
        if writer >= 0:
            os.close(writer)


def _accompany(pid: int, hook: Hook, writer: int, state: bytes, error_reader: int) -> str | None:
    """Feed a hook the state, collect what it says on stderr, and wait for its end. Closes `writer`.

    The state may be longer than a pipe takes at once (annotations), and a hook need not read it.
    """
    deadline = None if hook.timeout is None else time.monotonic() + hook.timeout
    # In the container's first process the signal has its default again, which is death.
    on_broken_pipe = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    pidfd = processes.pidfd_open(pid)
    os.set_blocking(writer, False)
    stderr = b""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(error_reader, select.POLLIN)
    poll.register(writer, select.POLLOUT)
    try:
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            ready = dict(poll.poll(left))
            if writer in ready:
                state = _feed(writer, state)
                if not state:
                    poll.unregister(writer)
                    os.close(writer)
                    writer = -1
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
        signal.signal(signal.SIGPIPE, on_broken_pipe)
        os.close(pidfd)
        if writer >= 0:
            os.close(writer)
    return _judge(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), stderr)


def _feed(writer: int, state: bytes) -> bytes:
    """Write as much as there is room for; returns what is left, nothing if nobody reads it."""
    try:
        return state[os.write(writer, state) :]
    except BlockingIOError:
        return state
    except BrokenPipeError:
        return b""


def _judge(code: int, stderr: bytes) -> str | None:
    if code == 0:
        return None
    status = f"exit status {code}" if code > 0 else f"signal: {signal.strsignal(-code)}"
    return f"{status}, stdout: , stderr: {stderr.decode(errors='replace')}"
