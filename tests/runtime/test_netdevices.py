"""Network devices of the host that move into a container."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest

from tests.runtime.bundles import Bundle

pytestmark = pytest.mark.root


def linux(**fields: Any) -> Any:
    return lambda config: config["linux"].update(fields)


@pytest.fixture
def veth() -> Any:
    name = f"spec{os.getpid() % 100000}"
    peer = f"{name}p"
    subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", peer], check=True)
    subprocess.run(["ip", "address", "add", "10.123.45.6/24", "dev", name], check=True)
    subprocess.run(["ip", "address", "add", "2001:db8::7/64", "dev", name, "nodad"], check=True)
    subprocess.run(["ip", "link", "set", peer, "up"], check=True)
    yield name
    subprocess.run(["ip", "link", "delete", peer], stderr=subprocess.DEVNULL)


@pytest.mark.parametrize(("wanted", "found"), [("lan0", "lan0"), ("lan%d", "lan0"), (None, None)])
def test_network_devices_move_with_their_addresses(
    bundle: Bundle, veth: str, wanted: str | None, found: str | None
) -> None:
    device = {} if wanted is None else {"name": wanted}
    output = bundle.shell("ip -o addr; ip -o link", linux(netDevices={veth: device}))
    name = found or veth
    assert f"{name}    inet 10.123.45.6/24" in output
    assert f"{name}    inet6 2001:db8::7/64" in output
    [link] = [line for line in output.splitlines() if f" {name}@" in line and "mtu" in line]
    assert "UP" in link


def test_a_network_device_that_is_not_there(bundle: Bundle) -> None:
    done = bundle.run("true", change=linux(netDevices={"nosuch0": {}}))
    assert "unable to move the network device nosuch0 into the container: no such device" in done.stderr
    assert bundle.cgroup_folders() == []
