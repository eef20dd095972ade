"""What a clerk hands over to its shim: the outcome of one request, as far as the shim has to go on with it.

Owns these values and their form on the way: marshal, because both ends are one program in two processes, and
it runs in C on no page of Python code. Names of descriptors: "pidfd", "console" (with a terminal) or "stdin",
"stdout" and "stderr", "log", "listener"; those that a process does not have are left out.
"""

from __future__ import annotations

import marshal
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Joined:
    """A client is to be attached; its socket came with the request. `streams`: 0 to 2, those it wants."""

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
    """The controller broke the protocol, or does not read."""


Handover = Joined | Started | ExecStarted | StartRefused | ExecRefused | CutOff


def encode(handover: Handover | None, names: tuple[str, ...]) -> bytes:
    """The packet; `names` are those of the descriptors that travel with it, in order."""
    if isinstance(handover, Started):
        log = handover.log
        kept: tuple[Any, ...] = (
            handover.pid,
            handover.started_at,
            handover.terminal,
            handover.stdin_once,
            (
                handover.container.cgroup_path,
                handover.container.has_private_pids,
                handover.container.has_poststop_hooks,
            ),
            None if log is None else (log.path, log.max_size, log.max_file, log.size),
        )
    elif handover is None:
        kept = ()
    else:
        kept = tuple(getattr(handover, name) for name in handover.__slots__)
    return marshal.dumps((type(handover).__name__, kept, names))


def decode(packet: bytes) -> tuple[Handover | None, tuple[str, ...]]:
    """The inverse of `encode`."""
    kind, kept, names = marshal.loads(packet)
    if kind == "Joined":
        return Joined(*kept), names
    if kind == "Started":
        *plain, container, log = kept
        facts, log_state = ContainerFacts(*container), None if log is None else LogState(*log)
        return Started(*plain, facts, log_state), names  # type: ignore[call-arg]
    if kind == "ExecStarted":
        return ExecStarted(*kept), names
    if kind == "StartRefused":
        return StartRefused(), names
    if kind == "ExecRefused":
        return ExecRefused(*kept), names
    return (CutOff() if kind == "CutOff" else None), names
