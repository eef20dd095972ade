"""Requests to one registry: TLS or not, challenges answered, redirects followed.

Owns the connection, the authorization and the meaning of a failed answer. Credentials go to the registry and
to the token service that it names, and never to another host that it redirects to.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import urllib.parse
from collections.abc import Iterable, Mapping
from contextlib import suppress

from sampan import __version__, errors
from sampan.records import dataclass
from sampan.registry.credentials import NOBODY, Credentials, parse_challenge

DOCKER_HUB = "docker.io"
_HUB_HOST = "registry-1.docker.io"
_SECONDS = 30.0
_MOST_REDIRECTS = 10
_LONGEST_ANSWER = 4 << 20
"""Of what is not a blob: manifests, tokens, errors."""
_REDIRECTS = (301, 302, 303, 307, 308)
_CLIENT_ID = "sampan"


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer, and where its body is read from. Close it."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: http.client.HTTPResponse
    connection: http.client.HTTPConnection

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes, b"" at the end. Raises OSError."""
        try:
            return self.body.read(size)
        except http.client.HTTPException as error:
            raise ConnectionError(f"the connection broke: {type(error).__name__}") from error

    def whole(self) -> bytes:
        """The body of an answer that must be short."""
        with self:
            data = self.read(_LONGEST_ANSWER + 1)
        if len(data) > _LONGEST_ANSWER:
            raise errors.SampanError("a registry's answer is too long")
        return data

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


class RegistryClient:
    """One registry, as one user. Safe from several threads: each request has its own connection."""

    def __init__(
        self, domain: str, credentials: Credentials = NOBODY, *, insecure: Iterable[str] = ()
    ) -> None:
        """`insecure`: hosts (with port) and networks whose certificates are not checked."""
        self.domain = domain
        self._host = _HUB_HOST if domain == DOCKER_HUB else domain
        self._credentials = credentials
        self._insecure = _is_insecure(self._host, insecure)
        self._scheme = "https"
        self._authorization: dict[str, str] = {}

    def get(
        self, path: str, *, accept: str = "", scope: str = "", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """GET below `/v2/`. `scope` is what a token is asked for. Raises SampanError, OSError."""
        sent = {"User-Agent": f"Sampan/{__version__}", **(headers or {})}
        if accept:
            sent["Accept"] = accept
        answer = self._ask(path, sent, scope)
        if answer.status == 401:
            challenge = answer.headers.get("www-authenticate", "")
            answer.connection.close()
            self._authorization[scope] = self._answer_challenge(challenge, scope)
            answer = self._ask(path, sent, scope)
        if answer.status >= 400:
            raise _failure(answer, self.domain)
        return answer

    def check(self) -> None:
        """Whether the registry is there and takes the credentials. Raises Unauthorized and others."""
        self.get("").whole()

    # --- connections ---

    def _ask(self, path: str, headers: Mapping[str, str], scope: str) -> Answer:
        url = f"{self._scheme}://{self._host}/v2/{path}"
        try:
            return self._follow(url, headers, scope)
        except (ssl.SSLError, ConnectionError) as error:
            if not self._insecure or self._scheme == "http":
                raise _unreachable(url, error) from error
        except OSError as error:
            raise _unreachable(url, error) from error
        # Nobody speaks TLS there, and the user has said that this is to be expected.
        self._scheme = "http"
        return self._ask(path, headers, scope)

    def _follow(self, url: str, headers: Mapping[str, str], scope: str) -> Answer:
        for _ in range(_MOST_REDIRECTS):
            parts = urllib.parse.urlsplit(url)
            sent = dict(headers)
            if parts.netloc == self._host and self._authorization.get(scope):
                sent["Authorization"] = self._authorization[scope]
            answer = self._request("GET", parts, sent)
            if answer.status not in _REDIRECTS or "location" not in answer.headers:
                return answer
            answer.connection.close()
            url = urllib.parse.urljoin(url, answer.headers["location"])
        raise errors.SampanError(f"registry {self.domain}: stopped after {_MOST_REDIRECTS} redirects")

    def _request(
        self,
        method: str,
        parts: urllib.parse.SplitResult,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> Answer:
        if parts.scheme not in ("https", "http") or (parts.scheme == "http" and not self._insecure):
            raise errors.SampanError(
                f"registry {self.domain}: it leads to {parts.scheme}://, which is not safe"
            )
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            if self._insecure:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = http.client.HTTPSConnection(parts.netloc, timeout=_SECONDS, context=context)
        else:
            connection = http.client.HTTPConnection(parts.netloc, timeout=_SECONDS)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
        except http.client.HTTPException as error:
            connection.close()
            raise ConnectionError(f"malformed answer: {type(error).__name__}") from error
        except BaseException:
            connection.close()
            raise
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response, connection)

    # --- who is asking ---

    def _answer_challenge(self, text: str, scope: str) -> str:
        """The Authorization header that a challenge asks for. Raises Unauthorized."""
        challenge = parse_challenge(text)
        if challenge.scheme == "basic":
            if not self._credentials.basic:
                raise errors.Unauthorized(
                    f'Get "{self._scheme}://{self._host}/v2/": no basic auth credentials'
                )
            return self._credentials.basic
        if challenge.scheme != "bearer" or "realm" not in challenge.parameters:
            raise errors.Unauthorized(f"registry {self.domain}: unauthorized: authentication required")
        if self._credentials.registry_token:
            return f"Bearer {self._credentials.registry_token}"
        return f"Bearer {self._token(challenge.parameters, scope)}"

    def _token(self, parameters: Mapping[str, str], scope: str) -> str:
        service = parameters.get("service", "")
        wanted = scope or parameters.get("scope", "")
        parts = urllib.parse.urlsplit(parameters["realm"])
        if self._credentials.identity_token:
            form = {
                "grant_type": "refresh_token",
                "service": service,
                "client_id": _CLIENT_ID,
                "scope": wanted,
                "refresh_token": self._credentials.identity_token,
            }
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = self._request("POST", parts, headers, urllib.parse.urlencode(form).encode())
        else:
            query = urllib.parse.parse_qsl(parts.query)
            query += [(name, value) for name, value in (("service", service), ("scope", wanted)) if value]
            headers = {}
            if self._credentials.basic:
                headers["Authorization"] = self._credentials.basic
                query += [("account", self._credentials.username), ("client_id", _CLIENT_ID)]
            answer = self._request("GET", parts._replace(query=urllib.parse.urlencode(query)), headers)
        data = answer.whole()
        if answer.status >= 400:
            raise errors.Unauthorized("unauthorized: incorrect username or password")
        with suppress(ValueError, RecursionError):
            document = json.loads(data)
            token = document.get("token") or document.get("access_token")
            if isinstance(token, str) and token.isascii() and token.isprintable():
                return token
        raise errors.SampanError(f"registry {self.domain}: its token service gave no token")


def _is_insecure(host: str, insecure: Iterable[str]) -> bool:
    """Docker's rule: what was named so, and all that is this host."""
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    networks = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]
    for entry in insecure:
        if "/" in entry:
            networks.append(ipaddress.ip_network(entry, strict=False))
        elif entry in (host, name):
            return True
    try:
        addresses = [str(info[4][0]) for info in socket.getaddrinfo(name.strip("[]"), None)]
    except OSError:
        return False
    return any(ipaddress.ip_address(address) in network for address in addresses for network in networks)


def _unreachable(url: str, error: OSError) -> errors.SampanError:
    told = error.strerror or str(error) or type(error).__name__
    if isinstance(error, ConnectionRefusedError):
        told = f"dial tcp {urllib.parse.urlsplit(url).netloc}: connect: connection refused"
    return errors.SampanError(f'Get "{url}": {told[:1].lower()}{told[1:]}')


_KINDS: dict[int, type[errors.SampanError]] = {
    401: errors.Unauthorized,
    403: errors.PermissionDenied,
    404: errors.NotFound,
    429: errors.Unavailable,
}


def _failure(answer: Answer, domain: str) -> errors.SampanError:
    """What a registry says is wrong: `{"errors": [{"code": …, "message": …}]}` (distribution-spec, "Error
    Codes").
    """
    told = ""
    with suppress(ValueError, RecursionError, KeyError, TypeError, IndexError, errors.SampanError):
        first = json.loads(answer.whole())["errors"][0]
        code, message = str(first["code"]).replace("_", " ").lower(), str(first.get("message", ""))
        told = " ".join(f"{code}: {message}".split())[:300]
    kind = _KINDS.get(answer.status, errors.SampanError)
    return kind(told or f"registry {domain} answered {answer.status}")
