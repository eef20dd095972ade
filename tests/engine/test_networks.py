"""Networks of the user's: who reaches whom, by which name, and what a restart or a rude neighbour changes."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.wire import dns
from tests.busybox import busybox_rootfs_tar
from tests.engines import EngineProcess, sampan_engine

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("user-networks")]

# A name server that knows one name, and tells each question that it got.
SERVER = r"""
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.53", 53))
print("ready", flush=True)
while True:
    query, client = sock.recvfrom(4096)
    print(query[12:].split(b"\0")[0], flush=True)
    known = b"\x07outside" in query and query[-3] == 1
    flags = b"\x81\x80" if known else b"\x81\x83"
    counts = b"\0\1\0" + bytes([known]) + bytes(4)
    answer = b"\xc0\x0c\0\1\0\1\0\0\0\x05\0\4\xc0\0\2\x09" if known else b""
    sock.sendto(query[:2] + flags + counts + query[12:] + answer, client)
"""

BRIDGE_NAME = "com.docker.network.bridge.name"
GATEWAY = "ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p'"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    engine = sampan_engine(tmp_path_factory.mktemp("networks") / "engine", "--dns", "127.0.0.53")
    try:
        engine.launch()
        tar = engine.directory / "rootfs.tar"
        tar.write_bytes(busybox_rootfs_tar())
        assert engine.docker("import", "-c", 'CMD ["sleep", "1000"]', str(tar), "busybox").returncode == 0
        yield engine
    finally:
        engine.close()


@pytest.fixture(autouse=True)
def clean(engine: EngineProcess) -> Iterator[None]:
    yield
    left = engine.docker("ps", "-aq").stdout.split()
    if left:
        engine.docker("rm", "-f", *left)
    assert engine.docker("network", "prune", "-f").returncode == 0


def run(engine: EngineProcess, name: str, *options: str) -> None:
    done = engine.docker("run", "-d", "--name", name, *options, "busybox")
    assert done.returncode == 0, done.stderr


def network(engine: EngineProcess, name: str, *options: str) -> None:
    done = engine.docker("network", "create", *options, name)
    assert done.returncode == 0, done.stderr


def inside(engine: EngineProcess, container: str, command: str) -> str:
    """Output of a command in a container; "" if it fails."""
    done = engine.docker("exec", container, "sh", "-c", command)
    return done.stdout if done.returncode == 0 else ""


def address(engine: EngineProcess, container: str, on: str) -> str:
    shown = engine.docker(
        "inspect", container, "-f", f'{{{{(index .NetworkSettings.Networks "{on}").IPAddress}}}}'
    )
    return shown.stdout.strip()


def on_host(engine: EngineProcess, *command: str) -> str:
    return subprocess.run(engine.in_netns(*command), capture_output=True, text=True, check=True).stdout


def pings(engine: EngineProcess, container: str, target: str) -> bool:
    return bool(inside(engine, container, f"ping -c 1 -W 1 {target}"))


def test_names_and_isolation(engine: EngineProcess) -> None:
    network(engine, "one")
    network(engine, "two")
    run(engine, "aa", "--network", "one", "--network-alias", "Alias")
    run(engine, "bb", "--network", "one")
    run(engine, "cc", "--network", "two")
    run(engine, "dd")
    for name in (
        "aa",
        "alias",
        "ALIAS",
        "aa.one",
        engine.docker("inspect", "aa", "-f", "{{.Id}}").stdout[:12],
    ):
        assert pings(engine, "bb", name), name
    assert not pings(engine, "cc", "aa") and not pings(engine, "dd", "aa")
    for container in ("cc", "dd"):
        assert not pings(engine, container, address(engine, "aa", "one"))
    assert not pings(engine, "aa", address(engine, "dd", "bridge"))
    assert "aa.one" in inside(engine, "bb", f"nslookup {address(engine, 'aa', 'one')}")
    # A container that is on both joins them for itself alone.
    assert engine.docker("network", "connect", "--alias", "both", "two", "aa").returncode == 0
    assert pings(engine, "cc", "both") and pings(engine, "aa", "cc") and not pings(engine, "bb", "cc")
    assert engine.docker("network", "disconnect", "two", "aa").returncode == 0
    assert not pings(engine, "cc", "both") and pings(engine, "aa", "bb")
    assert "eth1" not in inside(engine, "aa", "ip a")


def test_a_restart_of_the_engine(engine: EngineProcess) -> None:
    network(engine, "kept", "--subnet", "10.44.0.0/24", "--label", "a=b")
    run(engine, "aa", "--network", "kept", "--ip", "10.44.0.9", "-p", "18080:80")
    run(engine, "bb", "--network", "kept")
    before = engine.docker("inspect", "aa", "-f", "{{json .NetworkSettings}}").stdout
    shown = engine.docker("network", "inspect", "kept").stdout
    engine.kill()
    # Without an engine everything but names goes on.
    engine.launch()
    assert engine.docker("inspect", "aa", "-f", "{{json .NetworkSettings}}").stdout == before
    assert engine.docker("network", "inspect", "kept").stdout == shown
    assert pings(engine, "bb", "aa")
    taken = engine.docker("run", "--rm", "--network", "kept", "--ip", "10.44.0.9", "busybox", "true")
    assert "Address already in use" in taken.stderr
    assert engine.docker("restart", "-t", "0", "aa").returncode == 0
    assert pings(engine, "bb", "aa") and address(engine, "aa", "kept") == "10.44.0.9"


def test_published_ports(engine: EngineProcess) -> None:
    network(engine, "one")
    network(engine, "two")
    run(engine, "web", "--network", "one", "-p", "18081:80")
    run(engine, "far", "--network", "two")
    serve = "echo hello > /tmp/index.html; httpd -p 80 -h /tmp"
    assert engine.docker("exec", "web", "sh", "-c", serve).returncode == 0
    fetch = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {} {} | tail -n 1"

    def from_host(target: str) -> str:
        read = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=2).read().decode())"
        command = engine.in_netns(sys.executable, "-c", read, f"http://{target}:18081/")
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    gateway = inside(engine, "far", GATEWAY).strip()
    assert from_host("127.0.0.1") == "hello"
    assert inside(engine, "far", fetch.format(gateway, 18081)) == "hello\n"
    assert inside(engine, "far", fetch.format(address(engine, "web", "one"), 80)) == ""
    busy = engine.docker("run", "--rm", "--network", "two", "-p", "18081:80", "busybox", "true")
    assert "port is already allocated" in busy.stderr
    subprocess.run(engine.in_netns("nft", "flush", "ruleset"), check=True)
    deadline = time.monotonic() + 10
    while from_host("127.0.0.1") != "hello":
        assert time.monotonic() < deadline
    assert inside(engine, "far", fetch.format(address(engine, "web", "one"), 80)) == ""


def test_an_internal_network(engine: EngineProcess) -> None:
    network(engine, "inner", "--internal")
    network(engine, "outer")
    run(engine, "aa", "--network", "inner")
    run(engine, "bb", "--network", "inner")
    run(engine, "cc", "--network", "outer")
    assert pings(engine, "aa", "bb")
    assert "default" not in inside(engine, "aa", "ip route")
    with name_server(engine) as server:
        assert inside(engine, "aa", "nslookup outside.") == ""
        # Even with a route of its own making nothing gets out.
        own = engine.docker("inspect", "aa", "-f", "{{.State.Pid}}").stdout.strip()
        bridge = json.loads(engine.docker("network", "inspect", "inner").stdout)[0]["IPAM"]["Config"][0][
            "Gateway"
        ]
        subprocess.run(
            ["nsenter", "-n", "-t", own, "ip", "route", "add", "default", "via", bridge], check=True
        )
        assert not pings(engine, "aa", address(engine, "cc", "outer"))
        assert not pings(engine, "cc", address(engine, "aa", "inner"))
        assert server.questions() == []


def test_without_icc(engine: EngineProcess) -> None:
    network(engine, "apart", "-o", "com.docker.network.bridge.enable_icc=false")
    run(engine, "aa", "--network", "apart")
    run(engine, "bb", "--network", "apart")
    assert not pings(engine, "aa", "bb")
    assert pings(engine, "aa", inside(engine, "aa", GATEWAY).strip())


class name_server:
    """A name server on the engine's host."""

    def __init__(self, engine: EngineProcess) -> None:
        self._process = subprocess.Popen(
            engine.in_netns(sys.executable, "-c", SERVER), stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None and self._process.stdout.readline() == "ready\n"
        self._questions: list[str] | None = None

    def __enter__(self) -> name_server:
        return self

    def questions(self) -> list[str]:
        """What it was asked; ends it."""
        if self._questions is None:
            self._process.kill()
            self._questions = self._process.communicate()[0].splitlines()
        return self._questions

    def __exit__(self, *_: object) -> None:
        self.questions()


def test_other_names_are_asked_of_the_host_once(engine: EngineProcess) -> None:
    network(engine, "one")
    run(engine, "aa", "--network", "one")
    with name_server(engine) as server:
        for _ in range(3):
            assert "192.0.2.9" in inside(engine, "aa", "nslookup -type=a outside.")
        assert "NXDOMAIN" in engine.docker("exec", "aa", "nslookup", "nobody.").stdout
        assert sum("outside" in line for line in server.questions()) == 1


def test_a_flood_and_garbage_hurt_nobody_else(engine: EngineProcess) -> None:
    network(engine, "one")
    run(engine, "aa", "--network", "one")
    run(engine, "bb", "--network", "one")
    pid = engine.docker("inspect", "aa", "-f", "{{.State.Pid}}").stdout.strip()
    flood = """
import os, socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(20000):
    data = os.urandom(12 + number % 60)
    if number % 2:
        data = os.urandom(2) + b"\\1\\0\\0\\1" + bytes(6) + b"\\5" + os.urandom(5) + b"\\0\\0\\1\\0\\1"
    try:
        sock.sendto(data, ("127.0.0.11", 53))
    except OSError:
        pass
"""
    sender = subprocess.Popen(["nsenter", "-n", "-t", pid, sys.executable, "-c", flood])
    try:
        for _ in range(5):
            assert pings(engine, "bb", "aa")
    finally:
        assert sender.wait(60) == 0
    assert engine.docker("version").returncode == 0


def test_dns_by_tcp_and_a_server_of_the_containers_own(engine: EngineProcess) -> None:
    network(engine, "one")
    run(engine, "aa", "--network", "one")
    # Port 53 is free for the container on all its addresses.
    listen = "nc -l -p 53 >/dev/null & sleep 0.2; kill -0 $! && kill $!"
    assert engine.docker("exec", "aa", "sh", "-c", listen).returncode == 0
    pid = engine.docker("inspect", "aa", "-f", "{{.State.Pid}}").stdout.strip()
    question = struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + dns.encode_name("aa") + struct.pack("!HH", 1, 1)
    ask = f"""
import socket, sys
with socket.create_connection(("127.0.0.11", 53), 5) as sock:
    sock.sendall({len(question).to_bytes(2, "big") + question!r})
    sys.stdout.buffer.write(sock.recv(500))
"""
    done = subprocess.run(
        ["nsenter", "-n", "-t", pid, sys.executable, "-c", ask], capture_output=True, check=True
    )
    assert done.stdout.endswith(socket.inet_aton(address(engine, "aa", "one")))


def test_several_networks_from_the_start(engine: EngineProcess) -> None:
    network(engine, "one")
    network(engine, "two", "--subnet", "10.45.0.0/24", "--ip-range", "10.45.0.128/25")
    mac = "02:11:22:33:44:55"
    second = "name=two,ip=10.45.0.7,alias=x,gw-priority=1"
    run(engine, "aa", "--network", f"name=one,mac-address={mac}", "--network", second)
    run(engine, "bb", "--network", "two")
    assert mac in inside(engine, "aa", "ip link show eth0") and "10.45.0.7/24" in inside(
        engine, "aa", "ip a show eth1"
    )
    assert "default via 10.45.0.1 dev eth1" in inside(engine, "aa", "ip route")
    assert address(engine, "bb", "two") == "10.45.0.128" and pings(engine, "bb", "x")
    joined = engine.docker("run", "--rm", "--network", "container:aa", "busybox", "ip", "a")
    assert "eth1" in joined.stdout


def test_the_default_bridge_has_no_names_and_can_be_left(engine: EngineProcess) -> None:
    network(engine, "one")
    run(engine, "aa")
    run(engine, "bb", "--network", "one")
    assert not pings(engine, "aa", "bb")
    assert engine.docker("network", "connect", "one", "aa").returncode == 0
    assert pings(engine, "aa", "bb") and pings(engine, "bb", "aa")
    assert engine.docker("network", "disconnect", "bridge", "aa").returncode == 0
    assert pings(engine, "aa", "bb") and "eth0" not in inside(engine, "aa", "ip a")
    assert engine.docker("network", "disconnect", "one", "aa").returncode == 0
    assert engine.docker("restart", "-t", "0", "aa").returncode == 0
    assert inside(engine, "aa", "ip a").count(": ") == 1 or "eth" not in inside(engine, "aa", "ip a")


def test_a_new_name_is_found_and_the_old_one_is_not(engine: EngineProcess) -> None:
    network(engine, "one")
    run(engine, "old", "--network", "one", "--network-alias", "alias")
    run(engine, "bb", "--network", "one")
    assert engine.docker("rename", "old", "new").returncode == 0
    for _ in range(2):
        assert pings(engine, "bb", "new") and pings(engine, "bb", "alias") and not pings(engine, "bb", "old")
        engine.kill()
        engine.launch()


@pytest.mark.parametrize("cli", ["docker", "sampan"])
def test_bad_input(engine: EngineProcess, cli: str) -> None:
    call = getattr(engine, cli)
    network(engine, "one", "--subnet", "10.46.0.0/24")
    run(engine, "aa", "--network", "one")
    for arguments, told in (
        (["network", "create", "one"], "network with name one already exists"),
        (["network", "create", "bridge"], "operation is not permitted on predefined bridge network"),
        (
            ["network", "create", "--subnet", "10.46.0.0/16", "x"],
            "Pool overlaps with other one",
        ),
        (["network", "create", "--subnet", "10.46.1.5/24", "x"], "it should be 10.46.1.0/24"),
        (["network", "create", "--subnet", "bad", "x"], "invalid subnet bad"),
        (
            ["network", "create", "--subnet", "10.47.0.0/24", "--gateway", "1.2.3.4", "x"],
            "no matching subnet",
        ),
        (["network", "create", "-d", "nope", "x"], "plugin"),
        (["network", "create", "-d", "macvlan", "x"], "macvlan are not supported yet"),
        (
            ["network", "create", "-o", "com.docker.network.bridge.name=one-name-too-long", "x"],
            "invalid bridge name",
        ),
        (["network", "create", "-o", f"{BRIDGE_NAME}=lo", "x"], "exists already"),
        (["network", "create", "-o", "com.docker.network.driver.mtu=5", "x"], "failed to parse"),
        (["network", "rm", "one"], "has active endpoints"),
        (["network", "rm", "bridge"], "bridge is a pre-defined network and cannot be removed"),
        (["network", "rm", "nope"], "network nope not found"),
        (["network", "inspect", "nope"], "network nope not found"),
        (["network", "connect", "nope", "aa"], "network nope not found"),
        (["network", "connect", "one", "nobody"], "No such container: nobody"),
        (["network", "connect", "one", "aa"], "endpoint with name aa already exists in network one"),
        (["network", "connect", "host", "aa"], "container cannot be disconnected from host network"),
        (["network", "connect", "none", "aa"], "in private (none) mode"),
        (["network", "disconnect", "bridge", "aa"], "is not connected to network bridge"),
        (["run", "--rm", "--network", "nope", "busybox", "true"], "network nope not found"),
        (["run", "--rm", "--ip", "10.46.0.9", "busybox", "true"], "on user defined networks only"),
        (
            ["run", "--rm", "--network", "one", "--ip", "10.99.0.9", "busybox", "true"],
            "does not belong to any",
        ),
    ):
        done = call(*arguments)
        assert done.returncode != 0 and told in done.stderr, (arguments, done.stderr)
    assert engine.docker("network", "ls", "-q", "--filter", "type=custom").stdout.count("\n") == 1
    assert engine.docker("ps", "-aq", "--filter", "status=exited").stdout == ""


@pytest.mark.parametrize("cli", ["docker", "sampan"])
def test_the_commands(engine: EngineProcess, cli: str, tmp_path: Path) -> None:
    call = getattr(engine, cli)
    options = ["--subnet", "10.49.0.0/24", "--gateway", "10.49.0.9", "--ip-range", "10.49.0.64/26"]
    options += [
        "--aux-address",
        "router=10.49.0.70",
        "--label",
        "a=b",
        "-o",
        "com.docker.network.bridge.name=sampan-t",
    ]
    made = call(
        "network", "create", *options, "--attachable", "-o", "com.docker.network.driver.mtu=1400", "full"
    )
    assert made.returncode == 0, made.stderr
    shown = json.loads(call("network", "inspect", "full").stdout)[0]
    assert shown["Id"] == made.stdout.strip() and shown["Attachable"] and shown["Labels"] == {"a": "b"}
    assert shown["IPAM"]["Config"] == [
        {
            "Subnet": "10.49.0.0/24",
            "IPRange": "10.49.0.64/26",
            "Gateway": "10.49.0.9",
            "AuxiliaryAddresses": {"router": "10.49.0.70"},
        }
    ]
    link = on_host(engine, "ip", "a", "show", "sampan-t")
    assert "mtu 1400" in link and "10.49.0.9/24" in link
    run(engine, "aa")
    assert call("network", "connect", "--ip", "10.49.0.65", "--alias", "x", "full", "aa").returncode == 0
    assert call("network", "ls", "-q", "--no-trunc", "--filter", "label=a=b").stdout == made.stdout
    assert call("network", "disconnect", "full", "aa").returncode == 0
    assert call("network", "rm", "full").stdout == "full\n"
    assert call("network", "rm", "-f", "full").returncode == 0
    network(engine, "unused")
    assert call("network", "prune", "-f").stdout == "Deleted Networks:\nunused\n\n"
    links = on_host(engine, "ip", "-br", "link")
    assert "sampan-t" not in links and "br-" not in links
