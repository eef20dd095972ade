"""Docker's seccomp profile format, resolved."""

from __future__ import annotations

from typing import Any

import pytest

from sampan import errors
from sampan.engine.security import seccomp
from sampan.engine.security.capabilities import DEFAULT
from sampan.engine.security.seccomp import Circumstances, resolve


def around(machine: str = "x86_64", kernel: str = "6.1.0-13-amd64", *more: str) -> Circumstances:
    return Circumstances(machine, kernel, frozenset((*DEFAULT, *more)))


def allowed(profile: dict[str, Any], *, plainly: bool = True) -> set[str]:
    """The system calls that are allowed, whatever their arguments if `plainly`."""
    rules = [rule for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW"]
    return {name for rule in rules for name in rule["names"] if not (plainly and rule.get("args"))}


def test_the_default_profile() -> None:
    profile = seccomp.default(around())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO" and profile["defaultErrnoRet"] == 1
    assert profile["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    plain = allowed(profile)
    assert {"read", "execve", "openat2", "ptrace", "arch_prctl", "chroot"} <= plain
    assert not {"mount", "unshare", "setns", "bpf", "reboot", "open_by_handle_at", "io_uring_setup"} & plain
    assert "socket" not in plain and "socket" in allowed(profile, plainly=False)
    assert "archMap" not in profile and all(
        set(rule) <= {"names", "action", "errnoRet", "args"} for rule in profile["syscalls"]
    )


def test_clone3_does_not_exist_without_cap_sys_admin() -> None:
    """glibc then falls back to clone, whose flags can be looked at."""
    rules = [rule for rule in seccomp.default(around())["syscalls"] if "clone3" in rule["names"]]
    assert rules == [{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]
    clone = [rule for rule in seccomp.default(around())["syscalls"] if rule["names"] == ["clone"]]
    assert [rule["args"][0]["index"] for rule in clone] == [0]


def test_capabilities_open_more() -> None:
    profile = seccomp.default(around("x86_64", "6.1.0", "CAP_SYS_ADMIN", "CAP_SYS_TIME"))
    assert {"mount", "unshare", "setns", "clone3", "settimeofday"} <= allowed(profile)
    assert "reboot" not in allowed(profile)


def test_kernels_and_machines() -> None:
    assert "ptrace" not in allowed(seccomp.default(around("x86_64", "4.7.0")))
    arm = seccomp.default(around("aarch64"))
    assert arm["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    assert "arm_fadvise64_64" in allowed(arm) and "arch_prctl" not in allowed(arm)


def rule(**conditions: Any) -> dict[str, Any]:
    return {"names": ["x"], "action": "SCMP_ACT_ALLOW"} | conditions


@pytest.mark.parametrize(
    ("conditions", "applies"),
    [
        ({"includes": {"arches": ["amd64"]}}, True),
        ({"includes": {"arches": ["s390"]}}, False),
        ({"includes": {"caps": ["CAP_CHOWN"], "minKernel": "6.1"}}, True),
        ({"includes": {"caps": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}}, False),
        ({"includes": {"minKernel": "6.2"}}, False),
        ({"includes": {"minKernel": "5.10"}}, True),
        ({"excludes": {"arches": ["amd64"]}}, False),
        ({"excludes": {"caps": ["CAP_SYS_ADMIN", "CAP_CHOWN"]}}, False),
        ({"excludes": {"caps": ["CAP_SYS_ADMIN"]}}, True),
        ({"excludes": {"minKernel": "4.8"}}, False),
        ({"excludes": {"minKernel": "7.0"}}, True),
    ],
)
def test_conditions(conditions: dict[str, Any], applies: bool) -> None:
    profile = resolve({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule(**conditions)]}, around())
    assert profile is not None and bool(profile["syscalls"]) is applies


def test_an_empty_profile_filters_nothing() -> None:
    assert resolve({}, around()) is None


def test_old_profiles_name_one_call_in_each_rule() -> None:
    old = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
    }
    profile = resolve(
        old | {"syscalls": [{"name": "read", "action": "SCMP_ACT_ALLOW", "args": []}]}, around()
    )
    assert profile == old | {"syscalls": [{"action": "SCMP_ACT_ALLOW", "names": ["read"]}]}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"defaultAction": "x", "architectures": ["a"], "archMap": [{"architecture": "b"}]},
            "either 'architectures'",
        ),
        ({"defaultAction": "x", "syscalls": [{"name": "a", "names": ["b"], "action": "y"}]}, "either 'name'"),
        ({"defaultAction": "x", "syscalls": [rule(includes={"minKernel": "six"})]}, "not a kernel version"),
    ],
)
def test_profiles_that_contradict_themselves(document: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=message):
        resolve(document, around())
