"""Events: what has happened, for those who watch.

Owns the history (bounded, as dockerd's), the subscribers and the filters of `docker events`. A subscriber
that does not read is dropped; none ever holds up the engine. Lives on the event loop.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

from sampan import errors

Document = dict[str, Any]
Filters = Mapping[str, Sequence[str]]

# moby keeps as many (daemon/events, eventsLimit).
_HISTORY = 256
_BACKLOG = 1024

_KEYS = frozenset(
    ["config", "container", "daemon", "event", "image", "label", "network", "node", "plugin", "scope"]
    + ["secret", "service", "type", "volume"]
)


class _Subscriber:
    """The queue of one who watches."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Document] = asyncio.Queue(_BACKLOG)
        self.lost = False


class Events:
    """`publish` tells all subscribers. The history is lost with the daemon, as dockerd's is."""

    def __init__(self) -> None:
        self._history: deque[Document] = deque(maxlen=_HISTORY)
        # Weak: a stream that is given up, started or not, takes its subscription along.
        self._subscribers: weakref.WeakSet[_Subscriber] = weakref.WeakSet()

    @property
    def listeners(self) -> int:
        return len(self._subscribers)

    def publish(self, kind: str, action: str, identifier: str, attributes: Mapping[str, str]) -> None:
        now = time.time_ns()
        event: Document = {}
        if kind in ("container", "image"):
            # The form of before 1.22, which clients still print.
            event = {"status": action, "id": identifier}
            if kind == "container":
                event["from"] = attributes.get("image", "")
        event |= {
            "Type": kind,
            "Action": action,
            "Actor": {"ID": identifier, "Attributes": dict(sorted(attributes.items()))},
            "scope": "local",
            "time": now // 1_000_000_000,
            "timeNano": now,
        }
        self._history.append(event)
        for subscriber in tuple(self._subscribers):
            try:
                subscriber.queue.put_nowait(event)
            except asyncio.QueueFull:
                subscriber.lost = True

    def subscribe(self, since: int | None, until: int | None, filters: Filters) -> AsyncIterator[Document]:
        """Past events from `since` on, then those to come, up to `until` (nanoseconds since 1970)."""
        for key in filters:
            if key not in _KEYS:
                raise errors.InvalidArgument(f"Invalid filter '{key}'")
        past = [event for event in self._history if since is not None and event["timeNano"] >= since]
        subscriber = _Subscriber()
        self._subscribers.add(subscriber)
        return _stream(subscriber, past, until, filters)


async def _stream(
    subscriber: _Subscriber, past: list[Document], until: int | None, filters: Filters
) -> AsyncGenerator[Document, None]:
    for event in past:
        if (until is None or event["timeNano"] <= until) and matches(event, filters):
            yield event
    while not subscriber.lost:
        remaining = None if until is None else (until - time.time_ns()) / 1e9
        if remaining is not None and remaining <= 0:
            return
        try:
            async with asyncio.timeout(remaining):
                event = await subscriber.queue.get()
        except TimeoutError:
            return
        if matches(event, filters):
            yield event


def matches(event: Document, filters: Filters) -> bool:
    """Whether an event passes all filters: of several values of one key, one has to fit (labels: all)."""
    actor = event["Actor"]
    identifier, attributes = actor["ID"], actor["Attributes"]
    return (
        _is_one_of(filters.get("type"), event["Type"])
        and _is_one_of(filters.get("scope"), event["scope"])
        and _is_one_of(filters.get("event"), event["Action"], event["Action"].partition(":")[0])
        and _matches_image(event, filters.get("image"))
        and _matches_labels(attributes, filters.get("label"))
        and all(
            _begins(filters.get(kind), identifier, attributes.get("name", ""))
            for kind in ("container", "network", "volume", "daemon", "plugin")
        )
        # What belongs to swarm never happens here.
        and not any(filters.get(kind) for kind in ("node", "service", "secret", "config"))
    )


def _is_one_of(wanted: Sequence[str] | None, *values: str) -> bool:
    return not wanted or any(value in wanted for value in values)


def _begins(wanted: Sequence[str] | None, *values: str) -> bool:
    """moby's FuzzyMatch: a prefix is enough."""
    return not wanted or any(value.startswith(prefix) for prefix in wanted for value in values if value)


def _matches_image(event: Document, wanted: Sequence[str] | None) -> bool:
    attributes = event["Actor"]["Attributes"]
    name = attributes.get("name" if event["Type"] == "image" else "image", "")
    identifier = event["Actor"]["ID"]
    return _is_one_of(wanted, identifier, name, name.rpartition(":")[0])


def _matches_labels(attributes: Mapping[str, str], wanted: Sequence[str] | None) -> bool:
    for text in wanted or ():
        name, equals, value = text.partition("=")
        if name not in attributes or (equals and attributes[name] != value):
            return False
    return True
