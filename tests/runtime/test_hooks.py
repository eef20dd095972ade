"""Hooks: when, where and with what they run."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import Any

import pytest

from tests.runtime.bundles import Bundle

pytestmark = pytest.mark.root

Config = dict[str, Any]


def _hook(script: str, **fields: Any) -> Config:
    return {"path": "/bin/sh", "args": ["sh", "-c", script], **fields}


def test_hooks_run_in_their_order_and_namespaces(bundle: Bundle) -> None:
    log = bundle.folder / "log"
    inside = bundle.rootfs / "log"
    inside.write_text("")

    def script(name: str, path: str) -> str:
        return (
            f"echo {name} $(readlink /proc/self/ns/net) $(readlink /proc/self/ns/mnt) $(cat) >> {path};"
            f" test -e /etc/passwd"
        )

    def change(config: Config) -> None:
        config["hooks"] = {
            name: [_hook(script(name, "/log" if name == "startContainer" else str(log)))]
            for name in (
                *("poststop", "poststart", "startContainer", "createContainer", "createRuntime"),
                "prestart",
            )
        }
        # createContainer resolves its paths in the runtime's namespace, so both can be told by one log.
        config["annotations"] = {"long": "x" * 100_000}

    config = bundle.config("sh", "-c", "readlink /proc/self/ns/net")
    change(config)
    bundle.write(config)
    done = bundle.sampan("run", "c")
    assert done.returncode == 0, done
    net = done.stdout.strip()
    host = os.readlink("/proc/self/ns/net")
    events = [_event(line) for line in log.read_text().splitlines()]
    [started] = [_event(line) for line in inside.read_text().splitlines()]
    assert [event[0] for event in events] == [
        *("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    ]
    assert [event[1] for event in events] == [host, host, net, host, host]
    assert started[1] == net
    assert [event[3]["status"] for event in events] == [
        *("creating", "creating", "creating", "running", "stopped")
    ]
    assert started[3]["status"] == "created" and started[3]["pid"] == 1
    for event in (*events, started):
        assert event[3]["id"] == "c" and event[3]["bundle"] == str(bundle.folder)
        assert len(event[3]["annotations"]["long"]) == 100_000


def _event(line: str) -> tuple[str, str, str, Config]:
    name, net, mnt, state = line.split(" ", 3)
    return name, net, mnt, json.loads(state)


def test_environment_of_hooks(bundle: Bundle) -> None:
    """As with runc: the runtime's own, the program's inside, or exactly what is given."""
    log = bundle.folder / "log"

    def change(config: Config) -> None:
        config["process"]["env"] = ["PATH=/bin:/usr/bin", "WHOSE=program"]
        show = f"echo ${{WHOSE-nobody}} >> {log}"
        config["hooks"] = {
            "createRuntime": [_hook(show), _hook(show, env=["WHOSE=hook"])],
            "createContainer": [_hook(show), _hook(show, env=[])],
        }

    done = bundle.run("true", change=change, env={**os.environ, "WHOSE": "runtime"})
    assert done.returncode == 0, done
    assert log.read_text().split() == ["runtime", "hook", "program", "nobody"]


def test_a_hook_that_takes_too_long_or_fails(bundle: Bundle) -> None:
    def change(hook: Config, kind: str) -> Any:
        return lambda config: config.update(hooks={kind: [hook]})

    done = bundle.run("true", change=change(_hook("sleep 100", timeout=1), "createContainer"))
    assert "error running createContainer hook #0: hook ran past specified timeout of 1.0s" in done.stderr
    done = bundle.run("true", change=change(_hook("echo what; echo why >&2; exit 3"), "createRuntime"))
    assert "error running createRuntime hook #0: exit status 3, stdout: what" in done.stderr
    assert bundle.cgroup_folders() == []


def test_a_failing_poststart_hook_stops_the_container(bundle: Bundle) -> None:
    config = bundle.config("sleep", "1000")
    config["hooks"] = {"poststart": [_hook("exit 4")]}
    bundle.write(config)
    with open(os.devnull, "r+b") as null:
        subprocess.run(
            bundle.command("create", "c"), check=True, stdin=null, stdout=null, stderr=null, cwd=bundle.folder
        )
    done = bundle.sampan("start", "c")
    assert done.returncode == 1 and "poststart hook #0: exit status 4" in done.stderr
    deadline = time.monotonic() + 30
    while json.loads(bundle.sampan("state", "c").stdout)["status"] != "stopped":
        assert time.monotonic() < deadline
