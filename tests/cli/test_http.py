"""The edges of the protocol, against a fake engine: bodies, versions, errors, connections that end."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest

from tests.cli.fake_engine import CLI, FakeEngine, answer, refusal

CONTAINER = {
    "Id": "c" * 64,
    "Names": ["/web"],
    "Image": "busybox",
    "Command": "sh",
    "Created": 0,
    "Status": "Up",
}
TOO_NEW = "client version 1.51 is too new. Maximum supported API version is 1.41"


def chunked(*pieces: bytes, headers: str = "") -> bytes:
    body = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces)
    return f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{headers}\r\n".encode() + body + b"0\r\n\r\n"


def test_a_list_in_chunks(fake_engine: FakeEngine) -> None:
    data = json.dumps([CONTAINER]).encode()
    fake_engine.answers["GET /containers/json"] = chunked(data[:10], data[10:])
    assert fake_engine.run("ps", "--format", "{{.Names}}").stdout == b"web\n"


def test_a_body_until_the_end(fake_engine: FakeEngine) -> None:
    body = json.dumps([CONTAINER]).encode()
    fake_engine.answers["GET /containers/json"] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body
    assert fake_engine.run("ps", "-q").stdout == b"cccccccccccc\n"


def test_an_answer_that_breaks_off(fake_engine: FakeEngine) -> None:
    fake_engine.answers["GET /containers/json"] = (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\n["
    )
    done = fake_engine.run("ps")
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"unexpected EOF\n")


def test_no_answer_at_all(fake_engine: FakeEngine) -> None:
    fake_engine.answers["GET /containers/json"] = b"Connection: close\r\n\r\n"
    assert fake_engine.run("ps").returncode == 1


def test_an_older_engine_gets_its_own_version(fake_engine: FakeEngine) -> None:
    """The first request says what we speak; only a refusal makes us ask and repeat."""
    fake_engine.answers["GET /containers/json"] = [refusal(TOO_NEW, "400 Bad Request"), answer([CONTAINER])]
    assert fake_engine.run("ps", "-q").stdout == b"cccccccccccc\n"
    assert [request.target for request in fake_engine.requests] == [
        "/v1.51/containers/json",
        "/v1.41/containers/json",
    ]
    assert fake_engine.connections == 1


def test_a_stream_is_negotiated_first(fake_engine: FakeEngine, tmp_path: Path) -> None:
    (tmp_path / "tar").write_bytes(b"x" * 1_000_000)
    fake_engine.answers["POST /images/load"] = answer({"stream": "Loaded image: x\n"})
    done = fake_engine.run("load", "-i", str(tmp_path / "tar"))
    assert done.stdout == b"Loaded image: x\n"
    assert [request.target for request in fake_engine.requests] == ["/_ping", "/v1.50/images/load?quiet=1"]
    assert fake_engine.requests[1].body == b"x" * 1_000_000


@pytest.mark.parametrize(
    ("answer_bytes", "message"),
    [
        (
            refusal("No such container: x", "404 Not Found"),
            "Error response from daemon: No such container: x",
        ),
        (b"HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\noops\n", "Error response from daemon: oops"),
        (
            b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n",
            "Error response from daemon: request returned Unavailable for API route and version v1.51, "
            "check if the server supports the requested API version",
        ),
    ],
)
def test_error_answers(fake_engine: FakeEngine, answer_bytes: bytes, message: str) -> None:
    fake_engine.answers["POST /containers/x/stop"] = answer_bytes
    done = fake_engine.run("stop", "x")
    assert (done.returncode, done.stderr.decode()) == (1, message + "\n")


def test_no_engine() -> None:
    import subprocess

    done = subprocess.run([*CLI, "-H", "unix:///nonexistent/x.sock", "ps"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "Cannot connect to the Sampan daemon at unix:///nonexistent/x.sock. Is the sampan daemon running?\n"
    )


def test_the_host_of_the_environment(fake_engine: FakeEngine) -> None:
    import subprocess

    done = subprocess.run([*CLI, "ps", "-q"], env={"SAMPAN_HOST": fake_engine.host}, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"")
    assert fake_engine.requests[0].target == "/v1.51/containers/json"


def test_one_connection_for_several_requests(fake_engine: FakeEngine) -> None:
    fake_engine.answers["POST /containers/"] = b"HTTP/1.1 204 No Content\r\n\r\n"
    assert fake_engine.run("start", "a", "b", "c").stdout == b"a\nb\nc\n"
    assert fake_engine.connections == 1


def test_several_at_once(fake_engine: FakeEngine) -> None:
    """Results come in the order of the arguments, the errors together behind them."""
    fake_engine.answers["POST /containers/"] = b"HTTP/1.1 204 No Content\r\n\r\n"
    fake_engine.answers["POST /containers/b/stop"] = refusal("no b", "404 Not Found")
    done = fake_engine.run("stop", *(f"n{number}" for number in range(60)), "b", "z")
    assert done.stdout.decode().split() == [*(f"n{number}" for number in range(60)), "z"]
    assert (done.returncode, done.stderr) == (1, b"Error response from daemon: no b\n")


def test_names_are_quoted_in_paths(fake_engine: FakeEngine) -> None:
    fake_engine.run("start", "a b?c#d%é")
    assert fake_engine.requests[0].target == "/v1.51/containers/a%20b%3Fc%23d%25%C3%A9/start"


def test_output_that_nobody_reads_ends_the_program(fake_engine: FakeEngine) -> None:
    import signal
    import subprocess

    fake_engine.answers["GET /containers/json"] = answer([CONTAINER] * 20000)
    process = subprocess.Popen([*CLI, "-H", fake_engine.host, "ps"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(30) == -signal.SIGPIPE


def test_run_ends_with_the_exit_code(fake_engine: FakeEngine) -> None:
    """Bytes behind the head of the upgrade, in both frames, are not lost."""
    identifier = "c" * 64
    frames = b"\x01\0\0\0\0\0\0\x03out\x02\0\0\0\0\0\0\x03err\x01\0\0\0\0\0\0\x04more"
    head = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\r\n"
    fake_engine.answers[f"POST /containers/{identifier}/attach"] = head + frames
    fake_engine.answers[f"POST /containers/{identifier}/wait"] = answer({"StatusCode": 42})
    done = fake_engine.run("run", "busybox")
    assert (done.returncode, done.stdout, done.stderr) == (42, b"outmore", b"err")
    order = [request.target.rpartition("/")[2].partition("?")[0] for request in fake_engine.requests]
    assert order == ["create", "_ping", "attach", "wait", "start"]


def test_a_stream_that_is_none(fake_engine: FakeEngine) -> None:
    head = b"HTTP/1.1 101 UPGRADED\r\n\r\n"
    fake_engine.answers[f"POST /containers/{'c' * 64}/attach"] = head + b"not a frame"
    done = fake_engine.run("run", "busybox")
    assert done.returncode == 1
    assert done.stderr.startswith(b"unrecognized input header")


def test_run_pulls_a_missing_image_once(fake_engine: FakeEngine) -> None:
    fake_engine.answers["POST /containers/create"] = refusal("No such image: nosuch:latest", "404 Not Found")
    fake_engine.answers["POST /images/create"] = refusal(
        "sampan cannot pull images yet", "501 Not Implemented"
    )
    done = fake_engine.run("run", "nosuch")
    assert done.returncode == 125
    assert done.stderr.decode() == (
        "Unable to find image 'nosuch:latest' locally\n"
        "sampan: Error response from daemon: sampan cannot pull images yet\n\n"
        "Run 'sampan run --help' for more information\n"
    )
    assert fake_engine.requests[1].target == "/v1.51/images/create?fromImage=nosuch&tag=latest"


def test_start_errors_become_exit_codes(fake_engine: FakeEngine) -> None:
    path = f"POST /containers/{'c' * 64}/start"
    for text, status in (
        ('exec: "x": executable file not found in $PATH', 127),
        ("exec: /etc: permission denied", 126),
        ("exec: /etc: is a directory", 126),
        ("something else", 125),
    ):
        fake_engine.answers[path] = refusal(text, "400 Bad Request")
        assert fake_engine.run("run", "busybox").returncode == status
        assert fake_engine.run("run", "-d", "busybox").returncode == status


def test_events_arrive_one_by_one(tmp_path: Path) -> None:
    """An event is printed when it comes, though the answer goes on; a character may come in two parts."""
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory(prefix="sampan-cli-") as folder:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{folder}/s")
        listener.listen()
        event = json.dumps(
            {"Type": "container", "Action": "é", "Actor": {"ID": "x"}}, ensure_ascii=False
        ).encode()
        first, second = event[: event.index(b"\xc3") + 1], event[event.index(b"\xc3") + 1 :]
        go_on = threading.Event()

        def serve() -> None:
            client, _ = listener.accept()
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in (first, second + b"\n" + event[:5], event[5:]):
                client.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            go_on.wait(20)
            client.close()

        thread = threading.Thread(target=serve)
        thread.start()
        process = subprocess.Popen(
            [*CLI, "-H", f"unix://{folder}/s", "events"], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "container é x\n"
        assert process.stdout.readline() == "container é x\n"
        go_on.set()
        thread.join()
        assert process.wait(20) == 1
        process.stdout.close()
        listener.close()
