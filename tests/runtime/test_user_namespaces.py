"""User namespaces, new and joined, together with other namespaces that are joined."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.bundles import Bundle
from tests.runtime.test_idmapped import give_away, in_user_namespace

pytestmark = pytest.mark.root

Config = dict[str, Any]
FILES = {"network": "net", "ipc": "ipc", "uts": "uts", "pid": "pid", "user": "user", "time": "time"}


def _join(config: Config, pid: int, *kinds: str) -> None:
    namespaces = [entry for entry in config["linux"]["namespaces"] if entry["type"] not in kinds]
    namespaces += [{"type": kind, "path": f"/proc/{pid}/ns/{FILES[kind]}"} for kind in kinds]
    config["linux"]["namespaces"] = namespaces
    if "uts" in kinds:
        del config["hostname"]


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Bundle]:
    made = Bundle(tmp_path / "other")
    yield made
    made.clean_up()


@pytest.mark.parametrize("kinds", [(), ("network",), ("network", "ipc", "uts"), ("network", "pid")])
def test_joined_user_namespace(bundle: Bundle, other: Bundle, kinds: tuple[str, ...]) -> None:
    """As the second container of a pod: what is new belongs to the user namespace, the rest is shared."""
    give_away(bundle)
    give_away(other)
    with other.running(change=in_user_namespace):
        pid = other.pid()

        def change(config: Config) -> None:
            config["mounts"] = [mount for mount in config["mounts"] if mount["type"] != "cgroup"]
            _join(config, pid, "user", *kinds)
            for name in ("bounding", "effective", "permitted"):
                config["process"]["capabilities"][name].append("CAP_SYS_ADMIN")

        script = (
            f"id -u; for n in {' '.join(FILES.values())}; do readlink /proc/self/ns/$n; done;"
            " mount -t tmpfs x /tmp; hostname inside; ps -o comm | grep -c sleep || true"
        )
        uid, *names, sleepers = bundle.shell(script, change).split()
        assert uid == "0"
        theirs = [os.readlink(f"/proc/{pid}/ns/{name}") for name in FILES.values()]
    for kind, name, their in zip(FILES, names, theirs, strict=True):
        host = os.readlink(f"/proc/self/ns/{FILES[kind]}")
        assert (name == their) == (kind in ("user", "time", *kinds)), kind
        assert (name == host) == (kind == "time"), kind
    assert (sleepers != "0") == ("pid" in kinds)


def test_new_user_namespace_in_a_network_of_the_host(bundle: Bundle) -> None:
    """As with podman and CNI: the network was made before, and does not belong to the container's root."""
    give_away(bundle)
    with subprocess.Popen(["unshare", "--net", "sleep", "1000"]) as holder:
        try:
            while os.readlink(f"/proc/{holder.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
                pass

            def change(config: Config) -> None:
                in_user_namespace(config)
                _join(config, holder.pid, "network")
                # sysfs shows a network, and so belongs to who owns it.
                config["mounts"] = [mount for mount in config["mounts"] if mount["type"] != "sysfs"]

            output = bundle.shell("readlink /proc/self/ns/net; id -u", change)
            assert output.split() == [os.readlink(f"/proc/{holder.pid}/ns/net"), "0"]
        finally:
            holder.kill()


def test_exec_in_a_joined_user_namespace(bundle: Bundle, other: Bundle) -> None:
    give_away(bundle)
    give_away(other)
    with other.running(change=in_user_namespace):
        pid = other.pid()

        def change(config: Config) -> None:
            config["mounts"] = [mount for mount in config["mounts"] if mount["type"] != "cgroup"]
            _join(config, pid, "user", "network")

        with bundle.running(change=change):
            state = json.loads(bundle.sampan("state", "c").stdout)
            assert os.readlink(f"/proc/{state['pid']}/ns/user") == os.readlink(f"/proc/{pid}/ns/user")
            assert bundle.sampan("exec", "c", "id", "-u").stdout == "0\n"


def test_a_namespace_that_cannot_be_joined_from_a_user_namespace(bundle: Bundle) -> None:
    give_away(bundle)

    def change(config: Config) -> None:
        in_user_namespace(config)
        config["linux"]["namespaces"] = [
            *(entry for entry in config["linux"]["namespaces"] if entry["type"] != "network"),
            {"type": "network", "path": "/proc/self/ns/uts"},
        ]

    done = bundle.run("true", change=change)
    assert done.returncode == 1
    assert "failed to join the network namespace: invalid argument" in done.stderr
    assert bundle.cgroup_folders() == []
