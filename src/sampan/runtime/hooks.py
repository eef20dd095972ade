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
    """What is wrong with it, or None."""
    if hook.env is not None:
        env = dict(entry.partition("=")[::2] for entry in hook.env)
    try:
        running = _Running(hook, os.environ if env is None else env)
    except OSError as error:
        return f"fork/exec {hook.path}: {go_error(error)}"
    # In the container's first process the signal has its default again, which is death.
    on_broken_pipe = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        return running.end(state.encode())
    finally:
        signal.signal(signal.SIGPIPE, on_broken_pipe)
        running.close()


class _Running:
    """A hook at work. Raises OSError if it cannot be executed."""

    def __init__(self, hook: Hook, env: Mapping[str, str]) -> None:
        (stdin, self._stdin), (self._stdout, stdout), (self._stderr, stderr) = (
            os.pipe2(os.O_CLOEXEC) for _ in range(3)
        )
        theirs = (stdin, stdout, stderr)
        self._timeout = hook.timeout
        self._said = {self._stdout: b"", self._stderr: b""}
        try:
            self._pid = os.posix_spawn(
                hook.path,
                hook.args or (hook.path,),
                env,
                file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(theirs)],
                setsigmask=(),
                setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
            )
        except OSError:
            self.close()
            raise
        finally:
            for fd in theirs:
                os.close(fd)

    def end(self, state: bytes) -> str | None:
        """Feed it the state, keep what it says, and wait for its end; returns what went wrong."""
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        pidfd = processes.pidfd_open(self._pid)
        try:
            in_time = self._accompany(pidfd, state, deadline)
        finally:
            os.close(pidfd)
        if not in_time:
            os.kill(self._pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        if not in_time:
            return f"hook ran past specified timeout of {self._timeout}.0s"
        if code == 0:
            return None
        status = f"exit status {code}" if code > 0 else f"signal: {signal.strsignal(-code)}"
        stdout, stderr = (said.decode(errors="replace") for said in self._said.values())
        return f"{status}, stdout: {stdout}, stderr: {stderr}"

    def _accompany(self, pidfd: int, state: bytes, deadline: float | None) -> bool:
        """Until it has ended, False if that takes too long.

        The state may be longer than a pipe takes at once (annotations), and a hook need not read it.
        """
        for fd in (self._stdin, *self._said):
            os.set_blocking(fd, False)
        poll = select.poll()
        poll.register(self._stdin, select.POLLOUT)
        for fd in (*self._said, pidfd):
            poll.register(fd, select.POLLIN)
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            ready = dict(poll.poll(left))
            if self._stdin in ready:
                state = _feed(self._stdin, state)
                if not state:
                    poll.unregister(self._stdin)
                    os.close(self._stdin)
                    self._stdin = -1
            for fd in self._said:
                # At its end, what it has said since; who has its pipes and lives on is not waited for.
                if (fd in ready or pidfd in ready) and not self._listen(fd) and fd in ready:
                    poll.unregister(fd)
            if pidfd in ready:
                return True
            if not ready:
                return False

    def _listen(self, fd: int) -> bool:
        """Keep the end of what it says; False if it can say no more."""
        try:
            part = os.read(fd, 65536)  # as much as a pipe holds
        except BlockingIOError:
            return True
        self._said[fd] = (self._said[fd] + part)[-4096:]
        return bool(part)

    def close(self) -> None:
        for fd in (self._stdin, self._stdout, self._stderr):
            if fd >= 0:
                os.close(fd)


def _feed(writer: int, state: bytes) -> bytes:
    """Write as much as there is room for; returns what is left, nothing if nobody reads it."""
    try:
        return state[os.write(writer, state) :]
    except BlockingIOError:
        return state
    except BrokenPipeError:
        return b""
