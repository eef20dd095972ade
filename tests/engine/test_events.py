"""Events: history, subscribers, filters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sampan import errors
from sampan.engine.events import Events

ID = "1" * 64


def publish(events: Events, action: str, **attributes: str) -> None:
    events.publish("container", action, ID, {"image": "busybox:1", "name": "web"} | attributes)


async def take(stream: AsyncIterator[dict[str, Any]], count: int) -> list[str]:
    async with asyncio.timeout(5):
        return [(await anext(stream))["Action"] for _ in range(count)]


async def everything(events: Events, filters: dict[str, list[str]]) -> list[str]:
    stream = events.subscribe(0, time.time_ns(), filters)
    return [event["Action"] async for event in stream]


async def test_form() -> None:
    events = Events()
    publish(events, "die", exitCode="3")
    event = await anext(events.subscribe(0, None, {}))
    assert event["Type"] == "container" and event["status"] == "die" and event["id"] == ID
    assert event["from"] == "busybox:1" and event["scope"] == "local"
    assert event["Actor"] == {
        "ID": ID,
        "Attributes": {"exitCode": "3", "image": "busybox:1", "name": "web"},
    }
    assert event["timeNano"] // 1_000_000_000 == event["time"]


async def test_past_and_future() -> None:
    events = Events()
    publish(events, "create")
    stream = events.subscribe(0, None, {})
    publish(events, "start")
    assert await take(stream, 2) == ["create", "start"]
    later = events.subscribe(None, None, {})
    publish(events, "die")
    assert await take(later, 1) == ["die"]


async def test_until() -> None:
    events = Events()
    publish(events, "create")
    stream = events.subscribe(0, time.time_ns() + 20_000_000, {})
    async with asyncio.timeout(5):
        assert [event["Action"] async for event in stream] == ["create"]
    assert [event async for event in events.subscribe(0, 1, {})] == []


async def test_history_is_bounded() -> None:
    events = Events()
    for number in range(300):
        publish(events, f"n{number}")
    found = await everything(events, {})
    assert len(found) == 256 and found[-1] == "n299"


async def test_a_subscriber_that_does_not_read_is_dropped() -> None:
    events = Events()
    stream = events.subscribe(None, None, {})
    for number in range(2000):
        publish(events, f"n{number}")
    async with asyncio.timeout(5):
        assert len([event async for event in stream]) < 2000


async def test_a_stream_that_is_given_up_takes_its_subscription_along() -> None:
    events = Events()
    stream = events.subscribe(None, None, {})
    assert events.listeners == 1
    del stream
    assert events.listeners == 0


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"event": ["start", "die"]}, ["start", "die"]),
        ({"event": ["exec_create"]}, ["exec_create: ls -l"]),
        ({"type": ["network"]}, ["connect"]),
        ({"container": ["web"]}, ["start", "exec_create: ls -l", "die"]),
        ({"container": [ID[:12]]}, ["start", "exec_create: ls -l", "die"]),
        ({"container": ["other"]}, []),
        ({"image": ["busybox"]}, ["start", "exec_create: ls -l", "die"]),
        ({"image": ["busybox:1"], "event": ["die"]}, ["die"]),
        ({"label": ["a=1"]}, ["die"]),
        ({"label": ["a=1", "b"]}, []),
        ({"service": ["x"]}, []),
    ],
)
async def test_filters(filters: dict[str, list[str]], expected: list[str]) -> None:
    events = Events()
    publish(events, "start")
    publish(events, "exec_create: ls -l")
    publish(events, "die", a="1")
    events.publish("network", "connect", "2" * 64, {"name": "bridge", "container": ID})
    assert await everything(events, filters) == expected


def test_unknown_filters() -> None:
    with pytest.raises(errors.InvalidArgument, match="Invalid filter 'nonsense'"):
        Events().subscribe(None, None, {"nonsense": ["1"]})
