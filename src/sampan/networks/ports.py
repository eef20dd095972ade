"""Ports: what a container wants published, what it got, and the forms of both in Docker's API.

Owns the parsing of `ExposedPorts` and `HostConfig.PortBindings`, and the `Ports` document of an inspect.
Pure; which port of the host is free is `hostports`' business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address

from sampan import errors
from sampan.records import dataclass

PROTOCOLS = ("tcp", "udp", "sctp")


@dataclass(frozen=True, slots=True)
class PortBinding:
    """A wish. `host_ip` "" means all addresses of the host; `first` 0 means any free port, else the first
    free one from `first` to `last`."""

    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    first: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A port of the host, on one address ("0.0.0.0" and "::" stand for all of a family), that leads to a
    container."""

    container_port: int
    protocol: str
    host_ip: str
    host_port: int

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.host_ip


def parse_bindings(
    exposed: Iterable[str], bindings: Mapping[str, Sequence[Mapping[str, str]] | None], publish_all: bool
) -> list[PortBinding]:
    """The wishes of a container configuration. `publish_all` is -P: a port without a binding gets a free one.

    In the order in which Docker serves them, since that decides who gets which ephemeral port: explicit
    host ports first, then by container port, udp before tcp (nat.SortPortMap).
    """
    wishes: list[PortBinding] = []
    for key in {**dict.fromkeys(exposed), **dict.fromkeys(bindings)}:
        port, protocol = parse_port(key)
        wanted = bindings.get(key) or ()
        wishes += [_parse_binding(port, protocol, binding) for binding in wanted]
        if publish_all and not wanted:
            wishes.append(PortBinding(port, protocol))
    wishes.sort(key=lambda wish: (-wish.first, wish.container_port, -PROTOCOLS.index(wish.protocol)))
    return wishes


def parse_port(key: str) -> tuple[int, str]:
    """ "80/tcp", or "80", which means the same."""
    number, slash, protocol = key.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    port = _port_number(number)
    if port is None or port == 0:
        raise errors.InvalidArgument(f'invalid port specification: "{number}"')
    if protocol not in PROTOCOLS:
        raise errors.InvalidArgument(f"invalid proto: {protocol}")
    return port, protocol


def port_map(
    published: Iterable[PublishedPort], exposed: Iterable[str] = ()
) -> dict[str, list[dict[str, str]] | None]:
    """`NetworkSettings.Ports`: each published port with where, and null for one that is only exposed."""
    document: dict[str, list[dict[str, str]] | None] = {}
    for port in published:
        places = document.setdefault(f"{port.container_port}/{port.protocol}", [])
        if places is not None:
            places.append({"HostIp": port.host_ip, "HostPort": str(port.host_port)})
    for key in exposed:
        number, protocol = parse_port(key)
        document.setdefault(f"{number}/{protocol}", None)
    return dict(sorted(document.items()))


def _parse_binding(port: int, protocol: str, binding: Mapping[str, str]) -> PortBinding:
    host_ip = binding.get("HostIp") or ""
    first, last = _parse_host_port(binding.get("HostPort") or "")
    if host_ip:
        try:
            host_ip = str(ip_address(host_ip))
        except ValueError:
            raise errors.InvalidArgument(f"invalid IP address: {host_ip}") from None
    return PortBinding(port, protocol, host_ip, first, last)


def _parse_host_port(text: str) -> tuple[int, int]:
    """ "", "8080" or "8080-8090"."""
    if not text:
        return 0, 0
    start, dash, end = text.partition("-")
    first = _port_number(start)
    last = _port_number(end) if dash else first
    if first is None or last is None or last < first:
        raise errors.InvalidArgument(f'invalid port specification: "{text}"')
    return first, last


def _port_number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        return None
    number = int(text)
    return number if number <= 65535 else None
