"""When and where a process runs, and what a security module would be told."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sampan.runtime.security_modules import has_apparmor, has_selinux
from tests.runtime.bundles import Bundle

pytestmark = pytest.mark.root

Config = dict[str, Any]


# Nice value and policy: proc_pid_stat(5).
SCHEDULING = "awk '{print $19, $41}' /proc/self/stat"


def process(**fields: Any) -> Any:
    return lambda config: config["process"].update(fields)


def linux(**fields: Any) -> Any:
    return lambda config: config["linux"].update(fields)


def test_scheduler_and_io_priority(bundle: Bundle) -> None:
    change = process(
        scheduler={"policy": "SCHED_BATCH", "nice": 7},
        ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 6},
    )
    output = bundle.shell(f"{SCHEDULING}; ionice -p $$", change)
    assert output.splitlines() == ["7 3", "best-effort: prio 6"]


def test_a_scheduler_that_the_kernel_refuses(bundle: Bundle) -> None:
    """A deadline after the period is none."""
    wrong = {"policy": "SCHED_DEADLINE", "runtime": 10**6, "deadline": 10**9, "period": 10**7}
    done = bundle.run("true", change=process(scheduler=wrong))
    assert done.returncode == 1
    assert "error setting scheduler: invalid argument" in done.stderr


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="takes two processors")
def test_exec_runs_with_the_scheduler_and_on_the_processors_that_it_names(bundle: Bundle) -> None:
    with bundle.running():
        program = bundle.config("sh", "-c", f"{SCHEDULING}; taskset -p $$")["process"]
        program["scheduler"] = {"policy": "SCHED_IDLE"}
        program["execCPUAffinity"] = {"initial": "0-1", "final": "1"}
        (bundle.folder / "process.json").write_text(json.dumps(program))
        done = bundle.sampan("exec", "--process", "process.json", "c")
    assert done.stdout.startswith("0 5\n"), done
    assert done.stdout.splitlines()[-1].endswith("affinity mask: 2")


def test_affinity_is_for_execs_alone(bundle: Bundle) -> None:
    output = bundle.shell("taskset -p $$", process(execCPUAffinity={"initial": "0", "final": "0"}))
    assert not output.strip().endswith("mask: 1")


def test_memory_policy(bundle: Bundle) -> None:
    if not Path("/proc/self/numa_maps").exists():
        pytest.skip("this kernel has no NUMA")
    policy = {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}
    output = bundle.shell("head -1 /proc/self/numa_maps", linux(memoryPolicy=policy))
    assert " bind=static:0 " in output
    with bundle.running(change=linux(memoryPolicy={"mode": "MPOL_LOCAL"})):
        assert " local " in bundle.sampan("exec", "c", "head", "-1", "/proc/self/numa_maps").stdout
    done = bundle.run("true", change=linux(memoryPolicy={"mode": "MPOL_BIND"}))
    assert "error setting memory policy: invalid argument" in done.stderr


@pytest.mark.skipif(not has_apparmor(), reason="this kernel has no AppArmor")
def test_apparmor_profile(bundle: Bundle) -> None:
    profile = bundle.shell("cat /proc/self/attr/current", process(apparmorProfile="unconfined"))
    assert profile.startswith("unconfined")
    done = bundle.run("true", change=process(apparmorProfile="no-such-profile"))
    assert "unable to apply apparmor profile" in done.stderr
    with bundle.running():
        program = bundle.config("true")["process"] | {"apparmorProfile": "no-such-profile"}
        (bundle.folder / "process.json").write_text(json.dumps(program))
        assert "unable to apply apparmor profile" in bundle.sampan("exec", "-p", "process.json", "c").stderr


def test_what_the_kernel_has_no_module_for_is_refused(bundle: Bundle) -> None:
    no_selinux = "selinux label is specified in config, but selinux is disabled or not supported"
    cases = []
    if not has_selinux():
        cases += [(process(selinuxLabel="a:b:c:d"), no_selinux), (linux(mountLabel="a:b:c:d"), no_selinux)]
    if not has_apparmor():
        cases.append((process(apparmorProfile="p"), "apparmor is disabled or not supported"))
    for change, message in cases:
        done = bundle.run("true", change=change)
        assert (done.returncode, message in done.stderr) == (1, True), done
    assert bundle.cgroup_folders() == []
