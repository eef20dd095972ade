"""Handing the listener of a seccomp filter to the agent that answers for the kernel (SCMP_ACT_NOTIFY).

Owns the specification's "container process state" and its one message. Loaded only for a profile that
notifies.
"""

from __future__ import annotations

from sampan import errors
from sampan.linux import sockets as socket
from sampan.runtime.gotext import go_error
from sampan.runtime.plan import Listener
from sampan.runtime.state import State
from sampan.runtime.version import OCI_VERSION
from sampan.wire import jsontext


def send_listener(agent: Listener, listener: int, pid: int, state: State) -> None:
    """Tell the agent about a process and give it the descriptor. `state` is that of the container."""
    document: dict[str, object] = {"ociVersion": OCI_VERSION, "fds": ["seccompFd"], "pid": pid}
    if agent.metadata:
        document["metadata"] = agent.metadata
    document["state"] = state.document()
    packet = jsontext.text(document).encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        try:
            connection.connect(agent.path)
        except OSError as error:
            why = f"dial unix {agent.path}: connect: {go_error(error)}"
            raise _failed(f"connect with seccomp agent specified in the seccomp profile: {why}") from error
        try:
            sent = socket.send_fds(connection, [packet], [listener], socket.MSG_NOSIGNAL)
            connection.sendall(packet[sent:], socket.MSG_NOSIGNAL)
        except OSError as error:
            raise _failed(f"send the seccomp listener to {agent.path}: {go_error(error)}") from error


def _failed(what: str) -> errors.StartFailed:
    return errors.StartFailed(f"unable to start container process: failed to {what}", 125)
