"""Plays: a real container under a real shim, from a real zygote, with the test as engine and as clients."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sampan.shim import packets, protocol
from tests.runtime.agent import Agent
from tests.shim.stage import (
    SECONDS,
    Client,
    Shim,
    Stage,
    children,
    is_alive,
    private_memory,
    process,
    process_file,
    wait_for,
    wait_until,
)

pytestmark = pytest.mark.root

STDIN = {"stdin_open": True, "stdin_once": True}
TTY = {"terminal": True, "stdin_open": True, "stdin_once": True}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as stage:
        yield stage
    assert stage.cgroups() == []
    assert not [shim.directory for shim in stage.shims if shim.complaint()]


# --- a life ---


def test_a_short_life(stage: Stage) -> None:
    shim = stage.spawn("echo out; echo err >&2; exit 3")
    client = shim.attach(multiplex=True)
    assert shim.state().phase is protocol.Phase.NEW
    pid = shim.start()
    assert pid > 0
    exited = shim.expect(protocol.Exited)
    assert (exited.exit_code, exited.oom_killed) == (3, False)
    assert json.loads((shim.directory / "exit.json").read_text()) == protocol.document_of(exited)
    assert client.everything_framed() == {1: b"out\n", 2: b"err\n"}
    shim.expect(protocol.Released)
    assert wait_for(shim.connection) is None
    assert (shim.logged("stdout"), shim.logged("stderr")) == (b"out\n", b"err\n")
    shim.gone()


def test_killed_by_a_signal(stage: Stage) -> None:
    shim = stage.spawn("exec sleep 1000")
    shim.start()
    assert shim.state().phase is protocol.Phase.RUNNING
    shim.do(protocol.Kill(0, signal.SIGKILL))
    assert shim.expect(protocol.Exited).exit_code == 137
    shim.gone()


@pytest.mark.parametrize(
    ("arguments", "exit_code"), [(["/nothing"], 127), (["/tmp"], 126), (["/proc/version"], 126)]
)
def test_what_cannot_be_executed(stage: Stage, arguments: list[str], exit_code: int) -> None:
    shim = stage.spawn(arguments)
    client = shim.attach()
    failure = shim.ask(protocol.Start(0))
    assert isinstance(failure, protocol.Failure) and failure.exit_code == exit_code, failure
    assert client.everything() == b""
    shim.gone()
    assert not (shim.directory / "exit.json").exists()


def test_a_container_that_is_never_started_ends_with_its_controller(stage: Stage) -> None:
    shim = stage.spawn()
    client = shim.attach()
    shim.connection.close()
    assert client.everything() == b""
    shim.gone()


def test_requests_in_the_wrong_phase(stage: Stage) -> None:
    shim = stage.spawn("exec sleep 1000")
    for request in (protocol.Kill(0, 9), protocol.Resize(0, 1, 1)):
        assert isinstance(shim.ask(request), protocol.Failure)
    with process_file({}) as file:
        assert isinstance(shim.ask(protocol.Exec(0, "e1"), [file.fileno()]), protocol.Failure)
    shim.start()
    assert isinstance(shim.ask(protocol.Start(0)), protocol.Failure)
    assert isinstance(shim.ask(protocol.Kill(0, 9, "unknown")), protocol.Failure)
    assert isinstance(shim.ask(protocol.Kill(0, 200)), protocol.Failure)
    reader, writer = os.pipe()
    assert isinstance(shim.ask(protocol.Attach(0, "no socket"), [writer]), protocol.Failure)
    os.close(writer)
    assert os.read(reader, 1) == b"", "the shim did not close it"
    os.close(reader)


# --- output ---


def test_twenty_megabytes_are_complete_in_log_and_clients(stage: Stage) -> None:
    shim = stage.spawn("for i in $(seq 120); do seq -s ' ' $i 30000; seq 100; done; seq 100000; echo end >&2")
    clients = [shim.attach(str(number), multiplex=True) for number in range(2)]
    shim.start()
    with ThreadPoolExecutor() as threads:
        outputs = list(threads.map(Client.everything_framed, clients))
    assert shim.expect(protocol.Exited).exit_code == 0
    numbers = [b"%d" % number for number in range(100_001)]
    hundred = b"".join(b"%b\n" % number for number in numbers[1:101])
    expected = b"".join(b" ".join(numbers[i:30001]) + b"\n" + hundred for i in range(1, 121))
    expected += b"".join(b"%b\n" % number for number in numbers[1:])
    assert len(expected) > 20_000_000
    assert shim.logged() == expected
    assert outputs == [{1: expected, 2: b"end\n"}] * 2
    shim.gone()


def test_log_rotation(stage: Stage) -> None:
    shim = stage.spawn("seq 1 20000")
    shim.start(log=protocol.LogPolicy(str(shim.log), 100_000, 3))
    shim.expect(protocol.Exited)
    shim.expect(protocol.Released)
    files = sorted(path.name for path in shim.directory.glob("json.log*"))
    assert files == ["json.log", "json.log.1", "json.log.2"]
    text = b"".join((shim.directory / name).read_bytes() for name in reversed(files))
    numbers = [int(json.loads(line)["log"]) for line in text.splitlines()]
    assert numbers == list(range(numbers[0], 20001))


def test_an_unfinished_line_is_logged_at_the_end(stage: Stage) -> None:
    shim = stage.spawn("echo -n a; echo -n b")
    shim.start()
    shim.expect(protocol.Exited)
    assert b'{"log":"ab","stream":"stdout","time":"' in shim.log.read_bytes()


def test_a_slow_client_gets_all_after_the_end(stage: Stage) -> None:
    shim = stage.spawn("seq 1 40000")
    client = shim.attach()
    shim.start()
    assert shim.expect(protocol.Exited).exit_code == 0
    shim.expect(protocol.Released)
    assert client.everything() == b"".join(b"%d\n" % number for number in range(1, 40001))
    shim.gone()


def test_clients_that_disappear_do_not_disturb(stage: Stage) -> None:
    shim = stage.spawn("seq 1 500000")
    stays = shim.attach()
    shim.attach().close()
    shim.start()
    shim.attach().close()
    goes = shim.attach()
    goes.socket.recv(10)
    goes.close()
    assert len(stays.everything()) == len("".join(f"{number}\n" for number in range(1, 500001)))
    assert shim.expect(protocol.Exited).exit_code == 0
    shim.gone()


# --- network and limits ---


def test_a_network_plan_is_done(stage: Stage) -> None:
    stage.ip("link", "add", "br0", "type", "bridge")
    stage.ip("address", "add", "10.9.0.1/24", "dev", "br0")
    stage.ip("link", "set", "br0", "up")
    shim = stage.spawn("ip address show eth0; ip route; cat /proc/sys/net/ipv4/ip_forward; exec sleep 1000")
    client = shim.attach()
    shim.start(
        network={
            "mode": "bridge",
            "host_interface": "veth0123456",
            "bridge": "br0",
            "container_interface": "eth0",
            "mac": "02:42:0a:09:00:02",
            "mtu": 1400,
            "addresses": ["10.9.0.2/24"],
            "gateways": ["10.9.0.1"],
            "sysctls": {"net.ipv4.ip_forward": "1"},
        }
    )
    told = client.until(b"\n1\n").decode()
    for expected in ("mtu 1400", "02:42:0a:09:00:02", "10.9.0.2/24", "default via 10.9.0.1 dev eth0"):
        assert expected in told
    assert "master br0" in stage.ip("link", "show", "veth0123456")
    shim.do(protocol.Kill(0, signal.SIGKILL))
    shim.expect(protocol.Released)
    wait_until(lambda: "veth" not in stage.ip("link"))


def test_a_network_that_cannot_be_made_fails_the_start(stage: Stage) -> None:
    shim = stage.spawn()
    plan = {"mode": "bridge", "host_interface": "veth0123456", "bridge": "nobridge"}
    failure = shim.ask(protocol.Start(0, network=plan))
    assert isinstance(failure, protocol.Failure)
    assert "nobridge" in failure.message
    shim.gone()


def test_loopback_only(stage: Stage) -> None:
    shim = stage.spawn("ip address show lo")
    shim.start(network={"mode": "loopback"})
    shim.expect(protocol.Exited)
    assert b"127.0.0.1/8" in shim.logged()


def test_the_oom_killer_is_reported(stage: Stage) -> None:
    shim = stage.spawn("exec tail /dev/zero", resources={"memory": {"limit": 16 << 20}})
    shim.start()
    exited = shim.expect(protocol.Exited)
    assert (exited.exit_code, exited.oom_killed) == (137, True)
    shim.gone()


def test_without_a_pid_namespace_the_rest_ends_with_the_init(stage: Stage) -> None:
    kinds = ("mount", "ipc", "uts", "network")
    shim = stage.spawn("sleep 1000 & echo $!; read x; exit 3", namespaces=[{"type": kind} for kind in kinds])
    client = shim.attach(stdin=True)
    shim.start(**STDIN)
    background = int(client.until(b"\n"))
    assert is_alive(background)
    execution = shim.attach(exec="e1")
    shim.exec("e1", "(sleep 1000 &); echo done")
    assert execution.everything() == b"done\n"
    assert shim.expect(protocol.ExecExited).exit_code == 0
    client.send(b"\n")
    assert shim.expect(protocol.Exited).exit_code == 3
    shim.expect(protocol.Released)
    assert not is_alive(background)
    shim.gone()


# --- input ---


def test_stdin_to_the_end_of_file(stage: Stage) -> None:
    shim = stage.spawn("cat")
    client = shim.attach(stdin=True, early=b"early ")
    shim.start(**STDIN)
    data = os.urandom(1_000_000)
    with ThreadPoolExecutor() as threads:
        output = threads.submit(client.everything)
        client.send(data)
        client.half_close()
        assert output.result() == b"early " + data
    assert shim.expect(protocol.Exited).exit_code == 0


def test_no_stdin_is_dev_null(stage: Stage) -> None:
    shim = stage.spawn("cat; echo end")
    shim.start()
    assert shim.expect(protocol.Exited).exit_code == 0
    assert shim.logged() == b"end\n"


def test_stdin_stays_open_for_the_next_client(stage: Stage) -> None:
    shim = stage.spawn("cat")
    first = shim.attach(stdin=True)
    shim.start(stdin_open=True)
    first.send(b"one\n")
    assert first.until(b"\n") == b"one\n"
    first.half_close()
    assert first.everything() == b""
    second = shim.attach(stdin=True)
    second.send(b"two\n")
    assert second.until(b"\n") == b"two\n"


# --- terminal ---


def test_terminal_size_detach_and_attach_again(stage: Stage) -> None:
    shim = stage.spawn("stty size; read x; stty size; read y; echo got $y; exit 5", terminal=True)
    client = shim.attach("tty", stdin=True, detach_keys=(16, 17))
    shim.start(**TTY, console_size=(33, 99))
    assert client.until(b"\n") == b"33 99\r\n"
    shim.do(protocol.Resize(0, 44, 111))
    client.send(b"go\n")
    client.until(b"44 111\r\n")
    client.send(b"\x10\x11")
    assert shim.expect(protocol.Detached) == protocol.Detached("tty", None)
    assert client.everything() == b""
    again = shim.attach(stdin=True)
    again.send(b"it\n")
    assert again.everything().endswith(b"got it\r\n")
    assert shim.expect(protocol.Exited).exit_code == 5
    assert shim.logged().endswith(b"got it\r\n")


# --- exec ---


def test_execs(stage: Stage) -> None:
    shim = stage.spawn("exec sleep 1000")
    shim.start()
    client = shim.attach(exec="e1", multiplex=True)
    pid = shim.exec("e1", "echo out; echo err >&2; exit 7")
    assert pid > 0
    assert client.everything_framed() == {1: b"out\n", 2: b"err\n"}
    assert shim.expect(protocol.ExecExited) == protocol.ExecExited("e1", 7)
    assert shim.state().execs == {}
    shim.exec("e2", "kill -TERM $$", detach=True)
    assert shim.expect(protocol.ExecExited) == protocol.ExecExited("e2", 143)
    client = shim.attach(exec="e3", stdin=True)
    shim.exec("e3", "cat", stdin_open=True)
    client.send(b"to and fro")
    client.half_close()
    assert client.everything() == b"to and fro"
    assert shim.expect(protocol.ExecExited).exit_code == 0
    assert shim.logged() == b"", "output of an exec is not in the log"


def test_a_seccomp_agent_is_asked_about_the_container_and_its_execs(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    seccomp = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": str(path),
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
    }
    first = Agent(path)
    first.start()
    shim = stage.spawn("mkdir /tmp/x || sleep 1000", seccomp=seccomp)
    init = shim.start()
    path.unlink()
    second = Agent(path)
    second.start()
    client = shim.attach(exec="e", multiplex=True)
    shim.exec("e", "mkdir /tmp/x")
    assert shim.expect(protocol.ExecExited).exit_code == 1
    assert b"Directory not empty" in client.everything_framed()[2]
    second.wait()
    shim.do(protocol.Kill(0, signal.SIGKILL))
    shim.expect(protocol.Exited)
    shim.gone()
    first.wait()
    assert (first.told["state"]["status"], first.told["pid"]) == ("creating", init)
    assert (second.told["state"]["status"], second.told["state"]["pid"]) == ("running", init)
    assert second.told["state"]["id"] == shim.directory.name


def test_exec_with_a_terminal(stage: Stage) -> None:
    shim = stage.spawn("exec sleep 1000")
    shim.start()
    client = shim.attach("me", exec="e1", stdin=True, detach_keys=(1,))
    shim.exec(
        "e1",
        "stty size; read x; stty size; read y; exit 9",
        terminal=True,
        stdin_open=True,
        console_size=(5, 6),
    )
    assert client.until(b"\n") == b"5 6\r\n"
    shim.do(protocol.Resize(0, 7, 8, "e1"))
    client.send(b"\n")
    client.until(b"7 8\r\n")
    client.send(b"\x01")
    assert shim.expect(protocol.Detached) == protocol.Detached("me", "e1")
    again = shim.attach(exec="e1", stdin=True)
    again.send(b"\n")
    assert shim.expect(protocol.ExecExited).exit_code == 9


def test_an_exec_that_cannot_be_executed(stage: Stage) -> None:
    shim = stage.spawn("exec sleep 1000")
    shim.start()
    client = shim.attach(exec="e1")
    with process_file({"args": ["/nothing"], "cwd": "/", "user": {"uid": 0, "gid": 0}}) as file:
        failure = shim.ask(protocol.Exec(0, "e1"), [file.fileno()])
    assert isinstance(failure, protocol.Failure) and failure.exit_code == 127, failure
    assert client.everything() == b""
    assert shim.state().execs == {}


def test_an_exec_leaves_a_process_behind(stage: Stage) -> None:
    shim = stage.spawn("exec sleep 1000")
    shim.start()
    client = shim.attach(exec="e1")
    shim.exec("e1", "sleep 1000 & echo started")
    assert client.everything() == b"started\n"
    assert shim.expect(protocol.ExecExited).exit_code == 0


def test_execs_end_with_the_container(stage: Stage) -> None:
    shim = stage.spawn("exec sleep 1000")
    shim.start()
    for number in range(3):
        shim.exec(f"e{number}", "echo $$; exec sleep 1000")
    shim.do(protocol.Kill(0, signal.SIGKILL))
    assert {shim.expect(protocol.ExecExited).exit_code for _ in range(3)} == {137}
    assert shim.expect(protocol.Exited).exit_code == 137
    shim.gone()


# --- clerks that stay ---


def staying_clerks(shim: Shim, init: int) -> list[int]:
    return [pid for pid in children(shim.pid) if pid != init]


def test_a_clerk_stays_for_more_execs(stage: Stage) -> None:
    shim = stage.spawn("cat; exec sleep 1000")
    attached = shim.attach(stdin=True)
    init = shim.start(**STDIN)
    for number in range(3):
        client = shim.attach(exec=f"e{number}", multiplex=True)
        shim.exec(f"e{number}", f"echo {number}; exit {number}")
        assert client.everything_framed() == {1: b"%d\n" % number}
        assert shim.expect(protocol.ExecExited) == protocol.ExecExited(f"e{number}", number)
        wait_until(lambda: len(staying_clerks(shim, init)) == 1)
        if number == 0:
            first = staying_clerks(shim, init)
        assert staying_clerks(shim, init) == first
    attached.half_close()
    wait_until(lambda: Path(f"/proc/{init}/comm").read_text() == "sleep\n")
    shim.do(protocol.Kill(0, signal.SIGKILL))
    shim.gone()
    assert not is_alive(first[0])


def test_an_exec_is_started_once(stage: Stage) -> None:
    shim = stage.spawn("exec sleep 1000")
    shim.start()
    shim.exec("e0", "true")
    shim.exec("e1", "exec sleep 1000")
    with process_file(process(["true"])) as file:
        failure = shim.ask(protocol.Exec(0, "e1"), [file.fileno()])
    assert isinstance(failure, protocol.Failure) and "started already" in failure.message


def test_a_clerk_is_killed_while_it_waits(stage: Stage) -> None:
    shim = stage.spawn("exec sleep 1000")
    init = shim.start()
    shim.exec("e1", "true")
    assert shim.expect(protocol.ExecExited).exit_code == 0
    wait_until(lambda: len(staying_clerks(shim, init)) == 1)
    os.kill(staying_clerks(shim, init)[0], signal.SIGKILL)
    shim.exec("e2", "exit 3")
    assert shim.expect(protocol.ExecExited).exit_code == 3


# --- sudden death ---


def test_the_controller_dies_and_comes_back(stage: Stage) -> None:
    shim = stage.spawn("echo one; cat; exit 4")
    client = shim.attach(stdin=True)
    shim.start(**STDIN)
    client.until(b"one\n")
    pid = shim.exec("e1", "sleep 0.1; exit 6")
    shim.connection.close()
    wait_until(lambda: pid not in children(shim.pid))
    shim.reconnect()
    assert shim.state().phase is protocol.Phase.RUNNING
    assert shim.expect(protocol.ExecExited) == protocol.ExecExited("e1", 6)
    client.send(b"two\n")
    client.half_close()
    assert client.everything() == b"two\n"
    assert shim.expect(protocol.Exited).exit_code == 4
    assert shim.logged() == b"one\ntwo\n"


def test_an_exec_that_nobody_starts_any_more(stage: Stage) -> None:
    """The controller died between `attach` and `exec`: its client must not wait for ever."""
    shim = stage.spawn("exec sleep 1000")
    shim.start()
    waiting, container = shim.attach(exec="e1"), shim.attach()
    shim.reconnect()
    assert waiting.everything() == b""
    shim.do(protocol.Kill(0, signal.SIGKILL))
    assert container.everything() == b""


def test_the_container_ends_while_nobody_is_there(stage: Stage) -> None:
    shim = stage.spawn("sleep 0.2; echo end; exit 4")
    shim.start()
    shim.connection.close()
    shim.gone()
    assert json.loads((shim.directory / "exit.json").read_text())["exit_code"] == 4
    assert shim.logged() == b"end\n"


def test_a_shim_outlives_its_zygote(stage: Stage) -> None:
    shim = stage.spawn("cat")
    client = shim.attach(stdin=True)
    shim.start(**STDIN)
    stage.process.kill()
    stage.process.wait(SECONDS)
    stage.zygote.close()
    stage.start_zygote()
    other = stage.spawn("echo new")
    other.start()
    assert other.expect(protocol.Exited).exit_code == 0
    client.send(b"alive")
    client.half_close()
    assert client.everything() == b"alive"
    assert shim.expect(protocol.Exited).exit_code == 0
    shim.gone()


def test_a_controller_that_does_not_read_is_cut_off(stage: Stage) -> None:
    shim = stage.spawn("exec sleep 1000")
    shim.start()

    def is_cut_off() -> bool:
        try:
            shim.connection.send([protocol.State(1)])
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):
            return True
        return False

    wait_until(is_cut_off, pause=0)
    shim.reconnect()
    assert shim.state().phase is protocol.Phase.RUNNING


def test_nonsense_costs_the_connection_only(stage: Stage) -> None:
    shim = stage.spawn("exec sleep 1000")
    shim.start()
    for nonsense in (b"{}", b"\xff", b"[]"):
        packets.send(shim.connection._socket, nonsense)
        shim.connection._socket.setblocking(True)
        assert shim.connection._socket.recv(10) == b""
        shim.reconnect()
    packets.send(shim.connection._socket, b'{"seq":5,"op":"dance"}')
    answer = protocol.decode_response(receive(shim))
    assert answer == protocol.Failure(5, "unknown operation dance")


def receive(shim: Shim) -> bytes:
    shim.connection._socket.setblocking(True)
    return shim.connection._socket.recv(1 << 16)


def test_an_old_socket_is_no_obstacle(stage: Stage) -> None:
    shim = stage.spawn("exec sleep 1000")
    pid = shim.start()
    os.kill(shim.pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(shim.pid))
    os.kill(pid, signal.SIGKILL)
    # The clerk that started the container may still be on its way out, and has the socket until then.
    wait_until(lambda: not shim.is_listening())
    again = stage.spawn_again(shim)
    again.start()
    again.do(protocol.Kill(0, signal.SIGKILL))
    again.expect(protocol.Released)
    again.gone()


# --- a hard life ---


def test_an_init_that_forks_heavily(stage: Stage) -> None:
    shim = stage.spawn("for i in $(seq 1 300); do (sleep 0.$((i % 7)) & ) ; done; echo done; exit 8")
    shim.start()
    assert shim.expect(protocol.Exited).exit_code == 8
    assert shim.logged() == b"done\n"
    shim.gone()


def test_orphans_are_not_the_shims(stage: Stage) -> None:
    shim = stage.spawn("for i in 1 2 3; do (sleep 1000 &) ; done; exec sleep 1000")
    shim.start()
    wait_until(lambda: len(children(shim.pid)) == 1)
    assert (shim.directory / "shim.pid").read_text() == f"{shim.pid}\n"


def test_a_shim_is_small(stage: Stage) -> None:
    shim = stage.spawn("exec sleep 1000")
    shim.start()
    for number in range(5):
        client = shim.attach(exec=f"e{number}")
        shim.exec(f"e{number}", "seq 1 10000")
        client.everything()
        shim.expect(protocol.ExecExited)
    # 1.5 MB before the first exec, 2.0 MB after it; 4.5 MB if the shim did all by itself.
    assert private_memory(shim.pid) < 3 << 20
