"""Browsers are kept out: a web page must not drive the engine through its visitor's browser.

Docker's API has no login, so whoever may connect is root. A page can make a browser send requests to a
loopback port: across origins (it then sends `Origin` or `Sec-Fetch-Site`), or, with a name of the attacker's
that is made to resolve to 127.0.0.1, seemingly on the same origin (DNS rebinding; the attacker's name is then
in `Host`).
"""

from __future__ import annotations

import socket

from sampan import errors
from sampan.api.message import Request

_LOCAL_NAMES = frozenset(("localhost", "localhost.localdomain", "ip6-localhost"))


def check(request: Request) -> None:
    """Refuse a request that a foreign web page sent. Raises PermissionDenied."""
    host = request.headers.get("host", "")
    origin = request.headers.get("origin", "")
    if origin and origin.partition("://")[2] != host:
        raise errors.PermissionDenied(f"requests from web pages are not served (Origin: {origin})")
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise errors.PermissionDenied("requests from web pages of other sites are not served")
    if request.connection.tcp and not _is_own_name(host):
        raise errors.PermissionDenied(f"the engine does not serve the host name {host!r}")


def _is_own_name(host: str) -> bool:
    """Whether `host` cannot be a name of a foreign web site: a name of this machine, or an IP address."""
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    name = name.strip("[]").lower()
    if name in _LOCAL_NAMES:
        return True
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, name)
            return True
        except OSError:
            pass
    return False
