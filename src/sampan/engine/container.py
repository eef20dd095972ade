"""A container in memory: its record, its status, its shim and those who wait for it.

Owns these, and what a change of status means for the waiting. Only touched on the event loop; kernel and
disk are `lifecycle`'s business.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from typing import Any

import msgspec

from sampan import errors
from sampan.engine.actor import Actor
from sampan.engine.record import Record, Status
from sampan.engine.restarts import Backoff
from sampan.engine.settings import Settings
from sampan.engine.shims import Shim
from sampan.engine.states import State, check_move
from sampan.records import dataclass, field
from sampan.shim import protocol

Document = dict[str, Any]

NOT_RUNNING, NEXT_EXIT, REMOVED = "not-running", "next-exit", "removed"
CONDITIONS = (NOT_RUNNING, NEXT_EXIT, REMOVED)

# Clients that may wait for a container that is not started; each one holds a descriptor.
_MAX_EARLY_CLIENTS = 64


@dataclass(slots=True, eq=False)
class EarlyClient:
    """A client that attached before the start: it gets everything from the first byte."""

    request: protocol.Attach
    socket: socket.socket

    def is_gone(self) -> bool:
        """Whether both directions are closed. A half-closed client has only ended its input."""
        poller = select.poll()
        poller.register(self.socket, 0)
        return bool(poller.poll(0))


@dataclass(slots=True, eq=False)
class Container:
    """One container, from its creation to its removal."""

    record: Record
    status: Status
    actor: Actor
    shim: Shim | None = None
    executions: dict[str, Any] = field(default_factory=dict)
    """Execs by id, oldest first."""
    exited: protocol.Exited | None = None
    """What the shim has told of the end that is being worked on."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    """The shim has let go of the bundle and the cgroup."""
    graph_driver: Document | None = None
    """Where the layer driver keeps the container, once somebody has asked: it does not change."""
    process: Document | None = None
    """`process` of the config.json that it runs with, once an exec has asked."""
    restarts: int = 0
    """Restarts by hand that are going on: the end in the middle of one does not remove the container."""
    backoff: Backoff = field(default_factory=Backoff)
    ends_for_good: bool = False
    """It was told to end: this time its policy does not start it again."""
    next_start: asyncio.TimerHandle | None = None
    """While it is restarting: when."""
    _early: list[EarlyClient] = field(default_factory=list)
    _waiting: list[tuple[str, asyncio.Future[Document]]] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def state(self) -> State:
        return self.status.state

    @property
    def is_running(self) -> bool:
        return self.status.state.is_running

    def running_shim(self) -> Shim:
        """The shim of a container that runs. Raises Conflict in dockerd's words."""
        if self.state is State.RESTARTING:
            raise errors.Conflict(f"Container {self.id} is restarting, wait until the container is running")
        if self.shim is None or not self.is_running:
            raise errors.Conflict(f"Container {self.id} is not running")
        return self.shim

    def move(self, state: State, **changes: Any) -> Status:
        """Change the state, with whatever else changes. Raises Conflict for a move that the table lacks."""
        check_move(self.id, self.state, state)
        self.status = msgspec.structs.replace(self.status, state=state, **changes)
        return self.status

    # --- waiting ---

    def wait(self, condition: str) -> asyncio.Future[Document]:
        """A future of the answer to `wait`."""
        future: asyncio.Future[Document] = asyncio.get_running_loop().create_future()
        if condition == NOT_RUNNING and not self.is_running:
            future.set_result(self.exit_document())
        else:
            self._waiting = [entry for entry in self._waiting if not entry[1].done()]
            self._waiting.append((condition, future))
        return future

    def settle_waiting(self, *conditions: str) -> None:
        """Answer those who wait for one of these conditions, which have come true."""
        due = [entry for entry in self._waiting if entry[0] in conditions]
        self._waiting = [entry for entry in self._waiting if entry[0] not in conditions]
        for _, future in due:
            if not future.done():
                future.set_result(self.exit_document())

    def exit_document(self) -> Document:
        """No Error: why a start failed is the answer to the start, and `docker run` would print it twice."""
        return {"StatusCode": self.status.exit_code}

    # --- clients that come before the start ---

    def keep_client(self, client: EarlyClient) -> None:
        """Keep a client until the start."""
        for kept in [kept for kept in self._early if kept.is_gone()]:
            kept.socket.close()
            self._early.remove(kept)
        if len(self._early) >= _MAX_EARLY_CLIENTS:
            client.socket.close()
            raise errors.Unavailable(f"too many clients wait for the start of container {self.id}")
        self._early.append(client)

    def take_client(self) -> EarlyClient | None:
        return self._early.pop(0) if self._early else None

    def drop_clients(self) -> None:
        while (client := self.take_client()) is not None:
            client.socket.close()


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the files of a container lie."""

    folder: str
    bundle: str
    log: str

    @classmethod
    def of(cls, settings: Settings, identifier: str) -> Paths:
        folder = f"{settings.containers_root}/{identifier}"
        bundle = f"{settings.bundles_root}/{identifier}"
        return cls(folder, bundle, f"{folder}/{identifier}-json.log")

    def file(self, name: str) -> str:
        return os.path.join(self.folder, name)
