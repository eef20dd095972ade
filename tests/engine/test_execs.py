"""Execs with a real engine."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import msgspec
import pytest

from sampan import errors
from sampan.engine.schema import ExecCreate, ExecStart
from sampan.wire.attach import Demultiplexer
from tests.engine.stage import SECONDS, Client, Stage

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

NONE: dict[str, Any] = {"NetworkMode": "none"}


async def create(stage: Stage, name: str, command: str | list[str], **fields: Any) -> str:
    words = ["sh", "-c", command] if isinstance(command, str) else command
    chosen = {"Cmd": words, "AttachStdout": True, "AttachStderr": True} | fields
    body = msgspec.convert(chosen, ExecCreate)
    return str((await stage.engine.execs.create(name, body))["Id"])


async def run(
    stage: Stage, name: str, command: str | list[str], **fields: Any
) -> tuple[dict[int, bytes], int]:
    """Output by stream, and the exit code, asked for at once as the CLI does."""
    identifier = await create(stage, name, command, **fields)
    client = Client()
    await stage.engine.execs.start(identifier, ExecStart(), client)
    output: dict[int, bytes] = {}
    for stream, data in Demultiplexer().feed(await client.everything()):
        output[stream] = output.get(stream, b"") + data
    return output, (await stage.engine.execs.inspect(identifier))["ExitCode"]


@pytest.fixture
async def running(stage: Stage) -> Stage:
    await stage.start("aa", ["sleep", "1000"], Env=["FROM=run"], WorkingDir="/tmp", HostConfig=NONE)
    return stage


async def test_output_and_exit_code(running: Stage) -> None:
    for code in (0, 5):
        output, exit_code = await run(running, "aa", f"echo out; echo err >&2; exit {code}")
        assert output == {1: b"out\n", 2: b"err\n"} and exit_code == code
    assert await run(running, "aa", "kill -9 $$") == ({}, 137)


async def test_it_is_like_the_containers_own_process(running: Stage) -> None:
    output, _ = await run(
        running, "aa", "pwd; echo $FROM; grep CapEff /proc/self/status; cat /proc/1/cmdline | tr '\\0' ' '"
    )
    assert output[1].decode().splitlines() == ["/tmp", "run", "CapEff:\t00000000a80425fb", "sleep 1000 "]
    output, _ = await run(
        running, "aa", "pwd; id -u; echo $FROM", User="1000", WorkingDir="/etc", Env=["FROM=exec"]
    )
    assert output[1] == b"/etc\n1000\nexec\n"


async def test_input(running: Stage) -> None:
    identifier = await create(running, "aa", ["cat"], AttachStdin=True)
    client = Client(early=b"early ")
    await running.engine.execs.start(identifier, ExecStart(), client)
    client.send(b"late")
    client.socket.shutdown(1)
    assert b"".join(data for _, data in Demultiplexer().feed(await client.everything())) == b"early late"
    assert (await running.engine.execs.inspect(identifier))["ExitCode"] == 0


async def test_what_cannot_run_is_told_in_the_stream(running: Stage) -> None:
    output, code = await run(running, "aa", ["nope"])
    assert output == {
        1: b'OCI runtime exec failed: exec failed: unable to start container process: exec: "nope": '
        b"executable file not found in $PATH: unknown\r\n"
    }
    assert code == 126
    output, code = await run(running, "aa", ["pwd"], WorkingDir="/missing")
    assert b"chdir to cwd" in output[1] and code == 126
    identifier = await create(running, "aa", ["nope"])
    with pytest.raises(errors.StartFailed, match="OCI runtime exec failed"):
        await running.engine.execs.start(identifier, ExecStart(detach=True), None)


async def test_detached(running: Stage) -> None:
    identifier = await create(running, "aa", "sleep 0.1; exit 4", AttachStdout=False, AttachStderr=False)
    await running.engine.execs.start(identifier, ExecStart(detach=True), None)
    document = await running.engine.execs.inspect(identifier)
    assert document["Running"] and document["ExitCode"] is None and document["Pid"] > 0
    assert (await running.engine.containers.inspect("aa"))["ExecIDs"] == [identifier]
    async with asyncio.timeout(SECONDS):
        while (document := await running.engine.execs.inspect(identifier))["Running"]:  # noqa: ASYNC110 - it ends by itself
            await asyncio.sleep(0.01)
    assert document["ExitCode"] == 4
    assert (await running.engine.containers.inspect("aa"))["ExecIDs"] is None


async def test_a_terminal_and_its_size(running: Stage) -> None:
    identifier = await create(
        running, "aa", "stty size; read x; stty size", Tty=True, AttachStdin=True, ConsoleSize=[30, 90]
    )
    client = Client()
    await running.engine.execs.start(identifier, ExecStart(), client)
    assert b"30 90\r\n" in await client.until(b"90\r\n")
    await running.engine.execs.resize(identifier, 20, 70)
    client.send(b"\n")
    assert b"20 70\r\n" in await client.everything()


async def test_refusals(running: Stage) -> None:
    execs = running.engine.execs
    with pytest.raises(errors.InvalidArgument, match="No exec command specified"):
        await execs.create("aa", ExecCreate())
    with pytest.raises(errors.NotFound, match="No such exec instance: zzz"):
        await execs.start("zzz", ExecStart(), None)
    identifier = await create(running, "aa", "exit 0")
    await execs.start(identifier, ExecStart(detach=True), None)
    with pytest.raises(
        errors.Conflict, match=f"Error: Exec command {identifier} (is already running|has already run)"
    ):
        await execs.start(identifier, ExecStart(detach=True), None)
    await running.engine.containers.pause("aa")
    with pytest.raises(errors.Conflict, match="Container aa is paused, unpause the container before exec"):
        await create(running, "aa", "true")
    await running.engine.containers.unpause("aa")
    pending = await create(running, "aa", "true")
    await running.engine.containers.stop("aa", timeout=0)
    for refused in (create(running, "aa", "true"), execs.start(pending, ExecStart(), None)):
        with pytest.raises(errors.Conflict, match="is not running"):
            await refused


async def test_they_end_with_the_container(running: Stage) -> None:
    identifier = await create(running, "aa", "sleep 1000")
    client = Client()
    await running.engine.execs.start(identifier, ExecStart(), client)
    await running.engine.containers.kill("aa")
    await client.everything()
    assert (await running.engine.execs.inspect(identifier))["ExitCode"] == 137
