"""The Engine API as the commands call it: versions, queries, JSON, errors.

Owns the way from a path to a decoded answer, and the version that both sides speak: requests go out in our
newest version at once, and only an engine that says it is older makes us ask for its own and repeat (it has
done nothing yet then).
"""

from __future__ import annotations

from sampan import __version__
from sampan.cli.failure import EngineFailure, Failure
from sampan.cli.http import Closed, Connection, Response, connect_failure
from sampan.wire.jsontext import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NEWEST = "1.51"
UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
IN_PATHS = UNRESERVED | frozenset(b"/:@$&+,;=!*'()")


def quote(text: str, safe: frozenset[int] = UNRESERVED) -> str:
    data = text.encode(errors="surrogateescape")
    return "".join(chr(byte) if byte in safe else f"%{byte:02X}" for byte in data)


def query(parameters: Mapping[str, object]) -> str:
    """`?a=1&b=2`, in order of the names, without what is empty. A list repeats its name, a dict is JSON."""
    parts = []
    for name in sorted(parameters):
        value = parameters[name]
        if isinstance(value, dict):
            value = encode(_sorted(value)).decode() if value else ""
        for item in value if isinstance(value, list) else [value]:
            if item is True:
                parts.append(f"{name}=1")
            elif item not in ("", None, False):
                parts.append(f"{name}={quote(str(item))}")
    return "?" + "&".join(parts) if parts else ""


def _sorted(value: object) -> object:
    """Filters in the order of their names, as Go writes maps."""
    return {key: _sorted(value[key]) for key in sorted(value)} if isinstance(value, dict) else value


def container(reference: str) -> str:
    """The path of a container."""
    reference = reference.strip()
    if not reference:
        raise Failure("invalid container name or ID: value is empty")
    return f"/containers/{quote(reference, IN_PATHS)}"


def image(reference: str) -> str:
    return f"/images/{quote(reference, IN_PATHS)}"


class Engine:
    """A client of one engine. It keeps a connection and uses it for one request after another."""

    def __init__(self, host: str, may_start: bool) -> None:
        self.host = host
        self.may_start = may_start
        self.version = NEWEST
        self.negotiated = False
        self._idle: Connection | None = None

    # Connections.

    def connect(self) -> Connection:
        """A new connection. Without an engine at the default socket, one is started."""
        try:
            return Connection(self.host)
        except OSError as error:
            if not self.may_start or not isinstance(error, FileNotFoundError | ConnectionRefusedError):
                raise connect_failure(self.host, error) from None
        from sampan.cli.autostart import start_engine

        start_engine(self.host)
        self.may_start = False
        return self.connect()

    def headers(self, body: bool = False, extra: tuple[str, ...] = ()) -> list[str]:
        lines = ["Host: api.moby.localhost", f"User-Agent: Sampan-Client/{__version__} (linux)", *extra]
        if body:
            lines.append("Content-Type: application/json")
        return lines

    def target(self, path: str, parameters: Mapping[str, object] | None = None) -> str:
        return f"/v{self.version}{path}{query(parameters or {})}"

    # Versions.

    def negotiate(self) -> str:
        """The version that both sides speak, asked once. For requests that cannot be repeated or depend on
        it.
        """
        if not self.negotiated:
            answer = self.ping()
            self._agree(answer.headers.get("api-version", ""))
        return self.version

    def ping(self) -> Response:
        return self._exchange("HEAD", "/_ping", None)

    def _agree(self, version: str) -> None:
        self.negotiated = True
        if version and _parts(version) < _parts(self.version):
            self.version = version

    def speaks(self, version: str) -> bool:
        return _parts(self.negotiate()) >= _parts(version)

    def require(self, version: str, feature: str) -> None:
        """Refuse what the engine is too old for, as Docker's CLI does."""
        if not self.speaks(version):
            raise Failure(
                f'"{feature}" requires API version {version}, '
                f"but the Sampan daemon API version is {self.version}"
            )

    # Requests.

    def _exchange(
        self, method: str, target: str, body: bytes | None, extra: tuple[str, ...] = ()
    ) -> Response:
        idle, self._idle = self._idle, None
        if idle is not None:
            try:
                return idle.request(method, target, self.headers(body is not None, extra), body)
            except (Closed, OSError) as error:
                if method == "POST":  # it may have been done
                    raise error if isinstance(error, Closed) else connect_failure(self.host, error) from None
        connection = self.connect()
        try:
            return connection.request(method, target, self.headers(body is not None, extra), body)
        except OSError as error:
            raise connect_failure(self.host, error) from None

    def open(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, object] | None = None,
        body: object = None,
        extra: tuple[str, ...] = (),
    ) -> Response:
        """Send a request and return the answer with its body unread. An error answer is raised.

        `extra` are header lines.
        """
        data = None if body is None else encode(body)
        if data is None and method == "POST":
            data = b""
        while True:
            response = self._exchange(method, self.target(path, parameters), data, extra)
            if response.status < 400:
                return response
            failure = self.failure(response)
            if self.negotiated or "is too new. Maximum supported API version is " not in failure.reason:
                raise failure
            self._agree(failure.reason.rpartition(" ")[2])

    def call(
        self, method: str, path: str, parameters: Mapping[str, object] | None = None, body: object = None
    ) -> object:
        """Send a request and decode its JSON answer (None for an empty one)."""
        response = self.open(method, path, parameters, body)
        data = response.read()
        self.keep(response)
        return decode(data) if data else None

    def get(self, path: str, parameters: Mapping[str, object] | None = None) -> object:
        return self.call("GET", path, parameters)

    def post(self, path: str, parameters: Mapping[str, object] | None = None, body: object = None) -> object:
        return self.call("POST", path, parameters, body)

    def keep(self, response: Response) -> None:
        """Use the connection again, when the answer was read to its end and the engine leaves it open."""
        if response.headers.get("connection", "").lower() != "close" and (
            response.chunked or response.length is not None
        ):
            self._idle = response.connection

    def upload(
        self,
        path: str,
        parameters: Mapping[str, object],
        body: Iterator[bytes],
        kind: str,
        method: str = "POST",
    ) -> Response:
        """Send a stream of bytes."""
        self.negotiate()
        connection = self.connect()
        headers = [*self.headers(), f"Content-Type: {kind}"]
        response = connection.request_stream(method, self.target(path, parameters), headers, body)
        if response.status >= 400:
            raise self.failure(response)
        return response

    def hijack(
        self, path: str, parameters: Mapping[str, object], body: object = None
    ) -> tuple[Connection, Response]:
        """Upgrade a new connection to a plain stream in both directions."""
        self.negotiate()
        connection = self.connect()
        extra = ("Connection: Upgrade", "Upgrade: tcp")
        data = b"" if body is None else encode(body)
        headers = self.headers(body is not None, extra)
        response = connection.request("POST", self.target(path, parameters), headers, data)
        if response.status not in (101, 200):
            raise self.failure(response)
        return connection, response

    def failure(self, response: Response) -> EngineFailure:
        """The engine's own words for what went wrong."""
        data = response.read()
        self.keep(response)
        text = data.decode(errors="replace")
        if response.headers.get("content-type", "").startswith("application/json"):
            try:
                document = decode(data)
                text = str(document["message"]) if isinstance(document, dict) else text
            except (ValueError, KeyError):
                pass
        if not text.strip():
            text = (
                f"request returned {response.phrase or response.status} for API route and version "
                f"v{self.version}, check if the server supports the requested API version"
            )
        return EngineFailure(text.strip(), response.status)


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
