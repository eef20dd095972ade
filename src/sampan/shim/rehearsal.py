"""A rehearsal in the zygote of what every shim will do, so that shims start warm and stay small.

Owns no behaviour. The interpreter specialises code after a few calls and fills caches (PEP 659; attributes of
types), and writes all that into pages that a shim would otherwise share with the zygote. What was written
before the fork need not be written again. Measured: 0.25 MB less for each shim; costs 10 ms, once. Writes
no file.
"""

from __future__ import annotations

import os

from sampan.linux import sockets as socket
from sampan.runtime import seccomp_cache
from sampan.shim import packets, protocol
from sampan.shim.attach import STDERR, STDIN, STDOUT
from sampan.shim.container import host_cgroups
from sampan.shim.handover import ContainerFacts, ExecStarted, Joined, LogState, Started
from sampan.shim.pipes import Pipes
from sampan.shim.supervisor import Supervisor

# A function is specialised at its eighth call (CPython 3.11, QUICKENING_INITIAL_WARMUP_VALUE).
_TIMES = 10

_FACTS = ContainerFacts("/rehearsal", True, False)
_LOG = LogState("/dev/null", 1 << 20, 2, 0)
_STARTED = Started(1, "", False, True, _FACTS, _LOG)
_REQUESTS: tuple[protocol.Request, ...] = (
    protocol.Start(1, log=protocol.LogPolicy("/dev/null"), fds=("rootfs",), network={"mode": "loopback"}),
    protocol.Attach(2, "client", detach_keys=(16, 17)),
    protocol.Exec(3, "exec"),
    protocol.Kill(4, 15),
    protocol.State(5),
)


def rehearse() -> None:
    host_cgroups()
    seccomp_cache.key_of({})  # loads the hash function
    for number in range(_TIMES):
        _play_shim(with_clerk=number < 2)
        _play_clerk()


def _play_shim(with_clerk: bool) -> None:
    """A life up to the point where an idle container stays for days."""
    controller, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    shim = Supervisor("rehearsal", "/dev/null", socket.SocketType(fileno=theirs.detach()))
    with controller:
        if with_clerk:
            packets.send(controller, protocol.encode_requests([protocol.State(1)]))
            shim.run_round()
        pipes, client = _attached(shim, None)
        fds = pipes.ours | _own_pidfd() | {"log": os.memfd_create("rehearsal"), "listener": _listener()}
        shim.proceed(_STARTED, fds)
        _exchange(shim, pipes, client)
        pipes, client = _attached(shim, "exec")
        shim.proceed(ExecStarted("exec", 1, False), pipes.ours | _own_pidfd())
        _exchange(shim, pipes, client)
        shim.abandon()


def _attached(shim: Supervisor, exec_id: str | None) -> tuple[Pipes, socket.socket]:
    client, theirs = socket.socketpair()
    wanted = frozenset((STDIN, STDOUT, STDERR))
    shim.proceed(Joined(0, exec_id, "client", wanted, True, b"\x10\x11", b""), {"client": theirs.detach()})
    return Pipes(stdin_open=True, discard=False), client


def _exchange(shim: Supervisor, pipes: Pipes, client: socket.socket) -> None:
    os.write(pipes.theirs.stdout, b"to be or\nnot to be\n")
    os.write(pipes.theirs.stderr, b"that is")
    shim.run_round()
    client.send(b"the question")
    client.close()
    shim.run_round()
    pipes.close_theirs()
    shim.run_round()


def _own_pidfd() -> dict[str, int]:
    return {"pidfd": os.pidfd_open(os.getpid())}


def _listener() -> int:
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK).detach()


def _play_clerk() -> None:
    """Reading and answering, which is where a clerk spends its time beside the runtime's."""
    for request in _REQUESTS:
        protocol.decode_requests(protocol.encode_requests([request]))
    result = protocol.StateResult(protocol.Phase.RUNNING, 1, "", {"exec": protocol.ExecState(1, None)})
    protocol.encode_response(protocol.Reply(1, protocol.document_of(result)))
    protocol.encode_response(protocol.ExecExited("exec", 0))
    protocol.encode_response(protocol.Failure(1, "no"))
