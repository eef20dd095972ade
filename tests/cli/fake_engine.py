"""A fake engine for the edges of the protocol: it records requests and answers each with prepared bytes."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLI = [sys.executable, "-I", "-S", str(ROOT / "src/sampan/cli/__main__.py")]
PING = b"HTTP/1.1 200 OK\r\nApi-Version: 1.50\r\nOstype: linux\r\nContent-Length: 0\r\n\r\n"


def answer(document: object, status: str = "200 OK") -> bytes:
    """A JSON answer with its length."""
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def refusal(message: str, status: str) -> bytes:
    return answer({"message": message}, status)


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> object:
        return json.loads(self.body)


@dataclass
class FakeEngine:
    """Serves `answers` by the longest prefix of `METHOD /path` (without version); else it refuses."""

    path: Path
    answers: dict[str, bytes | list[bytes]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    @property
    def host(self) -> str:
        return f"unix://{self.path}"

    def __enter__(self) -> FakeEngine:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.path.unlink()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            while request := self._read(reader):
                self.requests.append(request)
                data = self._answer(request)
                connection.sendall(data)
                if b"Connection: close" in data.partition(b"\r\n\r\n")[0] or b" 101 " in data[:20]:
                    return

    def _read(self, reader) -> Request | None:  # type: ignore[no-untyped-def]
        line = reader.readline().decode()
        if not line:
            return None
        method, target, _ = line.split(" ")
        headers = {}
        while (line := reader.readline().decode().strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = reader.read(int(headers.get("content-length", 0)))
        if headers.get("transfer-encoding") == "chunked":
            while size := int(reader.readline(), 16):
                body += reader.read(size)
                reader.readline()
            reader.readline()
        return Request(method, target, headers, body)

    def _answer(self, request: Request) -> bytes:
        path = request.target
        if path.startswith("/v1."):
            path = path[path.index("/", 1) :]
        key = f"{request.method} {path}"
        if path == "/_ping" and key not in self.answers:
            return PING
        for prefix in sorted(self.answers, key=len, reverse=True):
            if key.startswith(prefix):
                found = self.answers[prefix]
                if isinstance(found, list):
                    return found.pop(0) if len(found) > 1 else found[0]
                return found
        return refusal("page not found", "404 Not Found")

    def run(self, *arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
        """Run the CLI against this engine."""
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            [*CLI, "-H", self.host, *arguments],
            **({"capture_output": True, "timeout": 30, "stdin": subprocess.DEVNULL} | options),
        )

    def docker(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["docker", "-H", self.host, *arguments],
            capture_output=True,
            timeout=30,
            stdin=subprocess.DEVNULL,
        )
