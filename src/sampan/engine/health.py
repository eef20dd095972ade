"""Health checks: a command that is run in a container now and then, and what follows from how it ends.

Owns the rules, which are moby's (daemon/health.go), and the task that waits between two probes. A probe is an
exec like any other: it costs a fork of the shim's clerk, no start of an interpreter, and is forgotten as soon
as its result is known.

    status    | means                                    | becomes
    ----------|------------------------------------------|--------------------------------------------
    starting  | no probe has succeeded since the start   | healthy; unhealthy, after the start period
    healthy   | the last probe has succeeded, or not     | unhealthy after `retries` failures in a row
              | enough of them have failed               |
    unhealthy | that many have failed, or it has ended   | healthy; starting, at the next start
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from sampan import errors
from sampan.engine.container import Container
from sampan.engine.record import HEALTHY, STARTING, UNHEALTHY, Health, Probe
from sampan.engine.schema import ContainerConfig, HealthConfig
from sampan.engine.services import Services
from sampan.engine.states import State
from sampan.shim import protocol
from sampan.wire import gotime

MAX_OUTPUT = 4096
RESTART_LABEL = "sampan.restart-unhealthy"
"""A container with this label ("true") is ended when it becomes unhealthy; its restart policy decides."""

_MAX_LOG = 5
_INTERVAL = _TIMEOUT = 30 * gotime.NANOSECONDS
_START_INTERVAL = 5 * gotime.NANOSECONDS
_RETRIES = 3
_SHELL = ["/bin/sh", "-c"]
_LEAST = 1_000_000  # 1 ms

# Runs a command in a container: its exit code and output. Raises TimeoutError after so many seconds.
Run = Callable[[Container, list[str], float], Awaitable[tuple[int, str]]]


def check(config: HealthConfig) -> None:
    """Raise InvalidArgument, in Docker's words."""
    for name, value in (
        ("Interval", config.interval),
        ("Timeout", config.timeout),
        ("StartPeriod", config.start_period),
        ("StartInterval", config.start_interval),
    ):
        if value and value < _LEAST:
            raise errors.InvalidArgument(f"{name} in Healthcheck cannot be less than 1ms")
    if config.retries < 0:
        raise errors.InvalidArgument("Retries in Healthcheck cannot be negative")


def merge(own: HealthConfig | None, images: HealthConfig | None) -> HealthConfig | None:
    """What a container's configuration leaves open is as its image has it."""
    if own is None or images is None:
        return own or images
    return HealthConfig(
        test=own.test or images.test,
        interval=own.interval or images.interval,
        timeout=own.timeout or images.timeout,
        start_period=own.start_period or images.start_period,
        start_interval=own.start_interval or images.start_interval,
        retries=own.retries or images.retries,
    )


def command(config: ContainerConfig) -> list[str]:
    """What a probe runs; nothing if there is no check."""
    kind, *words = (config.healthcheck.test if config.healthcheck is not None else None) or ["NONE"]
    if kind == "CMD":
        return words
    if kind == "CMD-SHELL":
        return [*(config.shell or _SHELL), *words]
    return []


def after(health: Health, probe: Probe, config: HealthConfig, *, in_start_period: bool) -> Health:
    """The health after a probe."""
    status, streak = health.status, health.failing_streak
    if probe.exit_code == 0:
        status, streak = HEALTHY, 0
    elif not (status == STARTING and in_start_period):
        streak += 1
        if streak >= (config.retries or _RETRIES):
            status = UNHEALTHY
    return Health(status, streak, (*health.log, probe)[-_MAX_LOG:])


class HealthChecks:
    """The checks of all containers. `run` is set by whoever can."""

    run: Run

    def __init__(self, services: Services, publish: Callable[[Container, str], None]) -> None:
        self._services = services
        self._publish = publish
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def started(self, container: Container) -> None:
        """A container runs: probe it from now on."""
        self.stop(container)
        if command(container.record.config):
            old = container.status.health
            self._set(container, Health(log=old.log if old is not None else ()))
            name = f"health of {container.record.short_id}"
            task = asyncio.get_running_loop().create_task(self._watch(container), name=name)
            self._tasks[container.id] = task

    def stop(self, container: Container) -> None:
        """It does not run any more: no more probes."""
        task = self._tasks.pop(container.id, None)
        if task is not None:
            task.cancel()
        if container.status.health is not None:
            self._set(container, msgspec.structs.replace(container.status.health, status=UNHEALTHY))

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _watch(self, container: Container) -> None:
        config = container.record.config.healthcheck
        assert config is not None
        while container.state.has_processes:
            pause = config.interval or _INTERVAL
            if _is_in_start_period(container, config):
                pause = config.start_interval or _START_INTERVAL
            await asyncio.sleep(pause / gotime.NANOSECONDS)
            # A paused container cannot answer, and is not the worse for it.
            if container.state is State.RUNNING:
                await self._probe(container, config)

    async def _probe(self, container: Container, config: HealthConfig) -> None:
        in_start_period, began = _is_in_start_period(container, config), time.time_ns()
        timeout = config.timeout or _TIMEOUT
        try:
            code, output = await self.run(
                container, command(container.record.config), timeout / gotime.NANOSECONDS
            )
        except TimeoutError:
            code, output = -1, f"Health check exceeded timeout ({gotime.format_duration(timeout)})"
        except (errors.SampanError, OSError) as error:
            code, output = -1, str(error)
        if container.state is not State.RUNNING:
            return  # how it ended says nothing of the container's health
        old = container.status.health or Health()
        new = after(old, Probe(began, time.time_ns(), code, output), config, in_start_period=in_start_period)
        self._set(container, new)
        if new.status != old.status:
            self._publish(container, f"health_status: {new.status}")
            database = self._services.database
            await self._services.threads.run(database.save_status, container.id, container.status)
            if new.status == UNHEALTHY:
                await self._end_if_wanted(container)

    async def _end_if_wanted(self, container: Container) -> None:
        if (container.record.config.labels or {}).get(RESTART_LABEL) == "true" and container.shim is not None:
            await container.shim.request(protocol.Kill(0, signal.SIGTERM))

    def _set(self, container: Container, health: Health) -> None:
        container.status = msgspec.structs.replace(container.status, health=health)


def _is_in_start_period(container: Container, config: HealthConfig) -> bool:
    health = container.status.health
    starting = health is None or health.status == STARTING
    return starting and time.time_ns() - container.status.started_at < config.start_period


def document(health: Health) -> dict[str, Any]:
    """`State.Health` of inspect."""
    return {
        "Status": health.status,
        "FailingStreak": health.failing_streak,
        "Log": [
            {
                "Start": gotime.format_rfc3339(probe.start),
                "End": gotime.format_rfc3339(probe.end),
                "ExitCode": probe.exit_code,
                "Output": probe.output,
            }
            for probe in health.log
        ],
    }
