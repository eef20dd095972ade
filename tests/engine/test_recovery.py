"""A new engine on what an old one has left: nothing is lost, nothing leaks."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sampan.engine.container import Paths
from sampan.engine.database import Database
from sampan.engine.record import Status
from sampan.engine.states import Intent, State
from sampan.runtime.cgroups import open_cgroups
from tests.engine.stage import SECONDS, Stage

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

NONE: dict[str, Any] = {"NetworkMode": "none"}


def bundle(stage: Stage, identifier: str) -> Path:
    return Path(Paths.of(stage.settings, identifier).bundle)


async def test_running_containers_stay(stage: Stage) -> None:
    ports = {"80/tcp": [{"HostPort": "18081"}]}
    await stage.start(
        "aa", "for i in $(seq 1000); do echo $i; sleep 0.01; done", HostConfig={"PortBindings": ports}
    )
    before = await stage.engine.containers.inspect("aa")
    await stage.restart()
    after = await stage.engine.containers.inspect("aa")
    for key in ("State", "NetworkSettings", "Id", "LogPath"):
        assert after[key] == before[key]
    assert list((await stage.engine.networks.inspect("bridge"))["Containers"]) == [before["Id"]]
    client = await stage.attach("aa", stdin=False)
    await client.until(b"\n")
    await stage.engine.containers.stop("aa", timeout=0)
    await client.everything()
    numbers = [int(line) for line in (await stage.output("aa")).split()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert (await stage.engine.networks.inspect("bridge"))["Containers"] == {}


async def test_what_ended_meanwhile_is_known(stage: Stage) -> None:
    names = {"aa": {}, "bb": {"AutoRemove": True}}
    for name, options in names.items():
        await stage.start(name, "sleep 0.2; echo done; exit 6", HostConfig=NONE | options)
    bundles = [bundle(stage, entry["Id"]) for entry in await stage.engine.containers.list()]
    await stage.engine.close()
    await stage.until(lambda: all((path / "exit.json").exists() for path in bundles))
    await stage.restart()
    assert await stage.names() == ["aa"]
    state = await stage.state("aa")
    assert (state["Status"], state["ExitCode"]) == ("exited", 6) and await stage.output("aa") == b"done\n"
    assert await stage.wait("aa") == 6
    assert stage.residue()["bundles"] == stage.residue()["cgroups"] == []


@pytest.mark.parametrize("while_away", [False, True])
async def test_a_killed_shim_ends_its_container(stage: Stage, while_away: bool) -> None:
    identifier = await stage.start("aa", "sleep 1000", HostConfig=NONE)
    shim, pid = int((bundle(stage, identifier) / "shim.pid").read_text()), (await stage.state("aa"))["Pid"]
    if while_away:
        await stage.engine.close()
    os.kill(shim, signal.SIGKILL)
    if while_away:
        await stage.restart()
    assert await stage.wait("aa") == 137
    await stage.until(lambda: not Path(f"/proc/{pid}").exists())
    await stage.until(lambda: stage.residue()["cgroups"] == stage.residue()["bundles"] == [])
    await stage.engine.containers.start("aa")
    assert (await stage.state("aa"))["Running"]


async def test_after_a_reboot(stage: Stage) -> None:
    """The exec root and all processes are gone; the database says that they run."""
    identifier = await stage.start("aa", "sleep 1000", HostConfig=NONE)
    shim = int((bundle(stage, identifier) / "shim.pid").read_text())
    await stage.engine.close()
    os.kill(shim, signal.SIGKILL)
    cgroup = open_cgroups().cgroup(f"/{stage.settings.cgroup_parent}/{identifier}")
    cgroup.kill()
    cgroup.delete()
    await stage.restart()
    state = await stage.state("aa")
    assert (state["Status"], state["ExitCode"]) == ("exited", 255)


async def test_a_killed_zygote_is_replaced(stage: Stage) -> None:
    assert await stage.run("aa", HostConfig=NONE) == 0
    process = stage.engine._zygote._process
    assert process is not None
    process.kill()
    process.wait(SECONDS)
    assert await stage.run("bb", "exit 2", HostConfig=NONE) == 2


async def test_half_done_work_is_finished_or_undone(stage: Stage) -> None:
    made = await stage.create("made")
    removed = await stage.create("removed")
    started = await stage.create("started")
    kept = await stage.run("kept", "exit 3", HostConfig=NONE)
    assert kept == 3
    await stage.engine.close()
    database = Database(stage.settings.database)
    database.set_intent(made, Intent.CREATE)
    database.set_intent(removed, Intent.REMOVE)
    row = next(row for row in database.load() if row.record.id == started)
    database.save_status(started, row.status, Intent.START)
    database.close()
    (bundle(stage, started)).mkdir()
    (bundle(stage, started) / "config.json").write_text("{}")
    for stray in (bundle(stage, "e" * 64), Path(stage.settings.containers_root) / ("f" * 64)):
        stray.mkdir()
    open_cgroups().cgroup(f"/{stage.settings.cgroup_parent}/{'d' * 64}").create()

    await stage.restart()
    assert sorted(await stage.names()) == ["kept", "started"]
    assert (await stage.state("started"))["Status"] == "created"
    assert (await stage.state("kept"))["ExitCode"] == 3
    residue = stage.residue()
    assert residue["bundles"] == residue["cgroups"] == []
    assert len(residue["containers"]) == len(residue["layers"]) == 2
    await stage.engine.containers.start("started")


async def test_a_start_that_was_going_on_is_adopted(stage: Stage) -> None:
    """The old engine died between the shim's answer and the database."""
    identifier = await stage.start("aa", "sleep 1000")
    running = await stage.engine.containers.inspect("aa")
    await stage.engine.close()
    database = Database(stage.settings.database)
    row = database.load()[0]
    assert row.status.endpoints
    database.save_status(identifier, Status(endpoints=row.status.endpoints), Intent.START)
    database.close()
    await stage.restart()
    again = await stage.engine.containers.inspect("aa")
    assert again["State"] == running["State"] and again["NetworkSettings"] == running["NetworkSettings"]


async def test_the_engine_keeps_its_identity(stage: Stage) -> None:
    first = (await stage.engine.system.info())["ID"]
    bridge = (await stage.engine.networks.inspect("bridge"))["Id"]
    await stage.restart()
    assert (await stage.engine.system.info())["ID"] == first
    assert (await stage.engine.networks.inspect("bridge"))["Id"] == bridge


async def test_many_stopped_containers_do_not_slow_the_start(stage: Stage) -> None:
    """The work for each of them at start is one row."""
    await stage.create("aa")
    await stage.engine.close()
    database = Database(stage.settings.database)
    record = database.load()[0].record
    for number in range(500):
        identifier = f"{number:064x}"
        copy = msgspec.structs.replace(record, id=identifier, name=f"n{number}", created=number)
        database.insert(copy, Status(state=State.EXITED), Intent.NONE)
    database.close()
    async with asyncio.timeout(SECONDS):
        await stage.restart()
    assert len(await stage.names()) == 501
    for number in range(500):
        stage.engine._services.database.delete(f"{number:064x}")  # type: ignore[union-attr]
    await stage.restart()
