"""The life of containers with a real engine, and what is left of them."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from sampan import errors
from sampan.engine.streams import AttachOptions
from sampan.wire.attach import Demultiplexer
from tests.engine.stage import SECONDS, Client, Stage

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

NONE: dict[str, Any] = {"NetworkMode": "none"}


def streams(data: bytes) -> dict[int, bytes]:
    parts: dict[int, bytes] = {}
    for stream, piece in Demultiplexer().feed(data):
        parts[stream] = parts.get(stream, b"") + piece
    return parts


async def test_a_container_runs_and_leaves_nothing(stage: Stage) -> None:
    before = stage.residue()
    assert await stage.run("aa", "echo out; echo err >&2; exit 7", HostConfig={"AutoRemove": False}) == 7
    assert await stage.output("aa") == b"out\n"
    assert await stage.output("aa", stdout=False, stderr=True) == b"err\n"
    state = await stage.state("aa")
    assert (state["Status"], state["ExitCode"], state["Pid"]) == ("exited", 7, 0)
    assert state["StartedAt"] < state["FinishedAt"]
    await stage.engine.containers.remove("aa", force=False, volumes=False, link=False)
    assert stage.residue() == before
    with pytest.raises(errors.NotFound):
        await stage.engine.containers.inspect("aa")


async def test_as_docker_run_rm_does(stage: Stage) -> None:
    """Attach, then wait for the removal, then start: the order of the CLI."""
    before = stage.residue()
    await stage.create(
        "aa",
        "cat; echo done >&2",
        OpenStdin=True,
        StdinOnce=True,
        AttachStdin=True,
        HostConfig={"AutoRemove": True},
    )
    client = await stage.attach("aa", early=b"early ")
    removed = await stage.engine.containers.wait("aa", "removed")
    await stage.engine.containers.start("aa")
    client.send(b"late")
    client.socket.shutdown(1)
    assert streams(await client.everything()) == {1: b"early late", 2: b"done\n"}
    async with asyncio.timeout(SECONDS):
        assert await removed == {"StatusCode": 0}
    assert await stage.names() == [] and stage.residue() == before


@pytest.mark.parametrize(
    ("command", "code"), [(["nope"], 127), (["/etc"], 126), (["/etc/passwd"], 126), (["/bin/nope"], 127)]
)
async def test_a_start_that_fails(stage: Stage, command: list[str], code: int) -> None:
    identifier = await stage.create("aa", command)
    before = stage.residue()
    waiting = await stage.engine.containers.wait("aa", "next-exit")
    with pytest.raises(errors.StartFailed) as caught:
        await stage.engine.containers.start("aa")
    assert caught.value.exit_code == code
    assert caught.value.message.startswith(
        "failed to create shim task: OCI runtime create failed: runc create failed: "
        "unable to start container process"
    )
    state = await stage.state("aa")
    assert (state["Status"], state["ExitCode"], state["Error"]) == ("created", code, caught.value.message)
    assert waiting.result()["StatusCode"] == code
    assert stage.residue() == before | {"containers": [identifier]}
    assert (await stage.engine.networks.inspect("bridge"))["Containers"] == {}


async def test_a_failed_start_with_auto_remove_removes(stage: Stage) -> None:
    before = stage.residue()
    await stage.create("aa", ["nope"], HostConfig={"AutoRemove": True})
    removed = await stage.engine.containers.wait("aa", "removed")
    with pytest.raises(errors.StartFailed):
        await stage.engine.containers.start("aa")
    assert removed.done() and stage.residue() == before


async def test_wrong_users_are_found_by_the_runtime(stage: Stage) -> None:
    await stage.create("aa", User="bob")
    with pytest.raises(
        errors.StartFailed, match="unable to find user bob: no matching entries in passwd file"
    ):
        await stage.engine.containers.start("aa")


async def test_states_and_their_refusals(stage: Stage) -> None:
    containers = stage.engine.containers
    identifier = await stage.create("aa", "sleep 1000", HostConfig=NONE)
    with pytest.raises(errors.Conflict, match=f"Container {identifier} is not running"):
        await containers.pause("aa")
    with pytest.raises(errors.NotModified):
        await containers.stop("aa")
    with pytest.raises(
        errors.Conflict, match=f"Cannot kill container: aa: Container {identifier} is not running"
    ):
        await containers.kill("aa")
    await containers.start("aa")
    with pytest.raises(errors.NotModified):
        await containers.start("aa")
    with pytest.raises(errors.Conflict, match=f"You cannot remove a running container {identifier}"):
        await containers.remove("aa", force=False, volumes=False, link=False)
    await containers.pause("aa")
    assert (await stage.state("aa"))["Paused"] is True
    client = Client()
    for refused, message in (
        (containers.pause("aa"), f"Container {identifier} is already paused"),
        (containers.start("aa"), "cannot start a paused container, try unpause instead"),
        (
            containers.remove("aa", force=False, volumes=False, link=False),
            f"You cannot remove a paused container {identifier}",
        ),
        (containers.attach("aa", AttachOptions(stream=True), client), "container aa is paused"),
    ):
        with pytest.raises(errors.Conflict, match=message):
            await refused
    client.close()
    await containers.unpause("aa")
    with pytest.raises(errors.Conflict, match=f"Container {identifier} is not paused"):
        await containers.unpause("aa")
    with pytest.raises(errors.InvalidArgument, match="Invalid signal: NOSUCH"):
        await containers.kill("aa", "NOSUCH")
    await containers.kill("aa")
    assert (await stage.state("aa"))["ExitCode"] == 137
    with pytest.raises(errors.InvalidArgument, match="invalid condition"):
        await containers.wait("aa", "nonsense")


async def test_stop_asks_first(stage: Stage) -> None:
    await stage.start("aa", "trap 'echo got; exit 3' USR1; while :; do sleep 0.05; done", StopSignal="USR1")
    await stage.engine.containers.stop("aa", timeout=20)
    assert (await stage.state("aa"))["ExitCode"] == 3 and await stage.output("aa") == b"got\n"
    await stage.engine.containers.start("aa")
    await stage.engine.containers.stop("aa", signal="KILL", timeout=20)
    assert (await stage.state("aa"))["ExitCode"] == 137


async def test_stop_of_a_deaf_or_paused_container(stage: Stage) -> None:
    await stage.start("aa", ["sleep", "1000"], HostConfig=NONE)  # as pid 1 it does not take SIGTERM
    await stage.engine.containers.pause("aa")
    await stage.engine.containers.stop("aa", timeout=0)
    state = await stage.state("aa")
    assert (state["Status"], state["ExitCode"]) == ("exited", 137)


async def test_restart_keeps_a_container_with_auto_remove(stage: Stage) -> None:
    identifier = await stage.start("aa", HostConfig={"AutoRemove": True})
    first = (await stage.state("aa"))["Pid"]
    await stage.engine.containers.restart("aa", timeout=0)
    state = await stage.state("aa")
    assert state["Running"] and state["Pid"] != first
    await stage.engine.containers.stop("aa", timeout=0)
    assert await stage.names() == [] and identifier not in stage.residue()["containers"]


async def test_the_log_goes_on_over_restarts(stage: Stage) -> None:
    await stage.run("aa", "echo ran; exit 3")
    for _ in range(2):
        ended = await stage.engine.containers.wait("aa", "next-exit")
        await stage.engine.containers.start("aa")
        assert (await ended)["StatusCode"] == 3
    assert await stage.output("aa") == b"ran\n" * 3
    assert await stage.output("aa", tail=1) == b"ran\n"


async def test_following_a_log_ends_with_the_container(stage: Stage) -> None:
    await stage.start("aa", "for i in 1 2 3; do echo $i; sleep 0.1; done", HostConfig=NONE)
    async with asyncio.timeout(SECONDS):
        assert await stage.output("aa", follow=True) == b"1\n2\n3\n"


async def test_force_removes_whatever_it_does(stage: Stage) -> None:
    before = stage.residue()
    for name, pause in (("aa", False), ("bb", True)):
        await stage.start(name)
        if pause:
            await stage.engine.containers.pause(name)
        await stage.engine.containers.remove(name, force=True, volumes=False, link=False)
    assert stage.residue() == before


async def test_commands_at_the_same_moment(stage: Stage) -> None:
    """Whatever comes first: one start works, and a removal by force wins."""
    before = stage.residue()
    await stage.create("aa", "sleep 1000", HostConfig=NONE)
    starts = [stage.engine.containers.start("aa") for _ in range(3)]
    results = await asyncio.gather(*starts, return_exceptions=True)
    assert [type(result) for result in results].count(errors.NotModified) == 2 and None in results
    removals = [
        stage.engine.containers.remove("aa", force=True, volumes=False, link=False),
        stage.engine.containers.stop("aa", timeout=0),
        stage.engine.containers.remove("aa", force=True, volumes=False, link=False),
    ]
    await asyncio.gather(*removals, return_exceptions=True)
    assert await stage.names() == [] and stage.residue() == before


async def test_twenty_at_once(stage: Stage) -> None:
    async with asyncio.timeout(SECONDS * 2):
        codes = await asyncio.gather(*(stage.run(f"c{number}", f"exit {number}") for number in range(20)))
    assert codes == list(range(20))


async def test_names(stage: Stage) -> None:
    identifier = await stage.create("aa")
    with pytest.raises(errors.Conflict, match=r'^Conflict\. The container name "/aa" is already in use'):
        await stage.create("aa")
    with pytest.raises(errors.InvalidArgument, match="Invalid container name"):
        await stage.create("bad name")
    with pytest.raises(errors.InvalidArgument, match="same name as its current name"):
        await stage.engine.containers.rename("aa", "aa")
    await stage.create("bb")
    with pytest.raises(errors.Conflict, match="Error when allocating new name: Conflict"):
        await stage.engine.containers.rename("aa", "bb")
    await stage.engine.containers.rename("aa", "cc")
    assert (await stage.engine.containers.inspect(identifier[:12]))["Name"] == "/cc"
    await stage.create("aa")
    await stage.restart()
    assert sorted(await stage.names()) == ["aa", "bb", "cc"]


async def test_a_failed_create_leaves_nothing(stage: Stage) -> None:
    before = stage.residue()
    for fields in (
        {"Image": "nosuch"},
        {"HostConfig": {"PortBindings": {"80x/tcp": [{}]}}},
        {"HostConfig": {"ExtraHosts": ["nonsense"]}},
    ):
        with pytest.raises(errors.SampanError):
            await stage.create("aa", **fields)
    assert stage.residue() == before
    await stage.create("aa")


async def test_without_a_log(stage: Stage) -> None:
    await stage.run("aa", "echo x", HostConfig={"LogConfig": {"Type": "none"}})
    with pytest.raises(errors.NotImplementedYet, match="configured logging driver does not support reading"):
        await stage.output("aa")


async def test_top(stage: Stage) -> None:
    await stage.start("aa", ["sleep", "1000"])
    found = await stage.engine.containers.top("aa", "-o pid,args")
    assert found["Titles"] == ["PID", "COMMAND"]
    assert [process[1] for process in found["Processes"]] == ["sleep 1000"]


async def test_sizes_and_lists(stage: Stage) -> None:
    identifier = await stage.start("aa", "head -c 5000 /dev/zero > /file; sleep 1000", HostConfig=NONE)

    async def size() -> int:
        return int((await stage.engine.containers.inspect("aa", size=True))["SizeRw"])

    async with asyncio.timeout(SECONDS):
        while await size() < 5000:  # noqa: ASYNC110 - what is waited for is the container's doing
            await asyncio.sleep(0.02)
    entry = (await stage.engine.containers.list(size=True))[0]
    assert entry["Id"] == identifier and entry["Image"] == "busybox" and entry["SizeRw"] >= 5000
    assert entry["SizeRootFs"] > entry["SizeRw"] and entry["Status"].startswith("Up ")
    ancestors = await stage.engine.containers.list(filters={"ancestor": ["busybox"]})
    assert [found["Id"] for found in ancestors] == [identifier]
    assert await stage.engine.containers.list(filters={"ancestor": ["nosuch"]}) == []
    usage = await stage.engine.system.disk_usage()
    assert usage["Containers"][0]["Id"] == identifier and usage["Images"][0]["Containers"] == 1
    info = await stage.engine.system.info()
    assert (info["Containers"], info["ContainersRunning"], info["Images"]) == (1, 1, 1)


async def test_an_image_in_use_and_one_that_moved_on(stage: Stage) -> None:
    identifier = await stage.start("aa", HostConfig=NONE)
    with pytest.raises(errors.Conflict):
        await stage.engine.images.remove("busybox")
    image = (await stage.engine.containers.inspect(identifier))["Image"]
    await stage.engine.images.tag("busybox", "other")
    await stage.engine.images.remove("busybox", force=False)
    entry = (await stage.engine.containers.list())[0]
    assert entry["Image"] == image == entry["ImageID"]


async def test_an_event_for_each_step(stage: Stage) -> None:
    events = stage.engine.events.subscribe(None, None, {"type": ["container"]})
    await stage.run("aa", "exit 3", Labels={"a": "b"}, HostConfig=NONE)
    await stage.engine.containers.remove("aa", force=False, volumes=False, link=False)
    async with asyncio.timeout(SECONDS):
        found = [await anext(events) for _ in range(4)]
    assert [event["Action"] for event in found] == ["create", "start", "die", "destroy"]
    assert found[2]["Actor"]["Attributes"] == {"a": "b", "exitCode": "3", "image": "busybox", "name": "aa"}


async def test_prune(stage: Stage) -> None:
    await stage.run("aa", "echo x > /file")
    kept = await stage.start("bb", HostConfig=NONE)
    pruned = await stage.engine.containers.prune({})
    assert len(pruned["ContainersDeleted"]) == 1 and pruned["SpaceReclaimed"] > 0
    assert [entry["Id"] for entry in await stage.engine.containers.list(all=True)] == [kept]


async def test_files_of_the_host(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").write_text("outside\n")
    binds = [f"{tmp_path}/in:/b:ro", f"{tmp_path}/made/by/engine:/m"]
    command = "cat /b/file; touch /b/x 2> /dev/null || echo read-only; touch /m/f; cat /etc/hostname; "
    command += "df -k /t | tail -1"
    assert (
        await stage.run(
            "aa", command, Hostname="box", HostConfig={"Binds": binds, "Tmpfs": {"/t": "size=1m"}}
        )
        == 0
    )
    lines = (await stage.output("aa")).decode().splitlines()
    assert lines[:3] == ["outside", "read-only", "box"] and " 1024 " in lines[3]
    assert (tmp_path / "made/by/engine/f").exists()


async def test_the_network_of_another_container(stage: Stage) -> None:
    owner = await stage.start("aa", "httpd -f -p 80 -h /etc", Hostname="box")
    joined = {"NetworkMode": "container:aa", "AutoRemove": False}
    assert await stage.run("bb", "hostname; wget -q -O - http://127.0.0.1/hostname", HostConfig=joined) == 0
    assert await stage.output("bb") == b"box\nbox\n"
    document = await stage.engine.containers.inspect("bb")
    assert document["HostConfig"]["NetworkMode"] == f"container:{owner}"
    assert document["NetworkSettings"]["Networks"] == {}
    await stage.engine.containers.stop("aa", timeout=0)
    with pytest.raises(errors.Conflict, match=f"cannot join network of a non running container: {owner}"):
        await stage.engine.containers.start("bb")


async def test_missing_peers_and_networks_fail_the_start(stage: Stage) -> None:
    for mode, message in (("container:gone", "No such container: gone"), ("gone", "network gone not found")):
        identifier = await stage.create("", HostConfig={"NetworkMode": mode, "AutoRemove": True})
        removed = await stage.engine.containers.wait(identifier, "removed")
        with pytest.raises(errors.NotFound, match=f"{message}"):
            await stage.engine.containers.start(identifier)
        assert removed.done()


async def test_published_ports(stage: Stage) -> None:
    ports = {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18080"}]}
    await stage.start(
        "aa", "httpd -f -p 80 -h /etc", ExposedPorts={"80/tcp": {}}, HostConfig={"PortBindings": ports}
    )
    settings = (await stage.engine.containers.inspect("aa"))["NetworkSettings"]
    assert settings["Ports"] == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18080"}]}
    await stage.create("bb", HostConfig={"PortBindings": ports})
    with pytest.raises(errors.SampanError, match="port is already allocated"):
        await stage.engine.containers.start("bb")
    await stage.engine.containers.stop("aa", timeout=0)
    await stage.engine.containers.start("bb")


async def test_pause_is_seen_and_survives(stage: Stage) -> None:
    await stage.start("aa", HostConfig=NONE)
    await stage.engine.containers.pause("aa")
    await stage.restart()
    assert (await stage.state("aa"))["Status"] == "paused"
    await stage.engine.containers.unpause("aa")
    assert (await stage.state("aa"))["Status"] == "running"


async def test_a_terminal(stage: Stage) -> None:
    await stage.create(
        "aa",
        "test -t 0 && read x; stty size; echo got $x",
        Tty=True,
        OpenStdin=True,
        HostConfig=NONE | {"ConsoleSize": [40, 100]},
    )
    client = await stage.attach("aa")
    assert client.tty is True
    await stage.engine.containers.start("aa")
    client.send(b"word\n")
    output = await client.everything()
    assert b"40 100\r\n" in output and b"got word\r\n" in output


async def test_the_daemon_s_signals_do_not_reach_containers(stage: Stage) -> None:
    pid = (await stage.start("aa", HostConfig=NONE)) and (await stage.state("aa"))["Pid"]
    assert os.getsid(pid) != os.getsid(0)
    os.kill(pid, signal.SIGKILL)
    assert await stage.wait("aa") == 137


async def test_a_chain_of_joined_networks_shares_the_first_ones_files(stage: Stage) -> None:
    owner = await stage.start("aa", ["sleep", "1000"], Hostname="box")
    await stage.start("bb", ["sleep", "1000"], HostConfig={"NetworkMode": "container:aa"})
    assert (
        await stage.run("cc", "hostname; grep -c box /etc/hosts", HostConfig={"NetworkMode": "container:bb"})
        == 0
    )
    assert await stage.output("cc") == b"box\n1\n"
    assert owner in (await stage.engine.containers.inspect("cc"))["HostsPath"]


async def test_attach_between_an_end_and_the_next_start(stage: Stage) -> None:
    """As `docker start -a` right after `docker wait`"""
    await stage.create("aa", "echo out", HostConfig=NONE)
    for _ in range(5):
        client = await stage.attach("aa")
        ended = await stage.engine.containers.wait("aa", "next-exit")
        await stage.engine.containers.start("aa")
        await ended
        assert streams(await client.everything()) == {1: b"out\n"}
