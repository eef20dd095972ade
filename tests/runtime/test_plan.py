"""The order of a plan, computed without root."""

from __future__ import annotations

from typing import Any

import pytest

from sampan import errors
from sampan.runtime import executor, spec
from sampan.runtime.cgroups import CgroupView, ViewedHierarchy
from sampan.runtime.plan import Choices, Filter, Joinable, plan_container, plan_exec
from sampan.runtime.state import State
from tests.runtime.test_spec import config

STATE = State("c", "creating", 0, "/bundle")
VIEW = CgroupView(1, (ViewedHierarchy("memory", ("memory",), "/sys/fs/cgroup/memory/c"),))
FILTER = Choices(filter=Filter(b"12345678", 0))


def lines(choices: Choices = FILTER, **changes: Any) -> list[str]:
    operations = plan_container(spec.parse(config(**changes)), STATE, VIEW, choices)
    return executor.describe(operations).splitlines()


def index(plan: list[str], start: str) -> int:
    return next(number for number, line in enumerate(plan) if line.startswith(start))


def in_order(plan: list[str], *starts: str) -> bool:
    places = [index(plan, start) for start in starts]
    return places == sorted(places)


def test_order_of_a_container() -> None:
    plan = lines()
    assert in_order(
        plan,
        "set the propagation",
        "mount rootfs",
        "mount proc on /proc",
        "mknod /dev/null",
        "open a terminal as /dev/console",
        "mask /proc/acpi",
        "wait until the parent has prepared",
        "configure the network",
        "enter the cgroup",
        "unshare the cgroup namespace",
        "mount cgroup v1",
        "verify /proc and /sys",
        "pivot_root",
        "make the root file system read-only",
        "start a session",
        "chdir /",
        "drop the bounding set",
        "find sh",
        "wait at the gate",
        "execve sh",
    )


def test_the_filter_comes_last_only_with_no_new_privileges() -> None:
    assert in_order(
        lines(process__noNewPrivileges=True), "set no_new_privs", "set the capabilities", "load a seccomp"
    )
    assert in_order(lines(process__noNewPrivileges=False), "load a seccomp", "set the capabilities", "execve")


def test_what_lies_over_or_under_the_cgroups_waits_with_them() -> None:
    mounts = config()["mounts"] + [
        {"destination": "/sys/fs/cgroup/extra", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/data", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/sys/fs/cgroup/extra/deep", "type": "tmpfs", "source": "tmpfs"},
    ]
    plan = lines(mounts=mounts, linux__maskedPaths=["/proc/keys", "/sys/fs/cgroup/memory"])
    wait = index(plan, "enter the cgroup")
    assert index(plan, "mount tmpfs on /data") < wait < index(plan, "mount tmpfs on /sys/fs/cgroup/extra")
    assert in_order(
        plan,
        "mount cgroup",
        "mount tmpfs on /sys/fs/cgroup/extra",
        "mount tmpfs on /sys/fs/cgroup/extra/deep",
    )
    assert plan.count("mask /proc/keys") == plan.count("mask /sys/fs/cgroup/memory") == 1
    assert index(plan, "mask /proc/keys") < wait < index(plan, "mask /sys/fs/cgroup/memory")


def test_sources_are_opened_before_the_root_is_attached() -> None:
    mounts = [{"destination": "/x", "source": "/y", "options": ["bind"]}]
    assert in_order(lines(mounts=mounts), "open /y", "mount rootfs", "bind /y on /x")


def test_a_device_that_is_given_replaces_the_default() -> None:
    devices = [{"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600}]
    made = [line for line in lines(linux__devices=devices) if "/dev/null" in line]
    assert made == ["mknod /dev/null c 1 3 mode 600"]


def test_no_devices_in_a_bound_dev() -> None:
    mounts = [{"destination": "/dev", "source": "/dev", "options": ["rbind"]}]
    assert not [line for line in lines(mounts=mounts) if line.startswith(("mknod", "symlink"))]


@pytest.mark.parametrize("destination", ["/proc/sys", "/proc/self/../1", "/x/../proc/tty"])
def test_nothing_is_mounted_in_proc(destination: str) -> None:
    with pytest.raises(errors.StartFailed, match="cannot be mounted because it is inside /proc"):
        lines(mounts=[{"destination": destination, "source": "/y", "options": ["bind"]}])


def test_single_files_of_proc_may_be_covered() -> None:
    lines(mounts=[{"destination": "/proc/meminfo", "source": "/y", "options": ["bind"]}])
    with pytest.raises(errors.StartFailed):
        lines(mounts=[{"destination": "/proc/meminfo", "type": "tmpfs", "source": "tmpfs"}])


def test_order_of_an_exec() -> None:
    parsed = spec.parse(config())
    assert parsed.process is not None
    plan = executor.describe(plan_exec(Joinable.of(parsed), parsed.process, FILTER)).splitlines()
    assert plan[2] == "enter the container's namespaces network ipc uts mount cgroup"
    assert in_order(
        plan, "enter the cgroup", "join a new session", "enter the container", "open a terminal", "find"
    )


def test_a_container_needs_a_process() -> None:
    with pytest.raises(errors.InvalidArgument, match="process property must not be empty"):
        lines(process=None)
