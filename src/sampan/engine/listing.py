"""`ps`: which containers are listed, by state, number and filters.

Owns Docker's filters and their meaning (moby's daemon/list.go). Pure but for the images of `ancestor`,
which the caller looks up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from sampan import errors
from sampan.engine.container import Container
from sampan.engine.networkmodes import kind_of
from sampan.engine.registry import Registry
from sampan.engine.states import FILTER_STATES, State
from sampan.networks.ports import parse_port
from sampan.records import dataclass
from sampan.wire import gotime

Filters = Mapping[str, Sequence[str]]

KEYS = frozenset(
    ["ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "name"]
    + ["network", "publish", "since", "status", "volume"]
)
PRUNE_KEYS = frozenset(("label", "label!", "until"))

_HEALTH = frozenset(("none", "starting", "healthy", "unhealthy"))


def check_keys(filters: Filters, known: frozenset[str]) -> None:
    for key in filters:
        if key not in known:
            raise errors.InvalidArgument(f"Invalid filter '{key}'")


@dataclass(frozen=True, slots=True)
class Selection:
    """What a client asked for. `ancestors` are the ids of images that `ancestor` means."""

    all: bool
    limit: int
    filters: Filters
    ancestors: frozenset[str] | None = None


def select(registry: Registry, selection: Selection) -> list[Container]:
    """The containers to list, newest first. Raises InvalidArgument, NotFound."""
    filters = selection.filters
    check_keys(filters, KEYS)
    tests = _tests(registry, selection)
    for status in filters.get("status", ()):
        if status not in FILTER_STATES:
            raise errors.InvalidArgument(f"Invalid filter 'status={status}'")
    every = selection.all or selection.limit > 0 or bool(filters.get("status"))
    found = []
    for container in sorted(registry, key=lambda one: one.record.created, reverse=True):
        if (every or container.is_running) and all(test(container) for test in tests):
            found.append(container)
            if len(found) == selection.limit > 0:
                break
    return found


def _tests(registry: Registry, selection: Selection) -> list[Callable[[Container], bool]]:
    """One predicate for each filter that is given."""
    filters = selection.filters
    tests: list[Callable[[Container], bool]] = []

    def add(key: str, test: Callable[[Container, Sequence[str]], bool]) -> None:
        if wanted := filters.get(key):
            tests.append(lambda container: test(container, wanted))

    add("id", lambda container, wanted: any(container.id.startswith(text) for text in wanted))
    add("name", lambda container, wanted: any(_matches_name(text, container.name) for text in wanted))
    add("label", lambda container, wanted: has_labels(container.record.config.labels, wanted))
    add("status", lambda container, wanted: container.state.value in wanted)
    add("network", _is_in_network)
    add("volume", _has_mount)
    add("health", lambda container, wanted: _health(container) in wanted)
    add("is-task", lambda _container, wanted: "false" in wanted or "0" in wanted)
    add("isolation", lambda _container, wanted: "default" in wanted)
    if exits := filters.get("exited"):
        codes = [_number(text) for text in exits]
        tests.append(
            lambda container: container.state is State.EXITED and container.status.exit_code in codes
        )
    for key in ("publish", "expose"):
        if texts := filters.get(key):
            tests.append(_port_test(key, {port for text in texts for port in _port_range(text)}))
    for text in filters.get("health", ()):
        if text not in _HEALTH:
            raise errors.InvalidArgument(f"Invalid filter 'health={text}'")
    for text in filters.get("before", ()):
        tests.append(_is_older(registry.resolve(text)))
    for text in filters.get("since", ()):
        tests.append(_is_newer(registry.resolve(text)))
    if selection.ancestors is not None:
        tests.append(lambda container: container.record.image in (selection.ancestors or ()))
    return tests


def prunable(registry: Registry, filters: Filters, now: int) -> list[Container]:
    """The stopped containers that `container prune` removes."""
    before = [_moment(text, now) for text in filters.get("until", ())]
    unwanted = filters.get("label!", ())
    return [
        container
        for container in registry
        if container.state in (State.CREATED, State.EXITED, State.DEAD)
        and all(container.record.created < moment for moment in before)
        and has_labels(container.record.config.labels, filters.get("label", ()))
        and not any(has_labels(container.record.config.labels, [text]) for text in unwanted)
    ]


def _moment(text: str, now: int) -> int:
    """`until`: a duration back from now, or a time."""
    try:
        return gotime.parse_since(text, now)
    except ValueError as error:
        raise errors.InvalidArgument(str(error)) from None


def _matches_name(text: str, name: str) -> bool:
    """A regular expression, over the name with and without its slash."""
    try:
        return bool(re.search(text, name) or re.search(text, f"/{name}"))
    except re.error:
        return text == name


def has_labels(labels: Mapping[str, str] | None, wanted: Sequence[str]) -> bool:
    """Whether all of `name` or `name=value` are there."""
    present = labels or {}
    for text in wanted:
        name, equals, value = text.partition("=")
        if name not in present or (equals and present[name] != value):
            return False
    return True


def _health(container: Container) -> str:
    health = container.status.health
    return "none" if health is None else health.status


def _is_in_network(container: Container, wanted: Sequence[str]) -> bool:
    return kind_of(container.record) in wanted or container.record.host_config.network_mode in wanted


def _has_mount(container: Container, wanted: Sequence[str]) -> bool:
    return any(
        text in (point.name, point.source, point.destination)
        for point in container.record.points
        for text in wanted
    )


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise errors.InvalidArgument(f"Invalid filter 'exited={text}'") from None


def _port_range(text: str) -> list[str]:
    """ "80", "8000-8010/udp" → "80/tcp", …"""
    numbers, _, protocol = text.partition("/")
    first, dash, last = numbers.partition("-")
    low, _ = parse_port(first)
    high, _ = parse_port(last) if dash else (low, "")
    return [f"{number}/{protocol or 'tcp'}" for number in range(low, high + 1)]


def _port_test(key: str, wanted: set[str]) -> Callable[[Container], bool]:
    def test(container: Container) -> bool:
        record = container.record
        found: Mapping[str, object] | None = record.config.exposed_ports
        if key == "publish":
            found = record.host_config.port_bindings
        return not wanted.isdisjoint(found or ())

    return test


def _is_older(than: Container) -> Callable[[Container], bool]:
    return lambda container: container.record.created < than.record.created


def _is_newer(than: Container) -> Callable[[Container], bool]:
    return lambda container: container.record.created > than.record.created
