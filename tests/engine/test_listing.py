"""`ps`: choice of containers, status texts, the shape of documents."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from sampan import errors
from sampan.engine import inspection, listing
from sampan.engine.actor import Actor, Tasks
from sampan.engine.container import Container
from sampan.engine.listing import Selection
from sampan.engine.record import Record, Status
from sampan.engine.registry import Registry
from sampan.engine.states import State
from sampan.wire import gotime
from tests.engine.bodies import config, host_config

SECOND = gotime.NANOSECONDS


def add(registry: Registry, name: str, state: State, created: int, **fields: Any) -> Container:
    own = fields.pop("config", {})
    record = Record(
        id=f"{created:x}" * 64,
        name=registry.reserve(name, f"{created:x}" * 64),
        created=created,
        image=fields.pop("image", "sha256:1"),
        config=config(**({"Cmd": ["sh"], "Image": "busybox"} | own)),
        host_config=host_config(**fields.pop("host", {})),
    )
    registry.add(Container(record, Status(state=state, **fields), Actor(Tasks(), name)))
    return registry.resolve(name)


@pytest.fixture
def registry() -> Registry:
    found = Registry()
    add(
        found,
        "web-1",
        State.RUNNING,
        1,
        config={"Labels": {"tier": "a", "x": "1"}},
        host={"NetworkMode": "host"},
    )
    add(found, "web-2", State.PAUSED, 2, config={"ExposedPorts": {"80/tcp": {}, "53/udp": {}}})
    add(found, "job-3", State.EXITED, 3, exit_code=4, config={"Labels": {"tier": "b"}}, image="sha256:2")
    add(found, "new-4", State.CREATED, 4, host={"PortBindings": {"8080/tcp": []}})
    return found


def names(registry: Registry, *, all: bool = True, limit: int = 0, **filters: list[str]) -> list[str]:  # noqa: A002
    written = {key.replace("_", "-"): values for key, values in filters.items()}
    return [container.name for container in listing.select(registry, Selection(all, limit, written))]


def test_only_what_runs_is_listed_newest_first(registry: Registry) -> None:
    assert names(registry, all=False) == ["web-2", "web-1"]
    assert names(registry) == ["new-4", "job-3", "web-2", "web-1"]
    assert names(registry, all=False, limit=3) == ["new-4", "job-3", "web-2"], (
        "a limit includes what has ended"
    )
    assert names(registry, all=False, status=["exited", "created"]) == ["new-4", "job-3"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"name": ["web"]}, ["web-2", "web-1"]),
        ({"name": ["^/web-1$"]}, ["web-1"]),
        ({"name": ["^job", "1$"]}, ["job-3", "web-1"]),
        ({"name": ["["]}, []),
        ({"id": ["33"]}, ["job-3"]),
        ({"label": ["tier"]}, ["job-3", "web-1"]),
        ({"label": ["tier=a", "x"]}, ["web-1"]),
        ({"exited": ["4"]}, ["job-3"]),
        ({"exited": ["0"]}, []),
        ({"status": ["paused"]}, ["web-2"]),
        ({"before": ["job-3"]}, ["web-2", "web-1"]),
        ({"since": ["web-2"]}, ["new-4", "job-3"]),
        ({"expose": ["80"]}, ["web-2"]),
        ({"expose": ["50-60/udp"]}, ["web-2"]),
        ({"publish": ["8000-9000"]}, ["new-4"]),
        ({"network": ["host"]}, ["web-1"]),
        ({"health": ["none"], "name": ["web-1"]}, ["web-1"]),
        ({"health": ["healthy"]}, []),
        ({"is_task": ["true"]}, []),
    ],
)
def test_filters(registry: Registry, filters: dict[str, list[str]], expected: list[str]) -> None:
    assert names(registry, **filters) == expected


def test_ancestors(registry: Registry) -> None:
    selection = Selection(True, 0, {}, frozenset(("sha256:2",)))
    assert [container.name for container in listing.select(registry, selection)] == ["job-3"]


@pytest.mark.parametrize(
    ("filters", "error", "message"),
    [
        ({"nonsense": ["1"]}, errors.InvalidArgument, "Invalid filter 'nonsense'"),
        ({"status": ["nonsense"]}, errors.InvalidArgument, "Invalid filter 'status=nonsense'"),
        ({"exited": ["x"]}, errors.InvalidArgument, "Invalid filter 'exited=x'"),
        ({"before": ["nosuch"]}, errors.NotFound, "No such container: nosuch"),
    ],
)
def test_wrong_filters(
    registry: Registry, filters: dict[str, list[str]], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        names(registry, **filters)


def test_what_prune_removes(registry: Registry) -> None:
    def pruned(**filters: list[str]) -> list[str]:
        written = {key.replace("_not", "!"): values for key, values in filters.items()}
        return [container.name for container in listing.prunable(registry, written, now=10 * SECOND)]

    assert pruned() == ["job-3", "new-4"]
    assert pruned(label=["tier=b"]) == ["job-3"] and pruned(label_not=["tier"]) == ["new-4"]
    assert pruned(until=["1s"]) == ["job-3", "new-4"] and pruned(until=["20s"]) == []
    with pytest.raises(errors.InvalidArgument):
        pruned(until=["nonsense"])


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ({"state": State.CREATED}, "Created"),
        ({"state": State.RUNNING, "started_at": 3}, "Up 3 seconds"),
        ({"state": State.RUNNING, "started_at": 0}, "Up Less than a second"),
        ({"state": State.PAUSED, "started_at": 65}, "Up About a minute (Paused)"),
        ({"state": State.EXITED, "exit_code": 137, "finished_at": 7200}, "Exited (137) 2 hours ago"),
        ({"state": State.REMOVING}, "Removal In Progress"),
        ({"state": State.DEAD}, "Dead"),
    ],
)
def test_status_texts(status: dict[str, Any], text: str) -> None:
    for key in ("started_at", "finished_at"):
        if key in status:
            status = status | {key: time.time_ns() - status[key] * SECOND}
    assert inspection.status_text(Status(**status)) == text


def test_the_state_of_a_new_container() -> None:
    assert inspection.state_document(Status()) == {
        "Status": "created",
        "Running": False,
        "Paused": False,
        "Restarting": False,
        "OOMKilled": False,
        "Dead": False,
        "Pid": 0,
        "ExitCode": 0,
        "Error": "",
        "StartedAt": "0001-01-01T00:00:00Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
    }


def test_records_keep_everything_in_the_database(registry: Registry) -> None:
    for container in registry:
        record = msgspec.json.decode(msgspec.json.encode(container.record), type=Record)
        assert record == container.record
