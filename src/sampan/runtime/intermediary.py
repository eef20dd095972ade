"""A process between the runtime and the container's first one, for a user namespace with joined namespaces.

Who enters a user namespace gives up its rights outside: it can neither come back nor enter a namespace of the
host any more. And namespaces belong to the user namespace in which they are made (user_namespaces(7)). So a
process in between enters everything, those of the host before the user namespace, and makes the container's
process there, as its own sibling. Loaded only when it is needed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from sampan import errors
from sampan.linux import processes, sockets
from sampan.runtime.gotext import go_error
from sampan.runtime.operations import start_failed
from sampan.runtime.operations.namespaces import JOIN_ORDER
from sampan.runtime.spec.linux import NAMESPACES


def clone3(joined: Mapping[str, int], flags: int, cgroup_fd: int | None) -> tuple[int, int]:
    """`processes.clone3` from within the namespaces of `joined`: (pid, pidfd), and (0, -1) in the child.

    The pid namespace is not among them: the caller's next child is born in it. Raises StartFailed if a
    namespace cannot be joined, and OSError as clone3 does.
    """
    ours, theirs = sockets.socketpair(sockets.AF_UNIX, sockets.SOCK_SEQPACKET | sockets.SOCK_CLOEXEC)
    between, pidfd = processes.clone3(processes.CLONE_CLEAR_SIGHAND)
    if between == 0:
        return _go_between(theirs, joined, flags, cgroup_fd)
    os.close(pidfd)
    theirs.close()
    with ours:
        answer, descriptors, _, _ = sockets.recv_fds(ours, 1024, 1, sockets.MSG_CMSG_CLOEXEC)
    os.waitpid(between, 0)
    if descriptors:
        return _pid_of(descriptors[0]), descriptors[0]
    kind, _, number = answer.decode().partition(" ")
    error = OSError(int(number or 0), os.strerror(int(number or 0)))
    if kind in joined:
        raise start_failed(f"failed to join the {kind} namespace: {go_error(error)}")
    raise error


def _go_between(
    answers: sockets.socket, joined: Mapping[str, int], flags: int, cgroup_fd: int | None
) -> tuple[int, int]:
    """Returns in the container's process only."""
    step = ""
    try:
        for step in _order(joined):
            processes.setns(joined[step], NAMESPACES[step][0])
        step = "clone3"
        pid, pidfd = processes.clone3(flags | processes.CLONE_PARENT, cgroup_fd=cgroup_fd)
        if pid == 0:
            return 0, -1
        sockets.send_fds(answers, [b"made"], [pidfd])
    except OSError as error:
        answers.send(f"{step} {error.errno}".encode())
    os._exit(0)


def _order(joined: Mapping[str, int]) -> list[str]:
    """What belongs to the host while the rights for that are there, then what belongs to the user namespace.

    With a namespace of the caller's own nothing has to be done, and after a change of sides could not.
    """
    kinds = [kind for kind in JOIN_ORDER if kind in joined and kind != "user"]
    foreign = [kind for kind in kinds if not _is_own(kind, joined[kind])]
    return [*foreign, *(["user"] if "user" in joined else [])]


def _is_own(kind: str, namespace: int) -> bool:
    own, other = os.stat(f"/proc/self/ns/{NAMESPACES[kind][1]}"), os.fstat(namespace)
    return (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino)


def _pid_of(pidfd: int) -> int:
    """By the descriptor: the number that its maker knows may be one of another pid namespace."""
    with open(f"/proc/self/fdinfo/{pidfd}", "rb") as file:
        for line in file:
            if line.startswith(b"Pid:"):
                return int(line[4:])
    raise errors.SampanError("the kernel does not tell the pid of a pidfd")
