"""Processes: clone3, namespaces, pidfds, prctl and what else execve keeps.

Owns the system calls about a process itself. clone3 is a fork, with all that Python does around one; it is
meant for small processes with one thread (zygote, shim, runtime), and refuses others.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping, Sequence

from sampan.linux import signals as signal
from sampan.linux.files import AT_EMPTY_PATH
from sampan.linux.syscalls import NUMBERS, c_string, checked, syscall

# include/uapi/linux/sched.h
CLONE_NEWTIME = 0x00000080
CLONE_PIDFD = 0x00001000
CLONE_PARENT = 0x00008000
CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_CLEAR_SIGHAND = 0x100000000
CLONE_INTO_CGROUP = 0x200000000

# include/uapi/linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

# include/uapi/linux/keyctl.h
_KEYCTL_JOIN_SESSION_KEYRING = 1


class _CloneArguments(ctypes.Structure):
    """struct clone_args, as of Linux 5.7 (CLONE_ARGS_SIZE_VER2)."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            "flags",
            "pidfd",
            "child_tid",
            "parent_tid",
            "exit_signal",
            "stack",
            "stack_size",
            "tls",
            "set_tid",
            "set_tid_size",
            "cgroup",
        )
    )


# PyDLL keeps the interpreter's lock over the call: CDLL would release it, and the child would wake up without
# a thread that could take it again.
_locked_libc = ctypes.PyDLL(None, use_errno=True)
_locked_libc.syscall.restype = ctypes.c_long
_locked_libc.syscall.argtypes = (ctypes.c_long, ctypes.c_void_p, ctypes.c_size_t)
_before_fork = ctypes.pythonapi.PyOS_BeforeFork
_after_fork_in_parent = ctypes.pythonapi.PyOS_AfterFork_Parent
_after_fork_in_child = ctypes.pythonapi.PyOS_AfterFork_Child
for _function in (_before_fork, _after_fork_in_parent, _after_fork_in_child):
    _function.argtypes, _function.restype = (), None


def clone3(flags: int, *, exit_signal: int = signal.SIGCHLD, cgroup_fd: int | None = None) -> tuple[int, int]:
    """Fork, into the new namespaces of `flags`: clone3(2). Returns (pid, pidfd), and (0, -1) in the child.

    `cgroup_fd`, a folder of cgroup v2, is where the child is born. With CLONE_PARENT the child is a sibling:
    its parent, which reaps it, is the caller's; it sends that parent the signal that the caller would send.

    The caller has one thread: of others the child would have copies of their locks and nobody to release
    them. libc's own fork handlers do not run, and what libc remembers as the thread's id stays the parent's,
    which only the (unused) locks that check their owner look at.
    """
    if len(sys._current_frames()) > 1:
        raise RuntimeError("clone3 from a process with several threads")
    pidfd = ctypes.c_int(-1)
    arguments = _CloneArguments(flags=flags | CLONE_PIDFD, pidfd=ctypes.addressof(pidfd))
    if not flags & CLONE_PARENT:  # which together with a signal is EINVAL
        arguments.exit_signal = exit_signal
    if cgroup_fd is not None:
        arguments.flags |= CLONE_INTO_CGROUP
        arguments.cgroup = cgroup_fd
    number, address, size = NUMBERS["clone3"], ctypes.addressof(arguments), ctypes.sizeof(arguments)
    # What os.fork() does: take the import lock, run os.register_at_fork's functions, and in the child reset
    # locks, thread states and pending signals.
    pid = -1
    _before_fork()
    try:
        pid = _locked_libc.syscall(number, address, size)
    finally:
        if pid == 0:
            _after_fork_in_child()
        else:
            _after_fork_in_parent()
    return checked(pid, "clone3"), pidfd.value


def unshare(flags: int) -> None:
    """Leave the namespaces of `flags` for new ones: unshare(2)."""
    checked(syscall(NUMBERS["unshare"], flags), "unshare")


def setns(fd: int, flags: int) -> None:
    """Join a namespace (nsfs descriptor), or several of a process (pidfd) at once: setns(2)."""
    checked(syscall(NUMBERS["setns"], fd, flags), "setns")


def pidfd_open(pid: int) -> int:
    """A descriptor for a process, which never comes to mean another: pidfd_open(2)."""
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        assert error.errno is not None
        raise OSError(error.errno, f"pidfd_open {pid}: {os.strerror(error.errno)}") from None


def pidfd_getfd(pidfd: int, target: int) -> int:
    """A copy of another process's descriptor: pidfd_getfd(2). Takes the right to trace that process."""
    return checked(syscall(NUMBERS["pidfd_getfd"], pidfd, target, 0), f"pidfd_getfd {target}")


def execveat(
    fd: int,
    argv: Sequence[str | bytes],
    env: Mapping[str, str],
    *,
    path: str = "",
    flags: int = AT_EMPTY_PATH,
) -> None:
    """Become the program that `fd` is open on (or `path` below it): execveat(2). Returns only by an error.

    A close-on-exec `fd` of a script fails with ENOENT: its interpreter could not open it.
    """
    arguments = _c_strings(argv)
    environment = _c_strings([f"{name}={value}" for name, value in env.items()])
    checked(syscall(NUMBERS["execveat"], fd, c_string(path), arguments, environment, flags), "execveat", path)


def _c_strings(texts: Sequence[str | bytes]) -> ctypes.Array[ctypes.c_char_p]:
    return (ctypes.c_char_p * (len(texts) + 1))(*map(c_string, texts), None)


def prctl(operation: str, option: int, argument2: int | bytes, argument3: int = 0) -> int:
    """An operation on this process, and its name for the error: prctl(2). Unused arguments are 0."""
    return checked(syscall(NUMBERS["prctl"], option, argument2, argument3, 0, 0), f"prctl({operation})")


def set_no_new_privileges() -> None:
    """Never gain privileges by execve again, nor may the children: PR_SET_NO_NEW_PRIVS(2const)."""
    prctl("PR_SET_NO_NEW_PRIVS", _PR_SET_NO_NEW_PRIVS, 1)


def set_dumpable(dumpable: bool) -> None:
    """Whether the same user's others may trace it and read its /proc files: PR_SET_DUMPABLE(2const)."""
    prctl("PR_SET_DUMPABLE", _PR_SET_DUMPABLE, int(dumpable))


def set_child_subreaper(subreaper: bool = True) -> None:
    """Become the parent of orphaned descendants: PR_SET_CHILD_SUBREAPER(2const)."""
    prctl("PR_SET_CHILD_SUBREAPER", _PR_SET_CHILD_SUBREAPER, int(subreaper))


def set_parent_death_signal(number: int = signal.SIGKILL) -> None:
    """Get a signal when the parent thread ends: PR_SET_PDEATHSIG(2const). A change of ids resets it."""
    prctl("PR_SET_PDEATHSIG", _PR_SET_PDEATHSIG, number)


def set_keep_capabilities(keep: bool) -> None:
    """Keep the permitted capabilities when all user ids become nonzero: PR_SET_KEEPCAPS(2const)."""
    prctl("PR_SET_KEEPCAPS", _PR_SET_KEEPCAPS, int(keep))


def set_name(name: str) -> None:
    """The name that ps shows for the thread, cut at 15 bytes: PR_SET_NAME(2const)."""
    prctl("PR_SET_NAME", _PR_SET_NAME, c_string(name)[:15])


def join_session_keyring(name: str | None = None) -> int:
    """Join a session keyring, made if need be, or a new nameless one: keyctl_join_session_keyring(3).

    Returns its serial number.
    """
    wanted = c_string(name) if name else None
    joined = syscall(NUMBERS["keyctl"], _KEYCTL_JOIN_SESSION_KEYRING, wanted, 0, 0, 0)
    return checked(joined, "keyctl(KEYCTL_JOIN_SESSION_KEYRING)", name)


def personality(domain: int) -> int:
    """Set the execution domain: personality(2). Returns the one before."""
    return checked(syscall(NUMBERS["personality"], domain), f"personality {domain:#x}")
