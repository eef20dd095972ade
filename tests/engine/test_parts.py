"""The engine's small parts: states, names, registry, actor, threads, database, and parsers."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sampan import errors
from sampan.engine import detachkeys, devices, host, logpolicy, names, processes, signals
from sampan.engine.actor import Actor, Tasks
from sampan.engine.blocking import Threads
from sampan.engine.container import Container
from sampan.engine.database import Database
from sampan.engine.record import Record, Status
from sampan.engine.registry import Registry
from sampan.engine.schema import DeviceMapping, LogConfig
from sampan.engine.states import MOVES, Intent, State, check_move
from tests.engine.bodies import config, host_config

# --- states -------------------------------------------------------------------------------------------------


def test_every_state_has_its_moves_and_can_end() -> None:
    assert set(MOVES) == set(State)
    reachable, frontier = set(), {State.CREATED}
    while frontier:
        reachable |= frontier
        frontier = {after for state in frontier for after in MOVES[state]} - reachable
    assert reachable == set(State)


def test_an_illegal_move_names_both_states() -> None:
    check_move("abc", State.CREATED, State.RUNNING)
    with pytest.raises(errors.Conflict, match="container abc is created: it cannot become paused"):
        check_move("abc", State.CREATED, State.PAUSED)


# --- names and registry -------------------------------------------------------------------------------------


def container(identifier: str, name: str, created: int = 1) -> Container:
    record = Record(
        id=identifier,
        name=name,
        created=created,
        image="sha256:i",
        config=config(),
        host_config=host_config(),
    )
    return Container(record, Status(), Actor(Tasks(), identifier))


@pytest.mark.parametrize("name", ["ab", "a.b-c_d", "0x", "/web"])
def test_good_names(name: str) -> None:
    assert names.check(name) == name.removeprefix("/")


@pytest.mark.parametrize("name", ["", "a", "/", "bad name", "-ab", "a/b", "ünï", "ab\n"])
def test_bad_names(name: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="Invalid container name"):
        names.check(name)


def test_generated_names_are_valid_and_free() -> None:
    taken: set[str] = set()
    for _ in range(300):
        name = names.generate(taken)
        assert name not in taken and names.check(name) == name
        taken.add(name)


async def test_references() -> None:
    registry = Registry()
    for identifier, name in (("aa" * 32, "web"), ("ab" * 32, "aa"), ("b" * 64, "db")):
        registry.reserve(name, identifier)
        registry.add(container(identifier, name))
    assert registry.resolve("web").id == registry.resolve("/web").id == "aa" * 32
    assert registry.resolve("aa").name == "aa", "a name goes before a prefix"
    assert registry.resolve("aaa").name == "web" and registry.resolve("b").name == "db"
    with pytest.raises(errors.InvalidArgument, match="Multiple IDs found with provided prefix: a"):
        registry.resolve("a")
    for missing in ("c", "", "webb", "aa" * 32 + "a"):
        with pytest.raises(errors.NotFound, match=f"No such container: {missing}$"):
            registry.resolve(missing)


def test_a_name_belongs_to_one() -> None:
    registry = Registry()
    registry.reserve("web", "1" * 64)
    registry.reserve("web", "1" * 64)
    with pytest.raises(errors.Conflict) as caught:
        registry.reserve("/web", "2" * 64)
    assert caught.value.message == (
        f'Conflict. The container name "/web" is already in use by container "{"1" * 64}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )
    registry.release("web", "2" * 64)
    registry.release("web", "1" * 64)
    registry.reserve("web", "2" * 64)


# --- actor and threads --------------------------------------------------------------------------------------


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks()
    yield tasks
    await tasks.close(0)


async def test_commands_run_in_turn(tasks: Tasks) -> None:
    actor, seen = Actor(tasks, "x"), []

    async def command(number: int) -> int:
        seen.append(("begin", number))
        await asyncio.sleep(0)
        seen.append(("end", number))
        return number

    results = await asyncio.gather(*(actor.run(lambda number=number: command(number)) for number in range(3)))  # type: ignore[misc]
    assert results == [0, 1, 2]
    assert seen == [(what, number) for number in range(3) for what in ("begin", "end")]


async def test_an_error_is_the_callers_and_the_next_command_runs(tasks: Tasks) -> None:
    actor = Actor(tasks, "x")

    async def fail() -> None:
        raise errors.Conflict("no")

    async def succeed() -> str:
        return "yes"

    failing = actor.post(fail)
    assert await actor.run(succeed) == "yes"
    with pytest.raises(errors.Conflict):
        await failing


async def test_a_client_that_leaves_does_not_stop_the_command(tasks: Tasks) -> None:
    actor, gate, done = Actor(tasks, "x"), asyncio.Event(), asyncio.Event()

    async def command() -> None:
        await gate.wait()
        done.set()

    client = asyncio.create_task(actor.run(command))
    await asyncio.sleep(0)
    client.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client
    gate.set()
    async with asyncio.timeout(5):
        await done.wait()
        await actor.idle()


async def test_the_end_cancels_what_waits(tasks: Tasks) -> None:
    actor = Actor(tasks, "x")
    first = actor.post(asyncio.Event().wait)
    second = actor.post(asyncio.Event().wait)
    await asyncio.sleep(0)
    await tasks.close(0)
    assert first.cancelled() and second.cancelled()


async def test_a_call_that_comes_too_late_is_given_up_and_freed() -> None:
    threads, gate, freed = Threads(), threading.Event(), threading.Event()
    freed_results = []

    def slow() -> str:
        gate.wait(10)
        return "late"

    def free(result: str) -> None:
        freed_results.append(result)
        freed.set()

    try:
        with pytest.raises(errors.Unavailable, match="did not end within"):
            await threads.run_within(0.01, slow, free)
        gate.set()
        assert await threads.run(freed.wait, 10)
        assert freed_results == ["late"]
        with pytest.raises(TimeoutError, match="of its own"):
            await threads.run(_time_out)
    finally:
        gate.set()
        threads.close()


def _time_out() -> None:
    raise TimeoutError("of its own")


# --- database -----------------------------------------------------------------------------------------------


def test_rows_survive(tmp_path: Path) -> None:
    path = str(tmp_path / "db")
    database = Database(path)
    old, new = container("1" * 64, "one", 5).record, container("2" * 64, "two", 3).record
    database.insert(old, Status(), Intent.CREATE)
    database.insert(new, Status(), Intent.NONE)
    database.save_status(old.id, Status(state=State.RUNNING, pid=7, endpoints={"n": {"a": 1}}), Intent.START)
    identifier = database.fact("id", "first")
    database.close()

    again = Database(path)
    first, second = again.load()
    assert (first.record, first.intent) == (new, Intent.NONE)
    assert second.record == old and second.intent is Intent.START
    assert second.status == Status(state=State.RUNNING, pid=7, endpoints={"n": {"a": 1}})
    assert again.fact("id", "second") == identifier == "first"
    again.delete(old.id)
    assert [row.record.id for row in again.load()] == [new.id]
    again.close()


def test_a_database_from_before_there_were_several_networks(tmp_path: Path) -> None:
    """What runs on the default bridge is still there after an upgrade."""
    path = str(tmp_path / "db")
    database = Database(path)
    for number in "12":
        database.insert(container(number * 64, number, 5).record, Status(), Intent.NONE)
    database.close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE engine_networks")
        connection.execute("UPDATE schema_versions SET version = 1 WHERE component = 'engine'")
        for number, endpoint in ("1", {"id": "x", "ports": [[80, "tcp", "::", 8080]]}), ("2", None):
            old = json.dumps({"state": "running", "pid": 7, "endpoint": endpoint}).encode()
            connection.execute("UPDATE engine_containers SET status = ? WHERE id = ?", (old, number * 64))
    connection.close()
    database = Database(path)
    found = {row.record.name: row.status.endpoints for row in database.load()}
    assert found == {"1": {"bridge": {"id": "x", "ports": [[80, "tcp", "::", 8080]]}}, "2": {}}
    assert database.networks() == []
    database.close()


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "db"))
    database._connection.execute("UPDATE schema_versions SET version = 99 WHERE component = 'engine'")
    database.close()
    with pytest.raises(errors.SampanError, match="newer version"):
        Database(str(tmp_path / "db"))


# --- small parsers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"), [("9", 9), ("KILL", 9), ("SIGKILL", 9), ("sigterm", 15), ("RTMIN+1", 35), ("64", 64)]
)
def test_signals(text: str, number: int) -> None:
    assert signals.parse(text) == number


@pytest.mark.parametrize("text", ["NOSUCH", "0", "65", "", "SIG", "-9", "9 ", "SIG_DFL"])
def test_wrong_signals(text: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=f"^Invalid signal: {text}$"):
        signals.parse(text)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", (16, 17)),
        ("ctrl-p,ctrl-q", (16, 17)),
        ("ctrl-@,a,ctrl-[,DEL", (0, 97, 27, 127)),
        ("ctrl-\\,ctrl-_", (28, 31)),
    ],
)
def test_detach_keys(text: str, keys: tuple[int, ...]) -> None:
    assert detachkeys.parse(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "shift-a", "ab", ",", "é"])
def test_wrong_detach_keys(text: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="Invalid detach keys"):
        detachkeys.parse(text)


def test_log_options() -> None:
    def read(options: dict[str, str], kind: str = "json-file") -> tuple[int | None, int] | None:
        policy = logpolicy.policy(LogConfig(type=kind, config=options), {}, "/log")
        return None if policy is None else (policy.max_size, policy.max_file)

    assert read({}) == (10_000_000, 5), "a log is rotated unless it is said otherwise"
    assert read({"max-size": "1.5k", "max-file": "2"}) == (1500, 2)
    assert read({"max-size": "10MiB"}) == (10_000_000, 1)
    assert read({"max-size": "-1"}) == (None, 1)
    assert read({}, "none") is None
    for options, message in (
        ({"max-size": "a"}, "invalid size: 'a'"),
        ({"max-size": "0"}, "max-size must be a positive number"),
        ({"max-file": "0"}, "max-file cannot be less than 1"),
        ({"max-file": "x"}, 'strconv.Atoi: parsing "x": invalid syntax'),
    ):
        with pytest.raises(errors.InvalidArgument) as caught:
            read(options)
        assert caught.value.message == f"failed to initialize logging driver: {message}"


PS = """\
UID          PID    PPID  C STIME TTY          TIME CMD
root           1       0  0 04:00 ?        00:00:01 /sbin/init splash
root          77       1  0 04:00 ?        00:00:00 sh -c a  b
nobody       777       1  0 04:00 ?        00:00:00 [x] <defunct>
"""


def test_ps_output() -> None:
    found = processes.parse(PS, {77, 777})
    assert found["Titles"] == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert found["Processes"] == [
        ["root", "77", "1", "0", "04:00", "?", "00:00:00", "sh -c a b"],
        ["nobody", "777", "1", "0", "04:00", "?", "00:00:00", "[x] <defunct>"],
    ]
    with pytest.raises(errors.SampanError, match="Couldn't find PID field in ps output"):
        processes.parse("COMMAND\nsh\n", {1})
    with pytest.raises(errors.InvalidArgument, match='specifying "ppid=PID" is not allowed'):
        processes.top("-o ppid=PID", {1})


def test_device_rules() -> None:
    assert devices.parse_rule("c 1:3 rw") == {
        "allow": True,
        "type": "c",
        "access": "rw",
        "major": 1,
        "minor": 3,
    }
    assert devices.parse_rule("a *:* rwm") == {"allow": True, "type": "a", "access": "rwm"}
    for text in ("c 1:3", "x 1:3 r", "c 1 r", "c 1:3 rx", "c -1:3 r", "c 1:3 ", "", "c 1:3  r"):
        with pytest.raises(errors.InvalidArgument, match="invalid device cgroup rule format"):
            devices.parse_rule(text)


def test_devices_of_the_host() -> None:
    mapping = DeviceMapping(path_on_host="/dev/null", path_in_container="/dev/mine", cgroup_permissions="r")
    nodes, rules = devices.add_all([mapping])
    assert (nodes[0]["path"], nodes[0]["type"], nodes[0]["major"], nodes[0]["minor"]) == (
        "/dev/mine",
        "c",
        1,
        3,
    )
    assert rules == [{"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"}]
    with pytest.raises(errors.InvalidArgument) as caught:
        devices.add_all([DeviceMapping(path_on_host="/dev/nosuchdevice")])
    assert caught.value.message == (
        'error gathering device information while adding custom device "/dev/nosuchdevice": '
        "no such file or directory"
    )
    with pytest.raises(errors.InvalidArgument, match="not a device node"):
        devices.add_all([DeviceMapping(path_on_host="/etc/passwd")])


def test_cpu_lists() -> None:
    assert host.numbers("0-3,7") == {0, 1, 2, 3, 7} and host.numbers("") == set()
    for text in ("a", "1-", "3-1", "0-99999999"):
        with pytest.raises(errors.InvalidArgument):
            host.numbers(text)
