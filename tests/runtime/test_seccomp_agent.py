"""Seccomp filters that ask an agent."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.agent import Agent
from tests.runtime.bundles import Bundle

pytestmark = pytest.mark.root

Config = dict[str, Any]


def _notifying(path: Path, *names: str, privileges: bool) -> Any:
    def change(config: Config) -> None:
        config["process"]["noNewPrivileges"] = not privileges
        config["annotations"] = {"a": "b"}
        config["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
            "listenerPath": str(path),
            "listenerMetadata": "something",
            "syscalls": [{"names": list(names), "action": "SCMP_ACT_NOTIFY"}],
        }

    return change


@pytest.mark.parametrize("privileges", [True, False])
def test_seccomp_agent(bundle: Bundle, privileges: bool) -> None:
    agent = Agent(bundle.folder / "agent.sock")
    agent.start()
    change = _notifying(bundle.folder / "agent.sock", "mkdir", "mkdirat", privileges=privileges)
    done = bundle.run("mkdir", "/made", change=change)
    agent.wait()
    assert done.returncode == 1 and "Directory not empty" in done.stderr, done
    assert agent.rest == b""
    state = agent.told.pop("state")
    pid = agent.told.pop("pid")
    assert agent.told == {"ociVersion": "1.3.0", "fds": ["seccompFd"], "metadata": "something"}
    assert state == {
        "ociVersion": "1.3.0",
        "id": "c",
        "status": "creating",
        "pid": pid,
        "bundle": str(bundle.folder),
        "annotations": {"a": "b"},
    }


def test_seccomp_agent_of_a_created_container_and_of_an_exec(bundle: Bundle) -> None:
    path = bundle.folder / "agent.sock"
    agent = Agent(path)
    agent.start()
    config = bundle.config("sleep", "1000")
    _notifying(path, "mkdir", "mkdirat", privileges=True)(config)
    bundle.write(config)
    with open(os.devnull, "r+b") as null:
        subprocess.run(
            bundle.command("create", "c"), check=True, stdin=null, stdout=null, stderr=null, cwd=bundle.folder
        )
    assert agent.told["state"]["status"] == "creating"
    assert bundle.sampan("start", "c").returncode == 0
    init = bundle.pid()
    path.unlink()
    second = Agent(path)
    second.start()
    done = bundle.sampan("exec", "c", "mkdir", "/made")
    second.wait()
    assert done.returncode == 1 and "Directory not empty" in done.stderr, done
    assert second.told["state"]["status"] == "running" and second.told["state"]["pid"] == init
    assert second.told["pid"] != init


@pytest.mark.parametrize("name", ["TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV"])
def test_flags_of_filters_without_an_agent(bundle: Bundle, name: str) -> None:
    def change(config: Config) -> None:
        config["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "flags": [f"SECCOMP_FILTER_FLAG_{name}"],
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 39}],
        }

    done = bundle.run("mkdir", "/made", change=change)
    assert done.returncode == 1 and "Directory not empty" in done.stderr, done


@pytest.mark.parametrize(
    ("action", "signal"),
    [("TRAP", 31), ("KILL", 31), ("KILL_THREAD", 31), ("KILL_PROCESS", 31), ("LOG", None)],
)
def test_actions_without_an_agent(bundle: Bundle, action: str, signal: int | None) -> None:
    """SIGSYS is 31."""

    def change(config: Config) -> None:
        rule = {"names": ["mkdir", "mkdirat"], "action": f"SCMP_ACT_{action}"}
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}

    done = bundle.run("sh", "-c", "mkdir /made; echo $?", change=change)
    assert done.stdout == ("0\n" if signal is None else f"{128 + signal}\n"), done


def test_a_traced_action_without_a_tracer_is_enosys(bundle: Bundle) -> None:
    def change(config: Config) -> None:
        rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_TRACE", "errnoRet": 5}
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}

    assert "Function not implemented" in bundle.run("mkdir", "/made", change=change).stderr


@pytest.mark.parametrize("privileges", [True, False])
def test_an_agent_may_be_asked_about_everything_but_write(bundle: Bundle, privileges: bool) -> None:
    """What the new process does before the agent has the listener would else wait for ever."""
    path = bundle.folder / "agent.sock"
    agent = Agent(path, lets_go_on=True)
    agent.start()
    names = (
        *("read", "close", "dup", "fcntl", "sendmsg", "sendto", "recvmsg", "poll", "ppoll", "mmap", "munmap"),
        *("brk", "futex", "capset", "capget", "prctl", "execve", "openat", "exit_group", "rt_sigaction"),
    )
    done = bundle.run("echo", "done", change=_notifying(path, *names, privileges=privileges))
    agent.wait()
    assert (done.returncode, done.stdout) == (0, "done\n"), done
    assert agent.answered > 3


def test_without_an_agent_the_start_fails(bundle: Bundle) -> None:
    done = bundle.run("true", change=_notifying(bundle.folder / "none.sock", "mkdir", privileges=True))
    why = f"dial unix {bundle.folder}/none.sock: connect: no such file or directory"
    assert f"failed to connect with seccomp agent specified in the seccomp profile: {why}" in done.stderr
    assert bundle.cgroup_folders() == []


def test_a_listener_without_a_rule_that_notifies_is_not_asked_for(bundle: Bundle) -> None:
    change = _notifying(bundle.folder / "none.sock", "mkdir", privileges=True)

    def allowing(config: Config) -> None:
        change(config)
        config["linux"]["seccomp"]["syscalls"][0]["action"] = "SCMP_ACT_ALLOW"

    assert bundle.run("true", change=allowing).returncode == 0
