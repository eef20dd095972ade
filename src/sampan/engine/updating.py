"""`update`: new limits and a new restart policy for a container that is there already.

Owns which parts of a host configuration can be changed, and dockerd's rules for that (moby's
container.UpdateContainer). What an update leaves at zero stays as it was.
"""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec

from sampan import errors
from sampan.engine import limits, ociresources, restarts
from sampan.engine.host import Host
from sampan.engine.schema import HostConfig
from sampan.runtime.cgroups import Cgroup
from sampan.runtime.spec.resources import parse_resources

_PLAIN = (
    "blkio_weight",
    "cpu_shares",
    "nano_cpus",
    "cpu_period",
    "cpu_quota",
    "cpu_realtime_period",
    "cpu_realtime_runtime",
    "cpuset_cpus",
    "cpuset_mems",
    "memory",
    "memory_swap",
    "memory_reservation",
    "pids_limit",
)


def merged(old: HostConfig, update: HostConfig, host: Host) -> tuple[HostConfig, list[str]]:
    """The configuration after an update, and warnings. Raises InvalidArgument, Conflict and Unsupported."""
    if update.kernel_memory:
        raise errors.Unsupported("limits of kernel memory are not supported yet (--kernel-memory)")
    # First by itself: swap alone goes with the memory limit that is there.
    limits.check(msgspec.structs.replace(update, memory_swap=0), host)
    _check_cpus(old, update)
    if update.memory > old.memory_swap != -1 and not update.memory_swap:
        raise errors.Conflict(
            "Memory limit should be smaller than already set memoryswap limit, "
            "update the memoryswap at the same time"
        )
    changes = {name: getattr(update, name) for name in _PLAIN if getattr(update, name)}
    if update.restart_policy.name:
        restarts.check(update)
        if old.auto_remove and restarts.is_set(update.restart_policy):
            raise errors.Conflict(
                "Restart policy cannot be updated because AutoRemove is enabled for the container"
            )
        changes["restart_policy"] = update.restart_policy
    config, warnings = limits.check(msgspec.structs.replace(old, **changes), host)
    if update.pids_limit is not None and config.pids_limit is None:
        config = msgspec.structs.replace(config, pids_limit=0)
    return config, warnings


def apply(cgroup: Cgroup, old: HostConfig, new: HostConfig) -> None:
    """Change the limits of a container that runs, all or none. Raises OSError."""
    before, after = _resources(old), _resources(new)
    if before == after:
        return
    try:
        cgroup.apply(parse_resources(after))
    except OSError:
        with contextlib.suppress(OSError):
            cgroup.apply(parse_resources(before))
        raise


def _resources(config: HostConfig) -> dict[str, Any]:
    """`linux.resources` of what can be changed while a container runs."""
    kept = HostConfig(**{name: getattr(config, name) for name in _PLAIN})
    document = ociresources.build(kept, (), {})
    del document["devices"]
    if not config.pids_limit:
        document["pids"] = {"limit": -1}
    return document


def _check_cpus(old: HostConfig, update: HostConfig) -> None:
    conflicts = (
        (
            update.nano_cpus and old.cpu_period,
            "Nano CPUs cannot be updated as CPU Period has already been set",
        ),
        (update.nano_cpus and old.cpu_quota, "Nano CPUs cannot be updated as CPU Quota has already been set"),
        (
            update.cpu_period and old.nano_cpus,
            "CPU Period cannot be updated as NanoCPUs has already been set",
        ),
        (update.cpu_quota and old.nano_cpus, "CPU Quota cannot be updated as NanoCPUs has already been set"),
    )
    for conflicting, what in conflicts:
        if conflicting:
            raise errors.Conflict(f"Conflicting options: {what}")
