"""The text of a container's /etc/hosts, /etc/hostname and /etc/resolv.conf.

Owns Docker's rules for them. Pure, but for the reading of the host's own; writing the files, and never over a
change that the container's user made, is the engine's business.
"""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Iterable, Sequence

from sampan import errors
from sampan.records import dataclass

_HOSTS = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""

# Docker's, for a host whose only nameservers cannot be reached from a container.
_PUBLIC_NAMESERVERS = ("8.8.8.8", "8.8.4.4")

_RESOLV_CONF = "/etc/resolv.conf"
# systemd-resolved lists here the servers that its stub at 127.0.0.53 asks.
_STUB_NAMESERVERS = ["127.0.0.53"]
_UPSTREAM_RESOLV_CONF = "/run/systemd/resolve/resolv.conf"
_SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the user wants in resolv.conf: --dns, --dns-search, --dns-option. Empty: as on the host."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def hosts(
    hostname: str,
    domainname: str = "",
    addresses: Sequence[str] = (),
    extra: Sequence[str] = (),
    gateway: str = "",
) -> str:
    """/etc/hosts of a container with its own network, with a line for each of its addresses: with --network
    none there is none.

    `extra` are --add-host's "name:address" in order; the address "host-gateway" is the bridge's, `gateway`.
    """
    lines = [_HOSTS]
    lines += [f"{where}\t{name}\n" for name, where in (parse_extra_host(text, gateway) for text in extra)]
    lines += [f"{address}\t{_names(hostname, domainname)}\n" for address in addresses]
    return "".join(lines)


def parse_extra_host(text: str, gateway: str) -> tuple[str, str]:
    """ "name:address" (or "name=address"), where an IPv6 address may stand in brackets. Docker's words for
    errors."""
    for_equals, equals, _ = text.partition("=")
    separator = "=" if equals and ":" not in for_equals else ":"
    name, found, where = text.partition(separator)
    if not found or not name:
        raise errors.InvalidArgument(f'bad format for add-host: "{text}"')
    if where == "host-gateway":
        if not gateway:
            raise errors.SampanError("unable to derive the IP value for host-gateway")
        return name, gateway
    if where.startswith("[") and where.endswith("]"):
        where = where[1:-1]
    try:
        ipaddress.ip_address(where)
    except ValueError:
        raise errors.InvalidArgument(f'invalid IP address in add-host: "{where}"') from None
    return name, where


def hostname(name: str) -> str:
    """/etc/hostname."""
    return f"{name}\n"


def read_host_resolv_conf(path: str = _RESOLV_CONF, upstream: str = _UPSTREAM_RESOLV_CONF) -> str:
    """The host's resolv.conf, or the one behind systemd-resolved's stub; empty if there is none."""
    text = _read(path)
    if nameservers(text) == _STUB_NAMESERVERS:
        return _read(upstream) or text
    return text


def nameservers(text: str) -> list[str]:
    """The nameservers of a resolv.conf."""
    return [words[1] for words in _directives(text) if words[0] == "nameserver" and len(words) > 1]


class HostServers:
    """The host's nameservers as they are now: its files are looked at again after a while."""

    def __init__(self, path: str = _RESOLV_CONF, upstream: str = _UPSTREAM_RESOLV_CONF) -> None:
        self._paths = (path, upstream)
        self._looked: float | None = None
        self._stamps: list[tuple[int, int] | None] = []
        self._servers: tuple[str, ...] = ()

    def __call__(self) -> tuple[str, ...]:
        now = time.monotonic()
        if self._looked is None or now - self._looked >= _SECONDS_BETWEEN_LOOKS:
            self._looked = now
            stamps = [_stamp(path) for path in self._paths]
            if stamps != self._stamps:
                self._stamps = stamps
                self._servers = tuple(nameservers(read_host_resolv_conf(*self._paths)))
        return self._servers


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def reachable_nameservers(found: Iterable[str], *, ipv6: bool = False) -> list[str]:
    """Which of the host's nameservers a container can ask: not the host's own loopback, which is another
    one inside, and IPv6 servers only from a network that has IPv6."""
    return [server for server in found if _is_reachable(server, ipv6)]


def resolv_conf(host: str, wanted: Resolution = Resolution(), *, ipv6: bool = False) -> str:
    """/etc/resolv.conf for a container on a bridge, from the host's own.

    With no wish it is the host's file, comments and all, without the nameservers that cannot be reached. A
    wish replaces its own kind of line, and the file is written anew; the search domain "." means none.
    """
    if not (wanted.nameservers or wanted.search or wanted.options):
        return _filtered(host, ipv6)
    found = list(_directives(host))
    servers = wanted.nameservers or reachable_nameservers(nameservers(host), ipv6=ipv6) or _PUBLIC_NAMESERVERS
    search = [domain for domain in wanted.search or _last(found, ("search", "domain")) if domain != "."]
    options = wanted.options or [word for words in found if words[0] == "options" for word in words[1:]]
    lines = []
    if search:
        lines.append("search " + " ".join(search))
    lines += [f"nameserver {server}" for server in servers]
    if options:
        lines.append("options " + " ".join(options))
    return "".join(f"{line}\n" for line in lines)


def own_resolv_conf(host: str, wanted: Resolution, resolver: str) -> str:
    """/etc/resolv.conf for a container that asks a resolver of our own: search and options as on the host."""
    found = list(_directives(host))
    search = [domain for domain in wanted.search or _last(found, ("search", "domain")) if domain != "."]
    options = list(wanted.options or [word for words in found if words[0] == "options" for word in words[1:]])
    lines = [f"search {' '.join(search)}"] if search else []
    lines.append(f"nameserver {resolver}")
    # A name without dots may be a container's: it is asked for as it is first.
    if not any(option.startswith("ndots:") for option in options):
        options.append("ndots:0")
    lines.append("options " + " ".join(options))
    return "".join(f"{line}\n" for line in lines)


def _filtered(host: str, ipv6: bool) -> str:
    kept = []
    servers = 0
    for line in host.splitlines(keepends=True):
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            if not _is_reachable(words[1], ipv6):
                continue
            servers += 1
        kept.append(line)
    text = "".join(kept)
    if servers:
        return text
    if text and not text.endswith("\n"):
        text += "\n"
    return text + "".join(f"nameserver {server}\n" for server in _PUBLIC_NAMESERVERS)


def _is_reachable(server: str, ipv6: bool) -> bool:
    address, _, zone = server.partition("%")
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if parsed.is_loopback or parsed.is_unspecified:
        return False
    # A link-local address is one of the host's link, which the container does not have.
    return parsed.version == 4 or (ipv6 and not zone and not parsed.is_link_local)


def _names(hostname: str, domainname: str) -> str:
    """ "web.example.org web": the full name first, whichever way the domain was given."""
    full = f"{hostname}.{domainname}" if domainname else hostname
    short = full.partition(".")[0]
    return full if short == full else f"{full} {short}"


def _directives(text: str) -> Iterable[list[str]]:
    for line in text.splitlines():
        words = line.split("#", 1)[0].split(";", 1)[0].split()
        if words:
            yield words


def _last(directives: Iterable[list[str]], names: tuple[str, ...]) -> list[str]:
    """The words of the last such line: resolv.conf(5) says that the last instance wins."""
    words: list[str] = []
    for found in directives:
        if found[0] in names:
            words = found[1:]
    return words


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""
