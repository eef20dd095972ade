"""Which updates of a container are refused, and what a kernel's refusal leaves."""

from __future__ import annotations

import pytest

from sampan import errors
from sampan.engine import updating
from sampan.engine.host import examine
from sampan.engine.schema import HostConfig, RestartPolicy
from sampan.runtime.cgroups import Cgroup
from sampan.runtime.spec.resources import Resources

MIB = 1 << 20


@pytest.mark.parametrize(
    ("old", "update", "words"),
    [
        (HostConfig(), HostConfig(memory=64 * MIB), "smaller than already set memoryswap limit"),
        (HostConfig(nano_cpus=1), HostConfig(cpu_quota=5000), "CPU Quota cannot be updated as NanoCPUs"),
        (HostConfig(cpu_quota=5000), HostConfig(nano_cpus=10**9), "Nano CPUs cannot be updated as CPU Quota"),
        (
            HostConfig(cpu_period=5000),
            HostConfig(nano_cpus=10**9),
            "Nano CPUs cannot be updated as CPU Period",
        ),
        (
            HostConfig(auto_remove=True),
            HostConfig(restart_policy=RestartPolicy(name="always")),
            "Restart policy cannot be updated because AutoRemove is enabled",
        ),
    ],
)
def test_conflicts(old: HostConfig, update: HostConfig, words: str) -> None:
    with pytest.raises(errors.Conflict, match=words):
        updating.merged(old, update, examine())


def test_what_is_not_named_stays() -> None:
    old = HostConfig(memory=64 * MIB, memory_swap=-1, cpu_shares=7, pids_limit=5)
    new, warnings = updating.merged(old, HostConfig(memory=32 * MIB), examine())
    assert (new.memory, new.memory_swap, new.cpu_shares, new.pids_limit) == (32 * MIB, -1, 7, 5)
    assert warnings == []


class Refusing(Cgroup):
    """A cgroup with a kernel that refuses small limits of memory, after other limits were set."""

    def __init__(self) -> None:
        self.applied: list[Resources] = []

    def apply(self, resources: Resources) -> None:
        self.applied.append(resources)
        if resources.memory.limit == 8 * MIB:
            raise OSError(16, "Device or resource busy")


def test_a_refusal_by_the_kernel_puts_the_old_limits_back() -> None:
    cgroup = Refusing()
    old = HostConfig(memory=64 * MIB, memory_swap=-1, pids_limit=50)
    with pytest.raises(OSError, match="busy"):
        updating.apply(cgroup, old, HostConfig(memory=8 * MIB, memory_swap=-1, pids_limit=20))
    assert [(each.memory.limit, each.pids) for each in cgroup.applied] == [
        (8 * MIB, 20),
        (64 * MIB, 50),
    ]
