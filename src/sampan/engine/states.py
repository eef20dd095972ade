"""The states of a container, and the allowed moves between them.

Theory of operation
===================

A container is in exactly one state, which `docker ps` shows:

    state      | means                                          | may become
    -----------|------------------------------------------------|----------------------------
    created    | it never ran; a start that failed leaves it so | running, removing
    running    | its shim runs it                               | paused, restarting, exited
    paused     | the same, with its cgroup frozen               | running, restarting, exited
    restarting | it has ended, and is started again after a     | running, exited
               | pause                                          |
    exited     | it ran, and its exit code is known             | running, removing; restarting,
               |                                                | when the engine starts
    removing   | its parts are being removed                    | dead, or gone
    dead       | some part could not be removed                 | removing

A move is always made in the container's own task (`actor`), so that two commands never see each other's
half of one. What is being done between two states is not a state but an *intent*: it is written to the
database before the kernel is touched, and after a sudden death `recovery` finds it there and ends or
undoes it.
"""

from __future__ import annotations

import enum

from sampan import errors


class State(enum.Enum):
    """Where a container is in its life, in Docker's words."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    EXITED = "exited"
    REMOVING = "removing"
    DEAD = "dead"

    @property
    def is_running(self) -> bool:
        """Docker's `Running`: true of a container that is paused, and of one between two runs."""
        return self in (State.RUNNING, State.PAUSED, State.RESTARTING)

    @property
    def has_processes(self) -> bool:
        return self in (State.RUNNING, State.PAUSED)


class Intent(enum.Enum):
    """What is being done to a container."""

    NONE = ""
    CREATE = "create"
    START = "start"
    REMOVE = "remove"


MOVES: dict[State, frozenset[State]] = {
    State.CREATED: frozenset((State.RUNNING, State.REMOVING)),
    State.RUNNING: frozenset((State.PAUSED, State.RESTARTING, State.EXITED)),
    State.PAUSED: frozenset((State.RUNNING, State.RESTARTING, State.EXITED)),
    State.RESTARTING: frozenset((State.RUNNING, State.EXITED)),
    State.EXITED: frozenset((State.RUNNING, State.RESTARTING, State.REMOVING)),
    State.REMOVING: frozenset((State.DEAD,)),
    State.DEAD: frozenset((State.REMOVING,)),
}

FILTER_STATES = frozenset(state.value for state in State)
"""What `ps --filter status=` may ask for."""


def check_move(identifier: str, old: State, new: State) -> None:
    """Raise Conflict if the table does not allow this move."""
    if new not in MOVES[old]:
        raise errors.Conflict(f"container {identifier} is {old.value}: it cannot become {new.value}")
