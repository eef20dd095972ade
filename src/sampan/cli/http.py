"""An HTTP/1.1 client on a plain socket: as much of the protocol as the Engine API uses.

Owns connections, requests, and the three kinds of body (length, chunked, until the end), and gives a
connection away when it is hijacked. Must not know the API. `http.client` would take twice the time of the
whole program to import.
"""

from __future__ import annotations

import _socket

from sampan.cli.failure import ConnectFailure, Failure, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BLOCK = 65536
MSG_NOSIGNAL = 0x4000  # SIGPIPE is for the user's own streams: see main
DEFAULT_TCP_PORT = 2375


class Closed(Failure):
    """The engine ended the connection in the middle of an answer."""


def connect(host: str) -> _socket.socket:
    """A socket to `unix://path` or `tcp://name:port`. Raises OSError or Failure."""
    scheme, separator, rest = host.partition("://")
    if not separator:
        scheme, rest = "tcp", host
    if scheme == "unix":
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        sock.connect(rest or "/run/sampan.sock")
        return sock
    if scheme in ("tcp", "http"):
        return _connect_tcp(rest)
    raise Failure(
        f"Failed to initialize: unable to resolve sampan endpoint: invalid bind address format: {host}"
    )


def _connect_tcp(address: str) -> _socket.socket:
    name, port = address.split("/")[0], str(DEFAULT_TCP_PORT)
    if not name.endswith("]") and ":" in name:
        name, _, port = name.rpartition(":")
    name = name.strip("[]") or "127.0.0.1"
    failure: OSError | None = None
    for family, kind, protocol, _, target in _socket.getaddrinfo(name, port, 0, _socket.SOCK_STREAM):
        sock = _socket.socket(family, kind, protocol)
        try:
            sock.connect(target)
            return sock
        except OSError as error:
            failure = error
    raise failure or OSError(0, "no address")


class Response:
    """An answer: status, headers (names in lower case), and a body that is read from the connection."""

    def __init__(self, connection: Connection, status: int, phrase: str, headers: dict[str, str]) -> None:
        self.connection = connection
        self.status = status
        self.phrase = phrase
        self.headers = headers
        self.chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        self.length = int(headers["content-length"]) if "content-length" in headers else None
        if status in (204, 304):
            self.length = 0

    def read(self) -> bytes:
        return b"".join(self.blocks())

    def blocks(self) -> Iterator[bytes]:
        """The body as it arrives."""
        if self.chunked:
            return self._chunks()
        if self.length is not None:
            return self._counted(self.length)
        return self._until_end()

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.connection.read_line().partition(b";")[0], 16):
            yield from self._counted(size)
            self.connection.read_line()
        while self.connection.read_line():  # trailers
            pass

    def _counted(self, size: int) -> Iterator[bytes]:
        while size:
            block = self.connection.read_block(size)
            if not block:
                raise Closed("unexpected EOF")
            size -= len(block)
            yield block

    def _until_end(self) -> Iterator[bytes]:
        while block := self.connection.read_block(BLOCK):
            yield block


class Connection:
    """One connection, used for one request after another."""

    def __init__(self, host: str) -> None:
        self.socket = connect(host)
        self.buffer = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data, MSG_NOSIGNAL)

    def request(
        self, method: str, target: str, headers: Iterable[str], body: bytes | None = None
    ) -> Response:
        """Send a request with its whole body and read the head of the answer."""
        lines = [f"{method} {target} HTTP/1.1", *headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))
        return self.read_head(method)

    def request_stream(
        self, method: str, target: str, headers: Iterable[str], body: Iterator[bytes]
    ) -> Response:
        """Send a request whose body is produced on the way, in chunks.

        An engine that refuses early answers and closes while we still send: its answer counts, not our broken
        pipe.
        """
        lines = [f"{method} {target} HTTP/1.1", *headers, "Transfer-Encoding: chunked"]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n")
        try:
            for block in body:
                if block:
                    self.send(f"{len(block):x}\r\n".encode() + block + b"\r\n")
            self.send(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self.read_head(method)

    def read_head(self, method: str = "GET") -> Response:
        while True:
            version, _, rest = self.read_line().partition(b" ")
            if not version.startswith(b"HTTP/1."):
                raise Closed("unexpected EOF" if not version else "malformed HTTP response")
            code, _, phrase = rest.decode("latin-1").partition(" ")
            headers: dict[str, str] = {}
            while line := self.read_line():
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            status = int(code)
            if status >= 200 or status == 101:
                if method == "HEAD":
                    headers["content-length"] = "0"
                return Response(self, status, phrase, headers)

    def read_line(self) -> bytes:
        while b"\n" not in self.buffer:
            block = self.socket.recv(BLOCK)
            if not block:
                line, self.buffer = self.buffer, b""
                return line
            self.buffer += block
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def read_block(self, limit: int) -> bytes:
        """Some bytes, at most `limit`; none at the end."""
        if self.buffer:
            block, self.buffer = self.buffer[:limit], self.buffer[limit:]
            return block
        return self.socket.recv(min(limit, BLOCK))

    def hijack(self) -> tuple[_socket.socket, bytes]:
        """Give the socket away, with the bytes that were read behind the head of the answer."""
        early, self.buffer = self.buffer, b""
        return self.socket, early


def connect_failure(host: str, error: OSError) -> Failure:
    """Docker's words for an engine that cannot be reached."""
    if isinstance(error, PermissionError):
        path = host.removeprefix("unix://")
        return ConnectFailure(
            f"permission denied while trying to connect to the Sampan daemon socket at {host}: "
            f"dial unix {path}: connect: {reason(error)}"
        )
    return ConnectFailure(f"Cannot connect to the Sampan daemon at {host}. Is the sampan daemon running?")
