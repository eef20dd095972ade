"""The `--network` flag and its companions: which networks a new container joins, and how."""

from __future__ import annotations

from sampan.cli.containers.fields import split_fields
from sampan.cli.containers.values import integer, is_mac_address
from sampan.cli.flags import Options

PREDEFINED = frozenset(["", "default", "bridge", "host", "none", "nat"])
# Flag, field of the network, and the two names of Docker's complaint about giving both.
COMPANIONS = (
    ("network-alias", "aliases", "--network-alias", "per-network alias"),
    ("link", "links", "--link", "per-network links"),
    ("ip", "ip", "--ip", "per-network IPv4 address"),
    ("ip6", "ip6", "--ip6", "per-network IPv6 address"),
    ("mac-address", "mac-address", "--mac-address", "per-network MAC address"),
    ("link-local-ip", "link-local-ips", "--link-local-ip", "per-network link-local IP addresses"),
)


class Attachment:
    """One network: its name and the settings of the endpoint."""

    __slots__ = ("driver_options", "priority", "settings", "target")

    def __init__(self, target: str) -> None:
        self.target = target
        self.settings: dict[str, str | list[str]] = {}
        self.driver_options: dict[str, str] = {}
        self.priority = 0


def parse_network(text: str) -> Attachment:
    """A name, or `name=net,alias=a,ip=10.0.0.2,…`. Raises ValueError in Docker's words."""
    key, equals, value = text.partition("=")
    if not equals or not _is_word(key[-1:]) or not _is_word(value[:1]):
        return Attachment(text)
    network = Attachment("")
    for field in split_fields(text):
        key, equals, value = field.lower().partition("=")
        if not equals or not key:
            raise ValueError(f"invalid field {field}")
        _set(network, key.strip(), value.strip())
    if not network.target:
        raise ValueError("network name/id is not specified")
    return network


def _is_word(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character == "_")


def _set(network: Attachment, key: str, value: str) -> None:
    match key:
        case "name":
            network.target = value
        case "alias":
            network.settings["aliases"] = [*network.settings.get("aliases", []), value]
        case "link-local-ip":
            network.settings["link-local-ips"] = [*network.settings.get("link-local-ips", []), value]
        case "ip" | "ip6" | "mac-address":
            network.settings[key] = value
        case "driver-opt":
            name, equals, content = value.partition("=")
            if not equals or not name:
                raise ValueError("invalid key value pair format in driver options")
            network.driver_options[name.strip()] = content.strip()
        case "gw-priority":
            try:
                network.priority = integer(value)
            except ValueError:
                raise ValueError(f"invalid gw-priority ({value}): invalid syntax") from None
        case _:
            raise ValueError(f"invalid field key {key}")


def user_defined(name: str) -> bool:
    return name not in PREDEFINED and not name.startswith("container:")


def network_mode(networks: list[Attachment]) -> str:
    return networks[0].target if networks else "default"


def endpoints(networks: list[Attachment], options: Options) -> dict[str, object]:
    """EndpointsConfig of the request. Raises ValueError."""
    found: dict[str, object] = {}
    if not networks:
        network = Attachment("default")
        _apply_flags(network, options)
        return {"default": _endpoint(network)}
    for index, network in enumerate(networks):
        if index == 0:
            _apply_flags(network, options)
        endpoint = _endpoint(network)
        if network.target in found:
            raise ValueError(f'network "{network.target}" is specified multiple times')
        if len(networks) == 1 and not (network.settings or network.driver_options or network.priority):
            continue  # nothing to say about it: older engines expect it that way
        found[network.target] = endpoint
    if len({user_defined(network.target) for network in networks}) > 1:
        raise ValueError(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
        )
    return found


def _apply_flags(network: Attachment, options: Options) -> None:
    """The flags without a network in their name belong to the first network."""
    for flag, field, old, new in COMPANIONS:
        value = options.get(flag)
        if not value:
            continue
        if network.settings.get(field):
            raise ValueError(f"conflicting options: cannot specify both {old} and {new}")
        if flag == "link" and network.target == "default":
            continue  # legacy links go by HostConfig
        network.settings[field] = list(value) if isinstance(value, list) else str(value)


def _endpoint(network: Attachment) -> dict[str, object]:
    settings = network.settings
    if not network.target.strip():
        raise ValueError("no name set for network")
    if not user_defined(network.target):
        if settings.get("aliases"):
            raise ValueError("network-scoped aliases are only supported for user-defined networks")
        if settings.get("links"):
            raise ValueError("links are only supported for user-defined networks")
    mac = settings.get("mac-address", "")
    if mac and not is_mac_address(str(mac)):
        raise ValueError(f"{mac} is not a valid mac address")
    addresses = {
        key: settings[field]
        for key, field in (("IPv4Address", "ip"), ("IPv6Address", "ip6"), ("LinkLocalIPs", "link-local-ips"))
        if settings.get(field)
    }
    return {
        "IPAMConfig": addresses or None,
        "Links": settings.get("links"),
        "Aliases": settings.get("aliases"),
        "MacAddress": mac,
        "DriverOpts": network.driver_options or None,
        "GwPriority": network.priority,
        "NetworkID": "",
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": None,
    }
