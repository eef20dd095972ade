"""A stage for plays with a real shim: real zygote, busybox container; the test is controller and client.

with Stage(folder) as stage:
    shim = stage.spawn(command="echo hello")
    client = shim.attach()
    shim.start()
    assert client.everything() == b"hello\\n"
    assert shim.expect(protocol.Exited).exit_code == 0
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeVar

import sampan.shim.zygote_main
from sampan import records
from sampan.shim import protocol, spawning
from sampan.shim.client import ShimConnection, ZygoteConnection
from sampan.wire.attach import Demultiplexer
from sampan.wire.jsonlog import decode

BUSYBOX = "/bin/busybox"
SECONDS = 20.0
ZYGOTE = sampan.shim.zygote_main.__file__

_T = TypeVar("_T")

MOUNTS: list[dict[str, Any]] = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["newinstance", "ptmxmode=0666"],
    },
]


class Stage:
    """One zygote and the shims that were spawned from it; everything ends and goes with the stage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cgroup = f"/sampan-shim-{secrets.token_hex(4)}"
        self.shims: list[Shim] = []
        self.rootfs = folder / "rootfs"
        for name in ("bin", "proc", "dev", "sys", "tmp"):
            (self.rootfs / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(BUSYBOX, self.rootfs / "bin/busybox")
        for name in (
            "sh",
            "cat",
            "echo",
            "sleep",
            "seq",
            "kill",
            "stty",
            "head",
            "dd",
            "true",
            "tr",
            "yes",
            "ps",
            "ip",
            "tail",
        ):
            (self.rootfs / "bin" / name).symlink_to("busybox")
        self.start_zygote()

    def start_zygote(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                ["unshare", "--net", sys.executable, "-I", "-S", ZYGOTE, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self.zygote = ZygoteConnection(ours)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for shim in self.shims:
            shim.close()
        self.zygote.close()
        self.process.wait(SECONDS)
        tops = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]
        for parent in [top / self.cgroup[1:] for top in tops]:
            if parent.is_dir():
                parent.rmdir()

    def spawn(self, command: str | list[str] = "true", *, terminal: bool = False, **changes: Any) -> Shim:
        """A shim for a container that runs `command`; `changes` go into `linux` of config.json."""
        directory = self.folder / secrets.token_hex(16)
        directory.mkdir(mode=0o700)
        arguments = ["sh", "-c", command] if isinstance(command, str) else command
        config: dict[str, Any] = {
            "ociVersion": "1.3.0",
            "root": {"path": str(self.rootfs)},
            "process": process(arguments, terminal=terminal),
            "mounts": MOUNTS,
            "linux": {
                "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")],
                "cgroupsPath": f"{self.cgroup}/{directory.name}",
            },
        }
        config["linux"] |= changes
        (directory / "config.json").write_text(json.dumps(config))
        return self._spawn(directory)

    def spawn_again(self, old: Shim) -> Shim:
        """Another shim for the same container."""
        return self._spawn(old.directory)

    def _spawn(self, directory: Path) -> Shim:
        connection = self.zygote.spawn(directory.name, str(directory))
        answer = wait_for(self.zygote)
        assert isinstance(answer, spawning.Spawned)
        shim = Shim(directory, connection, answer.pid)
        self.shims.append(shim)
        return shim

    def ip(self, *arguments: str) -> str:
        """`ip` in the network namespace that is the host's to this stage."""
        namespace = f"/proc/{self.process.pid}/ns/net"
        deadline = time.monotonic() + SECONDS
        # Until `unshare` has done it, this is the real host's.
        while os.stat(namespace).st_ino == os.stat("/proc/self/ns/net").st_ino:
            assert time.monotonic() < deadline, "no network namespace"
            time.sleep(0.001)
        command = ["nsenter", f"--net={namespace}", "ip", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def cgroups(self) -> list[str]:
        """The cgroups below this stage's own."""
        found = subprocess.run(
            ["find", "/sys/fs/cgroup", "-path", f"*{self.cgroup}/*", "-type", "d"],
            capture_output=True,
            text=True,
        )
        return found.stdout.split()


def process(arguments: list[str], **changes: Any) -> dict[str, Any]:
    """An OCI process object."""
    return {
        "args": arguments,
        "cwd": "/",
        "env": ["PATH=/bin", "TERM=xterm"],
        "user": {"uid": 0, "gid": 0},
    } | changes


class Shim:
    """The controller's view of one shim."""

    def __init__(self, directory: Path, connection: ShimConnection, pid: int) -> None:
        self.directory = directory
        self.connection = connection
        self.pid = pid
        self.events: list[protocol.Event] = []
        self.clients: list[Client] = []
        self._sequence = itertools.count(1)

    @property
    def log(self) -> Path:
        return self.directory / "json.log"

    def close(self) -> None:
        for client in self.clients:
            client.close()
        if is_alive(self.pid):
            try:
                self.reconnect()
                self.ask(protocol.Kill(0, signal.SIGKILL))
            except (OSError, AssertionError):
                pass
        self.connection.close()
        wait_until(lambda: not is_alive(self.pid))

    def reconnect(self) -> None:
        """Leave the old connection as a killed controller would, and come back."""
        self.connection.close()
        self.connection = ShimConnection.connect(str(self.directory))

    def is_listening(self) -> bool:
        try:
            self.reconnect()
        except ConnectionRefusedError:
            return False
        return True

    def ask(
        self, request: protocol.Request, fds: list[int] | None = None
    ) -> protocol.Reply | protocol.Failure:
        """Send a request and return its answer; events on the way are kept."""
        request = records.replace(request, seq=next(self._sequence))
        self.connection.send([request], fds or [])
        while True:
            message = wait_for(self.connection)
            assert message is not None, "the shim has gone"
            if isinstance(message, protocol.Reply | protocol.Failure):
                assert message.seq == request.seq
                return message
            self.events.append(message)

    def do(self, request: protocol.Request, fds: list[int] | None = None) -> dict[str, Any]:
        answer = self.ask(request, fds)
        assert isinstance(answer, protocol.Reply), answer
        return answer.result

    def start(self, **options: Any) -> int:
        options.setdefault("log", protocol.LogPolicy(str(self.log)))
        return protocol.StartResult.from_document(self.do(protocol.Start(0, **options))).pid

    def exec(self, exec_id: str, command: str | list[str], **options: Any) -> int:
        arguments = ["sh", "-c", command] if isinstance(command, str) else command
        terminal = bool(options.get("terminal"))
        with process_file(process(arguments, terminal=terminal)) as file:
            answer = self.do(protocol.Exec(0, exec_id, **options), [file.fileno()])
        return protocol.ExecResult.from_document(answer).pid

    def state(self) -> protocol.StateResult:
        return protocol.StateResult.from_document(self.do(protocol.State(0)))

    def attach(self, name: str = "client", **options: Any) -> Client:
        ours, theirs = socket.socketpair()
        with theirs:
            self.do(protocol.Attach(0, name, **({"stderr": True} | options)), [theirs.fileno()])
        self.clients.append(Client(ours))
        return self.clients[-1]

    def expect(self, kind: type[_T]) -> _T:
        """The next event of this kind."""
        while True:
            for event in self.events:
                if isinstance(event, kind):
                    self.events.remove(event)
                    return event
            message = wait_for(self.connection)
            assert message is not None, f"the shim left without {kind.__name__}: {self.complaint()}"
            assert not isinstance(message, protocol.Reply | protocol.Failure)
            self.events.append(message)

    def complaint(self) -> str:
        path = self.directory / protocol.ERROR_NAME
        return path.read_text() if path.exists() else ""

    def logged(self, stream: str = "stdout") -> bytes:
        """The text of the log."""
        entries = (decode(line) for line in self.log.read_bytes().splitlines())
        return b"".join(entry.text for entry in entries if entry.stream == stream)

    def gone(self) -> None:
        """Wait until the shim has ended, and see that it took everything with it."""
        wait_until(lambda: not is_alive(self.pid))
        left = {path.name for path in self.directory.iterdir()}
        assert left <= {"config.json", "exit.json", "json.log"}, (left, self.complaint())


class Client:
    """A program at the other end of an attach."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(SECONDS)
        self.socket = sock

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def everything(self) -> bytes:
        """All output until the shim closes the connection."""
        pieces = []
        while piece := self.socket.recv(1 << 16):
            pieces.append(piece)
        return b"".join(pieces)

    def everything_framed(self) -> dict[int, bytes]:
        """The same of a multiplexed attach, by stream."""
        pieces: dict[int, list[bytes]] = {}
        for stream, data in Demultiplexer().feed(self.everything()):
            pieces.setdefault(stream, []).append(data)
        return {stream: b"".join(parts) for stream, parts in pieces.items()}

    def until(self, text: bytes) -> bytes:
        """Output up to and with `text`."""
        data = b""
        while text not in data:
            piece = self.socket.recv(1)
            assert piece, data
            data += piece
        return data


def wait_for(connection: Any) -> Any:
    """The next message of a connection, or None at its end."""
    ready, _, _ = select.select([connection], [], [], SECONDS)
    assert ready, "no message"
    return connection.receive()


def process_file(document: dict[str, Any]) -> BinaryIO:
    """The file that travels with an exec."""
    file = open(os.memfd_create("process"), "w+b", buffering=0)  # noqa: SIM115
    file.write(json.dumps(document).encode())
    return file


def wait_until(condition: Callable[[], bool], pause: float = 0.005) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(pause)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def private_memory(pid: int) -> int:
    """Bytes that the process has for itself."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]
