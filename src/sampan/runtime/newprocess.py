"""A process between clone3 and execve, from both sides.

Owns clone3, the way into the cgroup, the conversation with the child, and, if anything fails, that neither
process nor cgroup is left. Knows no specification but its limits, and no operation.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import errno
import fcntl
import os
import select
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from sampan import errors
from sampan.linux import files, processes
from sampan.linux import signals as signal
from sampan.records import dataclass
from sampan.runtime import channel, executor
from sampan.runtime.cgroups import Cgroup
from sampan.runtime.channel import Stage
from sampan.runtime.gotext import go_error
from sampan.runtime.operations import Context, Operation, start_failed
from sampan.runtime.operations.masks import open_null
from sampan.runtime.spec import Resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# All that can be handled, as plain numbers: the functions of `signal` turn each into an enum, 62 times.
_SIGNALS = tuple(sorted(int(number) for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}))


@dataclass(frozen=True, slots=True)
class Launched:
    """A running process. `pidfd` and `console` (the terminal's master) are the caller's to close."""

    pid: int
    pidfd: int
    console: int | None = None
    warnings: tuple[str, ...] = ()


class NewProcess:
    """One process on its way. Unless `succeeded` is called, leaving the stack undoes everything.

    `sibling`: it is not to be our child, but our parent's (clone(2), CLONE_PARENT).
    """

    def __init__(self, cgroup: Cgroup, stack: ExitStack, *, sibling: bool = False) -> None:
        self.pid = 0
        self._pidfd = -1
        self._cgroup = cgroup
        self._made_cgroup = False
        self._sibling = sibling
        self._misborn = False
        self._joined: Mapping[str, int] | None = None
        self._console: int | None = None
        self._release = -1
        self._done = False
        parent_end, self._child_end = channel.open_channel()
        self._channel = channel.ParentChannel(parent_end)
        self.context = Context(channel.ChildChannel(self._child_end))
        stack.callback(self._leave)

    def prepare_cgroup(self, resources: Resources, owner: int | None = None) -> None:
        """Make sure that the cgroup is ours alone; make it now if the process can be born in it.

        `owner`: a user of the host to whom it is delegated.
        """
        if self._cgroup.exists():
            found = self._cgroup.pids()
            if found:
                raise errors.StartFailed(
                    f"container's cgroup is not empty: {len(found)} process(es) found", 125
                )
            # A process would be born to stand still in there.
            if self._cgroup.is_frozen():
                raise errors.StartFailed("container's cgroup unexpectedly frozen", 125)
        self._made_cgroup = True
        if self._cgroup.takes_newborns:
            self._limit(resources)
            if owner is not None:
                self._cgroup.delegate(owner)

    def find_cgroup(self) -> None:
        """For a cgroup that is there already, with its limits: let the process inherit its entrances."""
        try:
            self.context.entrances = self._cgroup.entrances()
        except OSError as error:
            raise start_failed(f"unable to apply cgroup configuration: {_cgroup_error(error)}") from error

    def clone(
        self,
        operations: Sequence[Operation],
        flags: int,
        pid_namespace: int | None,
        joined: Mapping[str, int] | None = None,
    ) -> None:
        """Make the process, in new namespaces (`flags`), or born in an existing pid namespace.

        `joined`: namespaces that it has to be born in, since it could not enter them itself.
        """
        if joined and self._sibling:
            raise errors.Unsupported("a user namespace with joined namespaces is not supported here")
        self._joined = joined
        # The child inherits it: from its first instruction on, nobody inside may trace it or look through its
        # files.
        processes.set_dumpable(False)
        # Here the code for this is warm, and there it is a copy.
        self.context.ignored_signals = tuple(
            [number for number in _SIGNALS if _signal.getsignal(number) == _signal.SIG_IGN]
        )
        with ExitStack() as restore:
            if pid_namespace is not None:
                own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
                restore.callback(os.close, own)
                # Only children are affected (setns(2)), so the one that is born next.
                try:
                    processes.setns(pid_namespace, processes.CLONE_NEWPID)
                except OSError as error:
                    if error.errno == errno.ESRCH:  # of a pidfd: the container has ended
                        raise
                    raise start_failed(f"failed to join the pid namespace: {go_error(error)}") from error
                restore.callback(processes.setns, own, processes.CLONE_NEWPID)
            cgroup_fd = self._birthplace()
            if cgroup_fd is not None:
                restore.callback(os.close, cgroup_fd)
            pid, pidfd = self._clone3(flags, cgroup_fd)
            if pid == 0:
                _become(operations, self.context)
            self.pid, self._pidfd = pid, pidfd
        self._child_end.close()

    def _birthplace(self) -> int | None:
        try:
            return self._cgroup.descriptor()
        except OSError as error:
            raise start_failed(f"unable to apply cgroup configuration: {_cgroup_error(error)}") from error

    def _clone3(self, flags: int, cgroup_fd: int | None) -> tuple[int, int]:
        flags |= processes.CLONE_CLEAR_SIGHAND
        if self._sibling:
            flags |= processes.CLONE_PARENT
        try:
            if cgroup_fd is None:
                return self._clone3_where_needed(flags, None)
            try:
                return self._clone3_where_needed(flags, cgroup_fd)
            except OSError as error:
                # EBUSY: an exec, and the container's init has handed controllers on to cgroups of its own.
                if error.errno not in (errno.EBUSY, errno.EOPNOTSUPP):
                    raise
                self._misborn = True
                self._close_entrances()
                return self._clone3_where_needed(flags, None)
        except OSError as error:
            raise start_failed(f"clone3: {go_error(error)}") from error

    def _clone3_where_needed(self, flags: int, cgroup_fd: int | None) -> tuple[int, int]:
        if not self._joined:
            return processes.clone3(flags, cgroup_fd=cgroup_fd)
        from sampan.runtime import intermediary  # rare

        return intermediary.clone3(self._joined, flags, cgroup_fd)

    def announce(self, stage: Stage) -> None:
        self._channel.announce(stage)

    def enter_cgroup(self, resources: Resources | None) -> None:
        """See to it that the process gets into its cgroup, and tell it. None: keep the limits."""
        if self.context.entrances is not None:
            self._close_entrances()
            return
        if resources is not None and not self._cgroup.takes_newborns:
            self._limit(resources)
        entrances: list[int] = []
        try:
            if self._misborn:
                self._cgroup.attach(self.pid)
            else:
                entrances = self._cgroup.entrances()
        except OSError as error:
            # A process that has failed already cannot be attached: why it has failed is the better answer.
            if error.errno != errno.ESRCH:
                raise start_failed(f"unable to apply cgroup configuration: {_cgroup_error(error)}") from error
        self._channel.announce(Stage.ATTACHED, entrances)
        for fd in entrances:
            os.close(fd)

    def _close_entrances(self) -> None:
        for fd in self.context.entrances or ():
            os.close(fd)
        self.context.entrances = None

    def _limit(self, resources: Resources) -> None:
        try:
            self._cgroup.create()
        except OSError as error:
            raise start_failed(f"unable to apply cgroup configuration: {_cgroup_error(error)}") from error
        try:
            self._cgroup.apply(resources)
        except OSError as error:
            raise start_failed(
                f"error setting cgroup config for procHooks process: {_cgroup_error(error)}"
            ) from error
        except errors.InvalidArgument as error:
            raise start_failed(
                f"error setting cgroup config for procHooks process: {error.message}"
            ) from error

    def follow(
        self,
        run_hooks: Callable[[], None] | None,
        send_listener: Callable[[int], None] | None = None,
    ) -> Launched:
        """Take part in the conversation until the program runs, or the process waits at its gate."""
        warnings: list[str] = []
        ready = False
        while not (ready and self.context.gate is not None):
            message = self._channel.receive()
            if message is None:
                break
            if isinstance(message, channel.Warned):
                warnings.append(message.message)
            elif isinstance(message, channel.Console):
                self._console = message.master
            elif isinstance(message, channel.Mounted):
                if run_hooks is not None:
                    run_hooks()
                self.announce(Stage.HOOKED)
            elif isinstance(message, channel.Listening):
                self._release = message.release
            elif isinstance(message, channel.Listener):
                self._take_listener(message.number, send_listener)
            elif isinstance(message, channel.Ready):
                ready = True
            else:
                raise errors.StartFailed(message.message, message.exit_code)
        if not ready:
            raise self._died()
        return Launched(self.pid, self._pidfd, self._console, tuple(warnings))

    def _take_listener(self, number: int, send: Callable[[int], None] | None) -> None:
        """Hand the listener of the process's seccomp filter to the agent, and let the process go on."""
        try:
            listener = processes.pidfd_getfd(self._pidfd, number)
        except OSError as error:
            raise start_failed(f"cannot take the seccomp listener: {go_error(error)}") from error
        try:
            if send is not None:
                send(listener)
        finally:
            os.close(listener)
        os.read(self._release, 1 << 20)  # it waits until there is room in the pipe
        os.read(self._release, 1)  # closed before, the pipe would be broken for it
        os.close(self._release)
        self._release = -1

    def _died(self) -> errors.StartFailed:
        """The process has gone without a word."""
        self._end()
        try:
            was_oom = self._cgroup.oom_kill_count() > 0
        except OSError:
            was_oom = False
        if was_oom:
            return errors.StartFailed(
                "unable to start container process: container init was OOM-killed (memory limit too low?)",
                125,
            )
        return start_failed("the process ended before it could run its program")

    def succeeded(self) -> None:
        self._done = True

    def _leave(self) -> None:
        self._close_entrances()
        if self._release >= 0:
            os.close(self._release)
        self._channel.close()
        self._child_end.close()
        if self._done:
            return
        if self._pidfd >= 0:
            self._end()
            os.close(self._pidfd)
        if self._console is not None:
            os.close(self._console)
        if self._made_cgroup:
            self._cgroup.kill()
            self._cgroup.delete()

    def _end(self) -> None:
        """Kill the process and wait until it is dead; whoever is its parent has to reap it."""
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass
        if self._sibling:
            dead = select.poll()
            dead.register(self._pidfd, select.POLLIN)
            dead.poll()
            return
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass  # it was reaped by whoever waits for all children


def _cgroup_error(error: OSError) -> str:
    return f"{error.filename or error.strerror}: {go_error(error)}"


def _become(operations: Sequence[Operation], context: Context) -> NoReturn:
    """The life of the new process. It must not return into the frames of its parent, nor run its clean-up."""
    try:
        try:
            _let_go(context)
            executor.run(operations, context)
        except channel.Abandoned:
            pass
        except errors.SampanError as error:
            _tell(context, error.message, getattr(error, "exit_code", 125))
        except BaseException as error:
            _tell(context, f"unable to start container process: {type(error).__name__}: {error}", 125)
    finally:
        os._exit(1)


def _tell(context: Context, message: str, exit_code: int) -> None:
    try:
        context.channel.fail(message, exit_code)
    except channel.Abandoned:
        # Behind a gate there is no parent any more: the container's own stderr is all that is left.
        os.write(2, f"{message}\n".encode())


def _let_go(context: Context) -> None:
    """Keep nothing of the parent but what the plan needs: no signal handlers, no descriptors."""
    for number in context.ignored_signals:
        # CLONE_CLEAR_SIGHAND leaves these, and execve would, too. Python ignores SIGPIPE, for one.
        _signal.signal(number, _signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0)  # the modes of what is made for the container are meant as they are
    if context.stdio is not None:
        stdin, stdout, stderr = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in context.stdio)
        context.stdio = (stdin, stdout, stderr)
    context.null = open_null()  # in the new mount namespace: it is to be mounted there
    kept = {context.channel.fileno(), context.null, context.container}
    kept.update(context.stdio or (), context.entrances or ())
    kept.update(context.mount_sources.values(), context.namespaces.values(), context.opened.values())
    kept.update(fd for fd in (context.rootfs, context.gate) if fd is not None)
    kept.update(range(3 + context.preserve_fds))
    _close_all_but(kept)


def _close_all_but(kept: set[int]) -> None:
    first = 3
    for fd in sorted(kept):
        if fd >= first:
            if fd > first:
                files.close_range(first, fd - 1, 0)
            first = fd + 1
    files.close_range(first, files.LAST_DESCRIPTOR, 0)
    files.close_range(3, files.LAST_DESCRIPTOR, files.CLOSE_RANGE_CLOEXEC)
