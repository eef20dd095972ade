"""The `--publish` and `--expose` flags: go-connections' port specifications."""

from __future__ import annotations

from sampan.cli.containers.values import is_address, unsigned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Bindings = dict[str, list[dict[str, str]]]

PROTOCOLS = frozenset(["tcp", "udp", "sctp"])


def parse_published(specs: Iterable[str]) -> tuple[dict[str, dict[str, str]], Bindings]:
    """The exposed ports and the bindings of all `-p` values, in their order."""
    exposed: dict[str, dict[str, str]] = {}
    bindings: Bindings = {}
    for spec in specs:
        for port, binding in parse_spec(standard_notation(spec)):
            exposed[port] = {}
            bindings.setdefault(port, []).append(binding)
    return exposed, bindings


def standard_notation(spec: str) -> str:
    """`published=8080,target=80,protocol=tcp` as `8080:80/tcp`; anything else unchanged."""
    fields = {"protocol": "tcp"}
    for field in spec.split(","):
        key, equals, value = field.partition("=")
        if not equals or not key:
            return spec
        fields[key] = value
    return f"{fields.get('published', '')}:{fields.get('target', '')}/{fields['protocol']}"


def parse_spec(spec: str) -> list[tuple[str, dict[str, str]]]:
    """`[[address:][host port or range]:]port or range[/protocol]` as pairs of port and binding."""
    address, host, inside = _parts(spec)
    protocol, inside = split_protocol(inside)
    if address.startswith("["):
        if not address.endswith("]"):
            raise ValueError(f"invalid IP address {address}: address {address}:: missing ']' in address")
        address = address[1:-1]
    if address and not is_address(address):
        raise ValueError(f"invalid IP address: {address}")
    if not inside:
        raise ValueError(f"no port specified: {spec}<empty>")
    first, last = _range(inside, "containerPort")
    host_first, host_last = _range(host, "hostPort") if host else (0, 0)
    if host and last - first != host_last - host_first and first != last:
        raise ValueError(f"invalid ranges specified for container and host Ports: {inside} and {host}")
    if protocol.lower() not in PROTOCOLS:
        raise ValueError(f"invalid proto: {protocol}")
    found = []
    for offset in range(last - first + 1):
        host_port = str(host_first + offset) if host else ""
        if first == last and host_first != host_last:  # any port of the range
            host_port = f"{host_port}-{host_last}"
        found.append((f"{first + offset}/{protocol.lower()}", {"HostIp": address, "HostPort": host_port}))
    return found


def _parts(spec: str) -> tuple[str, str, str]:
    parts = spec.split(":")
    if len(parts) <= 3:
        padded = ["", "", *parts][-3:]
        return padded[0], padded[1], padded[2]
    return ":".join(parts[:-2]), parts[-2], parts[-1]


def split_protocol(port: str) -> tuple[str, str]:
    """(protocol, port) of `80/udp`."""
    number, _, protocol = port.partition("/")
    if not number:
        return "", ""
    return protocol.partition("/")[0] or "tcp", number


def parse_range(text: str) -> tuple[int, int]:
    if not text:
        raise ValueError("empty string specified for ports")
    parts = text.split("-")
    first = unsigned(parts[0], 16)
    last = unsigned(parts[1], 16) if len(parts) > 1 else first
    if last < first:
        raise ValueError(f"invalid range specified for port: {text}")
    return first, last


def _range(text: str, name: str) -> tuple[int, int]:
    try:
        return parse_range(text)
    except ValueError:
        raise ValueError(f"invalid {name}: {text}") from None


def parse_exposed(specs: Iterable[str]) -> list[str]:
    """The ports of all `--expose` values."""
    found = []
    for spec in specs:
        if ":" in spec:
            raise ValueError(f"invalid port format for --expose: {spec}")
        protocol, port = split_protocol(spec)
        try:
            first, last = parse_range(port)
        except ValueError as error:
            raise ValueError(f"invalid range format for --expose: {spec}, error: {error}") from None
        found += [f"{number}/{protocol}" for number in range(first, last + 1)]
    return found
