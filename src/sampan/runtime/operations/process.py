"""The process itself: its session, streams, limits, identity and rights, and the program it becomes."""

from __future__ import annotations

import errno
import os
import resource

from sampan import errors
from sampan.linux import capabilities, processes, seccomp, syscalls, terminals
from sampan.records import dataclass
from sampan.runtime import users
from sampan.runtime.gotext import go_error
from sampan.runtime.operations import Context, start_failed
from sampan.runtime.spec import Capabilities, Rlimit, User

# waitpid's and Docker's codes for a program that cannot be found, or cannot be run.
NOT_FOUND, NOT_EXECUTABLE = 127, 126

_INFINITY = 2**64 - 1


@dataclass(frozen=True, slots=True)
class ConnectStreams:
    """A session of its own, and the terminal or the three given descriptors as stdin, stdout and stderr."""

    def describe(self) -> str:
        return "start a session and connect stdin, stdout and stderr"

    def execute(self, context: Context) -> None:
        os.setsid()
        if context.console is not None:
            terminals.set_controlling_terminal(context.console)
            given = (context.console,) * 3
        elif context.stdio is not None:
            given = context.stdio
        else:
            given = (context.null,) * 3
        # dup2 of a descriptor onto itself would leave it close-on-exec; the given ones are all above 2.
        for number, fd in enumerate(given):
            os.dup2(fd, number, inheritable=True)


@dataclass(frozen=True, slots=True)
class SetRlimits:
    rlimits: tuple[Rlimit, ...]

    def describe(self) -> str:
        return "set " + " ".join(f"{limit.type}={limit.soft}:{limit.hard}" for limit in self.rlimits)

    def execute(self, context: Context) -> None:
        for limit in self.rlimits:
            soft, hard = _python_limit(limit.soft), _python_limit(limit.hard)
            try:
                resource.setrlimit(limit.number, (soft, hard))
            except (ValueError, PermissionError) as error:
                # Even root may lack CAP_SYS_RESOURCE: then go as far as it is allowed.
                ceiling = resource.getrlimit(limit.number)[1]
                if isinstance(error, ValueError) and ceiling == resource.RLIM_INFINITY:
                    raise start_failed(f"error setting rlimit type {limit.number}: {error}") from error
                allowed = (_lower(soft, ceiling), _lower(hard, ceiling))
                resource.setrlimit(limit.number, allowed)
                context.channel.warn(
                    f"{limit.type} {limit.soft}:{limit.hard} is more than this host allows,"
                    f" using {allowed[0]}:{allowed[1]}"
                )


def _python_limit(value: int) -> int:
    return resource.RLIM_INFINITY if value == _INFINITY else value


def _lower(value: int, ceiling: int) -> int:
    if ceiling == resource.RLIM_INFINITY:
        return value
    return ceiling if value == resource.RLIM_INFINITY else min(value, ceiling)


@dataclass(frozen=True, slots=True)
class ResolveUser:
    """Find out who the process is to be: by name, from the container's own files, if `text` is given."""

    user: User
    text: str | None
    groups: tuple[str, ...]
    home_needed: bool

    def describe(self) -> str:
        return f"resolve user {self.text or self.user.uid}"

    def execute(self, context: Context) -> None:
        if context.is_user_known:
            return
        if self.text is None and not self.groups:
            context.user = self.user
            if self.home_needed:
                context.home = users.home_of(context.root, self.user.uid)
        else:
            found = users.resolve(context.root, self.text or "", self.groups)
            context.home = found.home
            context.user = User(found.uid, found.gid, found.additional_gids, self.user.umask)
        context.is_user_known = True


@dataclass(frozen=True, slots=True)
class OwnStreams:
    """Let the user open /dev/stdout again: the pipes or the terminal become the user's, as with runc."""

    def describe(self) -> str:
        return "give the streams to the user"

    def execute(self, context: Context) -> None:
        null = os.fstat(context.null).st_rdev
        for number in range(3):
            found = os.fstat(number)
            if found.st_rdev == null or found.st_uid == context.user.uid:
                continue
            try:
                os.fchown(number, context.user.uid, -1)
            except OSError as error:
                # runc: an unmapped owner, a read-only file system or an immutable file need not fail.
                if error.errno not in (errno.EINVAL, errno.EPERM, errno.EROFS):
                    raise start_failed(f"fchown of stream {number}: {go_error(error)}") from error


@dataclass(frozen=True, slots=True)
class EnterDirectory:
    """Change to the working folder, which never lies outside the root.

    `create`: make it if it is missing, as runc does for a container's first process and for no other.
    """

    cwd: str
    create: bool

    def describe(self) -> str:
        return f"chdir {self.cwd}{' (created if missing)' if self.create else ''}"

    def execute(self, context: Context) -> None:
        try:
            # No magic link is followed here: /proc/self/fd/7 may lead out of the root (CVE-2024-21626).
            if self.create:
                fd = context.root.make_directory(self.cwd)
            else:
                fd = context.root.open(self.cwd, os.O_PATH | os.O_DIRECTORY)
        except OSError as error:
            raise self._failed(error) from error
        try:
            os.fchdir(fd)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            os.close(fd)
        verify_inside_root()

    def _failed(self, error: OSError) -> errors.StartFailed:
        message = f'chdir to cwd ("{self.cwd}") set in config.json failed: {go_error(error)}'
        if not self.create:  # an exec, of whose set-up runc says no more than this
            return errors.StartFailed(f"unable to start container process: {message}", 125)
        if error.errno in (errno.ENOTDIR, errno.EROFS):
            message = f"mkdir {self.cwd}: {go_error(error)}"
        return start_failed(message)


def verify_inside_root() -> None:
    """The kernel marks a working folder outside of the root: getcwd(2), "(unreachable)"."""
    try:
        inside = syscalls.getcwd().startswith("/")
    except FileNotFoundError:
        inside = False
    if not inside:
        raise start_failed(
            "current working directory is outside of container mount namespace root"
            " -- possible container breakout detected"
        )


@dataclass(frozen=True, slots=True)
class DropPrivileges:
    """Change the identity, with the capabilities that the rest of the plan needs (`SetCapabilities` takes
    them).
    """

    capabilities: Capabilities

    def describe(self) -> str:
        return "drop the bounding set and become the user"

    def execute(self, context: Context) -> None:
        user = context.user
        try:
            capabilities.drop_bounding(capabilities.mask(self.capabilities.bounding))
            processes.set_keep_capabilities(True)
            os.setgroups(user.additional_gids)
            os.setresgid(user.gid, user.gid, user.gid)
            os.setresuid(user.uid, user.uid, user.uid)
            processes.set_keep_capabilities(False)
        except OSError as error:
            raise start_failed(f"setting the user: {go_error(error)}") from error
        processes.set_dumpable(False)
        os.umask(0o022 if user.umask is None else user.umask)
        # Look for the program with the rights that it will run with, and what loading the filter takes.
        _, held, inheritable = capabilities.capget()
        needed = capabilities.mask(self.capabilities.effective) | capabilities.mask(("CAP_SYS_ADMIN",))
        capabilities.capset(needed & held, held, inheritable)
        missing = [name for name in self.capabilities.permitted if not held & capabilities.mask((name,))]
        if missing or self.capabilities.unknown:
            # The specification: what cannot be granted is warned of, and does not fail.
            names = ", ".join((*missing, *self.capabilities.unknown))
            context.channel.warn(f"cannot grant capabilities: {names}")


@dataclass(frozen=True, slots=True)
class FindProgram:
    """Find `args[0]` as execvp(3) would, in the container's PATH, or say why not in Docker's words."""

    name: str
    path: str

    def describe(self) -> str:
        return f"find {self.name}"

    def execute(self, context: Context) -> None:
        if "/" in self.name:
            context.program = self.name
            problem = _not_executable(self.name)
            if problem is None:
                return
            if problem in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                reason = f"stat {self.name}: {os.strerror(problem).lower()}"
                raise _cannot_execute(self.name, reason, NOT_FOUND)
            raise _cannot_execute(self.name, os.strerror(problem).lower(), NOT_EXECUTABLE)
        for folder in self.path.split(":"):
            # An empty entry means the current folder to execvp; Go's exec.LookPath refuses what it finds
            # there.
            if folder and self.name and _not_executable(f"{folder}/{self.name}") is None:
                context.program = f"{folder}/{self.name}"
                return
        raise _cannot_execute(self.name, "executable file not found in $PATH", NOT_FOUND)


def _not_executable(path: str) -> int | None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return error.errno
    # Docker says "permission denied" of a folder, too.
    is_directory = mode & 0o170000 == 0o040000
    if not is_directory and mode & 0o111 and os.access(path, os.X_OK, effective_ids=True):
        return None
    return errno.EACCES


def _cannot_execute(name: str, reason: str, code: int) -> errors.StartFailed:
    return errors.StartFailed(f'unable to start container process: exec: "{name}": {reason}', code)


@dataclass(frozen=True, slots=True)
class SetNoNewPrivileges:
    def describe(self) -> str:
        return "set no_new_privs"

    def execute(self, context: Context) -> None:
        processes.set_no_new_privileges()


@dataclass(frozen=True, slots=True)
class LoadSeccomp:
    """Needs CAP_SYS_ADMIN or no_new_privs; every later system call has to pass the filter."""

    program: bytes
    flags: int

    def describe(self) -> str:
        return f"load a seccomp filter of {len(self.program) // 8} instructions"

    def execute(self, context: Context) -> None:
        try:
            seccomp.load_filter(self.program, self.flags)
        except OSError as error:
            raise start_failed(f"unable to init seccomp: {go_error(error)}") from error


@dataclass(frozen=True, slots=True)
class SetCapabilities:
    capabilities: Capabilities

    def describe(self) -> str:
        return f"set the capabilities {' '.join(self.capabilities.effective)}"

    def execute(self, context: Context) -> None:
        wanted = self.capabilities
        _, held, _ = capabilities.capget()
        permitted = capabilities.mask(wanted.permitted) & held
        inheritable = capabilities.mask(wanted.inheritable) & held
        ambient = capabilities.mask(wanted.ambient) & permitted & inheritable
        try:
            capabilities.capset(capabilities.mask(wanted.effective) & permitted, permitted, inheritable)
            if ambient:
                capabilities.set_ambient(ambient)
        except OSError as error:
            raise start_failed(f"unable to apply caps: {go_error(error)}") from error


@dataclass(frozen=True, slots=True)
class KeepDescriptors:
    """The program inherits the descriptors from 3 on, as many as the caller has prepared (--preserve-fds)."""

    count: int

    def describe(self) -> str:
        return f"keep {self.count} descriptors open"

    def execute(self, context: Context) -> None:
        for fd in range(3, 3 + self.count):
            os.set_inheritable(fd, True)


@dataclass(frozen=True, slots=True)
class SetPersonality:
    domain: int

    def describe(self) -> str:
        return f"personality {self.domain:#x}"

    def execute(self, context: Context) -> None:
        processes.personality(self.domain)


@dataclass(frozen=True, slots=True)
class Execute:
    """Become the program."""

    args: tuple[str, ...]
    env: tuple[str, ...]

    def describe(self) -> str:
        return f"execve {' '.join(self.args)}"

    def execute(self, context: Context) -> None:
        # Of names that are given twice the last one counts.
        environment = dict(entry.partition("=")[::2] for entry in self.env)
        environment.setdefault("HOME", context.home)
        try:
            os.execve(context.program, self.args, environment)
        except OSError as error:
            # The caller has been told that the program starts. Like runc, tell its user on its own stderr.
            os.write(2, f"exec {context.program}: {go_error(error)}\n".encode())
            os._exit(1)
