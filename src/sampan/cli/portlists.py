"""The PORTS column: published and exposed ports of a container, neighbours joined to ranges."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def join_host_port(address: str, port: object) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def displayable_ports(ports: Sequence[object]) -> str:
    """`0.0.0.0:8080->80/tcp, 443/tcp`: ports that are published under their own number form ranges."""
    entries = []
    for port in ports:
        assert isinstance(port, dict)
        private, public = int(port.get("PrivatePort", 0)), int(port.get("PublicPort", 0))
        entries.append((private, str(port.get("IP", "")), public, str(port.get("Type", ""))))
    done: list[str] = []
    mapped: list[str] = []
    groups: dict[tuple[str, str], list[int]] = {}
    for private, address, public, protocol in sorted(entries):
        if address and public != private:
            mapped.append(f"{join_host_port(address, public)}->{private}/{protocol}")
            continue
        key = (address, protocol)
        group = groups.get(key)
        if group is None:
            groups[key] = [private, private]
        elif private == group[1] + 1:
            group[1] = private
        else:
            done.append(_range(key, group))
            groups[key] = [private, private]
    return ", ".join(done + [_range(key, group) for key, group in groups.items()] + mapped)


def _range(key: tuple[str, str], group: list[int]) -> str:
    address, protocol = key
    numbers = str(group[0]) if group[0] == group[1] else f"{group[0]}-{group[1]}"
    if address:
        numbers = f"{join_host_port(address, numbers)}->{numbers}"
    return f"{numbers}/{protocol}"
