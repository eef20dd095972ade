"""Namespaces that are joined or made late, and what is set inside the new ones."""

from __future__ import annotations

import errno
import os

from sampan import errors
from sampan.linux import files, mounts, processes
from sampan.linux import sockets as socket
from sampan.records import dataclass
from sampan.runtime.confined import Root
from sampan.runtime.gotext import go_error
from sampan.runtime.operations import Context, start_failed
from sampan.runtime.spec import TimeOffset
from sampan.runtime.spec.linux import NAMESPACES

# The user namespace first: it gives the right to enter the others. The mount namespace last: it changes the
# paths.
JOIN_ORDER = ("user", "ipc", "uts", "network", "cgroup", "time", "mount")


@dataclass(frozen=True, slots=True)
class JoinNamespaces:
    """Enter namespaces that exist already. The pid namespace is not among them: only a child can be born
    there.
    """

    types: tuple[str, ...]

    def describe(self) -> str:
        return f"join the namespaces {' '.join(self.types)}"

    def execute(self, context: Context) -> None:
        for kind in JOIN_ORDER:
            if kind not in self.types:
                continue
            try:
                # With the type, the kernel refuses a path that leads to a namespace of another kind.
                processes.setns(context.namespaces[kind], NAMESPACES[kind][0])
            except OSError as error:
                raise start_failed(f"failed to join the {kind} namespace: {go_error(error)}") from error


@dataclass(frozen=True, slots=True)
class EnterContainer:
    """Enter the namespaces of a running container, all at once, by the pidfd of its first process."""

    types: tuple[str, ...]

    def describe(self) -> str:
        return f"enter the container's namespaces {' '.join(self.types)}"

    def execute(self, context: Context) -> None:
        flags = 0
        for kind in self.types:
            flags |= NAMESPACES[kind][0]
        try:
            processes.setns(context.container, flags)
        except OSError as error:
            raise start_failed(f"failed to enter the container's namespaces: {go_error(error)}") from error
        if "user" in self.types:
            BecomeNamespaceRoot().execute(context)
        context.attached_root = Root(os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))


@dataclass(frozen=True, slots=True)
class BecomeNamespaceRoot:
    """Become the new user namespace's root: until then all ids of the process are the overflow id."""

    def describe(self) -> str:
        return "become root of the user namespace"

    def execute(self, context: Context) -> None:
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        # A change of identity resets the flag to that of suid_dumpable, which may be 1 (prctl(2)).
        processes.set_dumpable(False)


@dataclass(frozen=True, slots=True)
class NewCgroupNamespace:
    """Not at clone3 time: the root of a cgroup namespace is the cgroup that its maker is in."""

    def describe(self) -> str:
        return "unshare the cgroup namespace"

    def execute(self, context: Context) -> None:
        processes.unshare(processes.CLONE_NEWCGROUP)


@dataclass(frozen=True, slots=True)
class NewTimeNamespace:
    """Offsets can be written while the namespace is empty (time_namespaces(7)): so make, write, enter."""

    offsets: tuple[TimeOffset, ...]

    def describe(self) -> str:
        return "unshare the time namespace"

    def execute(self, context: Context) -> None:
        processes.unshare(processes.CLONE_NEWTIME)
        if self.offsets:
            lines = (f"{offset.clock} {offset.seconds} {offset.nanoseconds}\n" for offset in self.offsets)
            try:
                write_procfs(context, "self/timens_offsets", "".join(lines))
            except OSError as error:
                raise start_failed(f"failed to write the time offsets: {go_error(error)}") from error
        fd = os.open("self/ns/time_for_children", os.O_RDONLY | os.O_CLOEXEC, dir_fd=context.procfs)
        try:
            processes.setns(fd, processes.CLONE_NEWTIME)
        finally:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class OpenProcfs:
    """Mount a procfs of our own, detached: what is written there cannot be redirected by the container
    (CVE-2025-52881).
    """

    def describe(self) -> str:
        return "open a private procfs"

    def execute(self, context: Context) -> None:
        filesystem = mounts.fsopen("proc")
        try:
            mounts.fsconfig_create(filesystem)
            context.procfs = mounts.fsmount(
                filesystem, mounts.MOUNT_ATTR_NOSUID | mounts.MOUNT_ATTR_NODEV | mounts.MOUNT_ATTR_NOEXEC
            )
        finally:
            os.close(filesystem)


@dataclass(frozen=True, slots=True)
class SetHostname:
    hostname: str
    domainname: str

    def describe(self) -> str:
        return f"set the hostname to {self.hostname}"

    def execute(self, context: Context) -> None:
        try:
            if self.hostname:
                socket.sethostname(self.hostname)
            if self.domainname:
                write_procfs(context, "sys/kernel/domainname", self.domainname)
        except OSError as error:
            raise start_failed(f"sethostname: {go_error(error)}") from error


@dataclass(frozen=True, slots=True)
class WriteSysctl:
    """`path` is relative to /proc/sys."""

    path: str
    value: str

    def describe(self) -> str:
        return f"sysctl {self.path}={self.value}"

    def execute(self, context: Context) -> None:
        try:
            write_procfs(context, f"sys/{self.path}", self.value)
        except OSError as error:
            raise start_failed(f"open /proc/sys/{self.path}: {go_error(error)}") from error


@dataclass(frozen=True, slots=True)
class NewSessionKeyring:
    """Keys of the host's session must not be visible inside. Its name is runc's, which tools look for."""

    container_id: str | None

    def describe(self) -> str:
        return "join a new session keyring"

    def execute(self, context: Context) -> None:
        try:
            processes.join_session_keyring(self.container_id and f"_ses.{self.container_id}")
        except OSError as error:
            # A kernel without keyrings has none to hide.
            if error.errno != errno.ENOSYS:
                raise start_failed(f"unable to join session keyring: {go_error(error)}") from error


def write_procfs(context: Context, path: str, text: str) -> None:
    """Write a file of the private procfs: neither a mount nor a symlink can lead elsewhere, and it is
    verified.
    """
    resolve = files.RESOLVE_BENEATH | files.RESOLVE_NO_XDEV | files.RESOLVE_NO_MAGICLINKS
    fd = files.openat2(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=context.procfs, resolve=resolve)
    try:
        if mounts.filesystem_magic(fd) != mounts.PROC_SUPER_MAGIC:
            raise errors.SampanError(f"{path} is not on procfs")
        os.write(fd, text.encode())
    finally:
        os.close(fd)
