"""Credentials for a registry, and the challenges that ask for them.

Owns the form in which Docker's clients send credentials (the header X-Registry-Auth) and the syntax of
WWW-Authenticate (RFC 9110 section 11.6.1).
"""

from __future__ import annotations

import base64
import json

from sampan import errors
from sampan.records import dataclass


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a user has logged in with; all empty for nobody."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    """A refresh token, which stands for the password."""
    registry_token: str = ""
    """A bearer token, to be sent as it is."""

    def __repr__(self) -> str:
        return f"Credentials({self.username!r})"

    @property
    def basic(self) -> str:
        """The value of a Basic Authorization header; "" without a user."""
        if not self.username:
            return ""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


NOBODY = Credentials()


def parse_header(text: str) -> Credentials:
    """X-Registry-Auth: base64url of a JSON object. Raises InvalidArgument."""
    if not text:
        return NOBODY
    try:
        document = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
    except (ValueError, RecursionError):
        raise errors.InvalidArgument("invalid X-Registry-Auth header") from None
    return from_document(document)


def from_document(document: object) -> Credentials:
    """Docker's AuthConfig. Raises InvalidArgument."""
    if not isinstance(document, dict):
        raise errors.InvalidArgument("invalid X-Registry-Auth header")
    found = {key.lower(): value for key, value in document.items() if isinstance(value, str)}
    username, password = found.get("username", ""), found.get("password", "")
    if not username and found.get("auth"):
        try:
            username, _, password = base64.b64decode(found["auth"]).decode().partition(":")
        except ValueError:
            raise errors.InvalidArgument("invalid X-Registry-Auth header") from None
    return Credentials(username, password, found.get("identitytoken", ""), found.get("registrytoken", ""))


@dataclass(frozen=True, slots=True)
class Challenge:
    """How a registry wants to be told who is asking. `scheme` is in lower case."""

    scheme: str
    parameters: dict[str, str]


def parse_challenge(text: str) -> Challenge:
    """`Bearer realm="…",service="…"`; an unknown form is a scheme without parameters."""
    scheme, _, rest = text.strip().partition(" ")
    parameters = {}
    while rest := rest.lstrip(" ,"):
        name, equals, rest = rest.partition("=")
        if not equals:
            break
        if rest.startswith('"'):
            value, quote, rest = rest[1:].partition('"')
            if not quote:
                break
        else:
            value, _, rest = rest.partition(",")
        parameters[name.strip().lower()] = value.strip()
    return Challenge(scheme.lower(), parameters)
