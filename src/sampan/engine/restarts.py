"""Restart policies: whether a container that has ended is started again, and after how long.

Owns the rules, which are moby's (restartmanager/restart_manager.go). Pure; `lifecycle` acts.
"""

from __future__ import annotations

from sampan import errors
from sampan.engine.record import Record, Status
from sampan.engine.schema import HostConfig, RestartPolicy

NO = "no"
ALWAYS = "always"
ON_FAILURE = "on-failure"
UNLESS_STOPPED = "unless-stopped"

_FIRST_SECONDS = 0.1
_MOST_SECONDS = 60.0
_ENOUGH_SECONDS = 10.0


class Backoff:
    """The pause before a restart: twice as long each time, unless the container ran for ten seconds."""

    __slots__ = ("_seconds",)

    def __init__(self) -> None:
        self._seconds = 0.0

    def next(self, ran_for: float) -> float:
        """Seconds to wait, after a run of `ran_for` seconds."""
        if ran_for >= _ENOUGH_SECONDS:
            self._seconds = 0.0
        self._seconds = min(self._seconds * 2 or _FIRST_SECONDS, _MOST_SECONDS)
        return self._seconds


def check(host_config: HostConfig) -> None:
    """Raise InvalidArgument, in Docker's words, for a policy that there is not."""
    policy = host_config.restart_policy
    name, most = policy.name, policy.maximum_retry_count
    if name not in ("", NO, ALWAYS, ON_FAILURE, UNLESS_STOPPED):
        raise errors.InvalidArgument(f"invalid restart policy '{name}'")
    if name in (ALWAYS, UNLESS_STOPPED, NO) and most:
        raise errors.InvalidArgument(f"maximum retry count cannot be used with restart policy '{name}'")
    if name == ON_FAILURE and most < 0:
        raise errors.InvalidArgument("maximum retry count cannot be negative")
    if host_config.auto_remove and name not in ("", NO):
        raise errors.InvalidArgument("can't create 'AutoRemove' container with restart policy")


def is_set(policy: RestartPolicy) -> bool:
    return policy.name not in ("", NO)


def after_an_end(record: Record, status: Status) -> bool:
    """Whether to start a container again that has just ended, as `status` tells."""
    policy = record.host_config.restart_policy
    if policy.name == ON_FAILURE:
        most = policy.maximum_retry_count
        return status.exit_code != 0 and (most == 0 or status.restart_count < most)
    return policy.name == ALWAYS or (policy.name == UNLESS_STOPPED and not status.manually_stopped)


def at_engine_start(record: Record, status: Status) -> bool:
    """Whether to start a container that was at rest when the engine was started."""
    return record.host_config.restart_policy.name != ON_FAILURE and after_an_end(record, status)
