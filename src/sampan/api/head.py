"""Request and response heads: from h11's events to `Request`, and from a status and headers to bytes.

Owns the limits of a head, the headers that every answer carries, and the raw answers to what is not HTTP (no
JSON there, as in Go's server). No I/O. h11 reads requests, which come from the outside world; what we send is
written here, since h11 would check each of our own headers every time (0.1 ms for an answer).
"""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING

import h11

from sampan import __version__, errors
from sampan.api import versions
from sampan.api.message import TEXT, Body, Request
from sampan.api.query import Query, unquote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sampan.api.connection import Connection

LIMIT = 1 << 20
"""The longest request head: Go's DefaultMaxHeaderBytes, which dockerd keeps."""
SECONDS = 300
"""How long a client may take to send a head once it began: dockerd's ReadHeaderTimeout."""

_COMMON = (
    f"Api-Version: {versions.text(versions.MAXIMUM)}\r\n"
    "Docker-Experimental: false\r\n"
    "Ostype: linux\r\n"
    f"Server: Sampan/{__version__} (linux)\r\n"
)
"""On every answer, as Docker's version middleware sets them: clients negotiate by Api-Version."""

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def parse(event: h11.Request, connection: Connection, body: Body) -> Request:
    """The request that a head announces. Its query is not decoded yet: errors there get a JSON answer."""
    fields: dict[str, str] = {}
    for name, value in event.headers:
        key, text = name.decode("ascii"), value.decode("latin-1")
        # The docker CLI sends each type it accepts on a line of its own: RFC 9110 section 5.3 joins them.
        fields[key] = f"{fields[key]}, {text}" if key in fields else text
    target, _, query = event.target.decode("latin-1").partition("?")
    if "://" in target and not target.startswith("/"):
        # The absolute form of a proxy's request (RFC 9112 section 3.2.2).
        target = "/" + target.partition("://")[2].partition("/")[2]
    try:
        path = unquote(target)
    except errors.InvalidArgument as error:
        raise h11.RemoteProtocolError(error.message) from None
    return Request(event.method.decode("ascii"), path, Query(query), fields, body, connection)


def answer(status: int, fields: Iterable[tuple[str, str]], *, last: bool) -> bytes:
    """The head of an answer: `fields`, the common ones, and `Connection: close` when it is the `last`."""
    if any("\r" in text or "\n" in text for field in fields for text in field):
        raise ValueError("a line end in a header")
    own = "".join([f"{name}: {value}\r\n" for name, value in fields])
    close = "Connection: close\r\n" if last else ""
    first = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
    return f"{first}{_COMMON}Date: {_date()}\r\n{own}{close}\r\n".encode()


def refusal(error: h11.RemoteProtocolError) -> bytes:
    """The answer to bytes that are no request, as Go's server words it; the connection ends after it."""
    status = error.error_status_hint
    text = f"{status} {HTTPStatus(status).phrase}"
    if "Host" in str(error):
        text += ": missing required Host header"
    return raw(text, (("Content-Type", TEXT), ("Connection", "close"))) + text.encode()


def body_error(error: h11.RemoteProtocolError) -> str:
    """What is wrong with a body's framing, in Go's words."""
    return "unexpected EOF" if "closed connection" in str(error) else "invalid byte in chunk length"


def raw(status: str, fields: tuple[tuple[str, str], ...]) -> bytes:
    """The head of an answer without the common headers: it leaves HTTP, or ends the connection."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode()


def keeps_alive(event: h11.Request) -> bool:
    """Whether the client may send another request on this connection (RFC 9112 section 9.3)."""
    options = [value.lower() for name, value in event.headers if name == b"connection"]
    closes = any(option.strip() == b"close" for value in options for option in value.split(b","))
    return event.http_version >= b"1.1" and not closes


def _date() -> str:
    now = time.gmtime()
    clock = f"{now.tm_hour:02d}:{now.tm_min:02d}:{now.tm_sec:02d}"
    day = f"{_WEEKDAYS[now.tm_wday]}, {now.tm_mday:02d} {_MONTHS[now.tm_mon - 1]} {now.tm_year}"
    return f"{day} {clock} GMT"
