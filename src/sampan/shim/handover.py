"""What a clerk hands over to its shim: the outcome of each request, as far as the shim has to go on with it.

Owns these values and their form on the way: marshal, because both ends are one program in two processes, and
it runs in C on no page of Python code. Names of descriptors: "pidfd", "console" (with a terminal) or "stdin",
"stdout" and "stderr", "log", "listener"; those that a process does not have are left out.
"""

from __future__ import annotations

import marshal
from collections.abc import Sequence

from sampan.records import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@dataclass(frozen=True, slots=True)
class Joined:
    """A client is to be attached; its socket came with the request, at `position` among the descriptors of
    the packet. `streams`: 0 to 2, those it wants.
    """

    position: int
    exec: str | None
    name: str
    streams: frozenset[int]
    multiplex: bool
    detach_keys: bytes
    early: bytes


@dataclass(frozen=True, slots=True)
class LogState:
    """The log as the clerk has opened it: see `logfile.LogFile`."""

    path: str
    max_size: int | None
    max_file: int
    size: int


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """What the shim has to know of config.json while the container runs."""

    cgroup_path: str
    has_private_pids: bool  # a PID namespace of its own: all its processes end with the init
    has_poststop_hooks: bool
    # What an exec needs: see `plan.Joinable` and `plan.Filter`.
    namespaces: tuple[str, ...] = ()
    personality: int | None = None
    filter: tuple[str, int] | None = None  # its key in the cache, and the flags


@dataclass(frozen=True, slots=True)
class Started:
    """The container's init runs."""

    pid: int
    started_at: str
    terminal: bool
    stdin_once: bool
    container: ContainerFacts
    log: LogState | None


@dataclass(frozen=True, slots=True)
class ExecStarted:
    """The process of an exec runs."""

    exec: str
    pid: int
    terminal: bool


@dataclass(frozen=True, slots=True)
class StartRefused:
    """`start` failed: this shim is of no further use."""


@dataclass(frozen=True, slots=True)
class ExecRefused:
    """The exec could not be started: its clients are let go."""

    exec: str


@dataclass(frozen=True, slots=True)
class CutOff:
    """The controller broke the protocol, or nothing is known of what it asked for: it is not answered."""


@dataclass(frozen=True, slots=True)
class Declined:
    """The clerk has been here too long to do this: another one has to."""


Handover = Joined | Started | ExecStarted | StartRefused | ExecRefused | CutOff | Declined


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one request: the packet that answers it, what the shim has to go on with, and the
    descriptors that belong to that, by name.
    """

    reply: bytes = b""
    handover: Handover | None = None
    fds: dict[str, int] = field(default_factory=dict)


def has_started_exec(outcomes: Sequence[Outcome]) -> bool:
    return any(isinstance(outcome.handover, ExecStarted) for outcome in outcomes)


def encode(outcomes: Sequence[Outcome], stays: bool) -> tuple[bytes, list[int]]:
    """The packet, and the descriptors that travel with it. `stays`: the clerk waits for more."""
    documents = [
        (outcome.reply, type(outcome.handover).__name__, _plain(outcome.handover), tuple(outcome.fds))
        for outcome in outcomes
    ]
    return marshal.dumps((documents, stays)), [fd for outcome in outcomes for fd in outcome.fds.values()]


def decode(packet: bytes, descriptors: Sequence[int]) -> tuple[list[Outcome], bool]:
    """The inverse of `encode`."""
    outcomes: list[Outcome] = []
    first = 0
    documents, stays = marshal.loads(packet)
    for reply, kind, kept, names in documents:
        last = first + len(names)
        fds = dict(zip(names, descriptors[first:last], strict=True))
        outcomes.append(Outcome(reply, _handover(kind, kept), fds))
        first = last
    return outcomes, stays


def _plain(handover: Handover | None) -> tuple[Any, ...]:
    if handover is None:
        return ()
    if isinstance(handover, Started):
        *plain, container, log = _values(handover)
        return (*plain, _values(container), None if log is None else _values(log))
    return _values(handover)


def _values(data: Handover | ContainerFacts | LogState) -> tuple[Any, ...]:
    return tuple(getattr(data, name) for name in data.__slots__)


def _handover(kind: str, kept: tuple[Any, ...]) -> Handover | None:
    if kind == "Joined":
        return Joined(*kept)
    if kind == "Started":
        *plain, container, log = kept
        facts, log_state = ContainerFacts(*container), None if log is None else LogState(*log)
        return Started(*plain, facts, log_state)  # type: ignore[call-arg]
    if kind == "ExecStarted":
        return ExecStarted(*kept)
    if kind == "StartRefused":
        return StartRefused()
    if kind == "ExecRefused":
        return ExecRefused(*kept)
    if kind == "CutOff":
        return CutOff()
    return Declined() if kind == "Declined" else None
