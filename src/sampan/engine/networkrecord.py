"""A network of the user's, as the database keeps it; and how a request becomes one.

Owns dockerd's checks and words (moby's daemon/network.go and libnetwork's drivers/bridge). Pure: which subnet
is free is found out when the bridge is made.
"""

from __future__ import annotations

import secrets
import time
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import msgspec

from sampan import errors
from sampan.engine.schema import IPAM, IPAMConfig, NetworkCreate
from sampan.networks import rules
from sampan.networks.bridge import BridgeConfig

BRIDGE, HOST, NONE = "bridge", "host", "none"
DRIVERS = {BRIDGE: "bridge", HOST: "host", NONE: "null"}

_PREFIX = "com.docker.network."
_NAME, _MTU = f"{_PREFIX}bridge.name", f"{_PREFIX}driver.mtu"
_ICC, _MASQUERADE = f"{_PREFIX}bridge.enable_icc", f"{_PREFIX}bridge.enable_ip_masquerade"
_BINDING = f"{_PREFIX}bridge.host_binding_ipv4"
_OPTIONS = frozenset((_NAME, _MTU, _ICC, _MASQUERADE, _BINDING))

_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


class NetworkRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`created` is in nanoseconds since 1970. `address` is the bridge's, with its prefix length."""

    id: str
    name: str
    created: int
    ipam: IPAM
    address: str = ""
    internal: bool = False
    attachable: bool = False
    options: dict[str, str] = {}
    labels: dict[str, str] = {}

    @property
    def has_own_subnet(self) -> bool:
        """Whether the user has chosen the subnet: only then can containers choose addresses."""
        return any(config.subnet for config in self.ipam.config or ())

    def bridge_config(self, mtu: int) -> BridgeConfig:
        """`mtu`: of the engine, for a network without its own."""
        config = _config(self.ipam)
        return BridgeConfig(
            name=self.options.get(_NAME) or f"br-{self.id[:12]}",
            bip=self.address,
            mtu=int(self.options.get(_MTU) or mtu),
            id=self.id,
            title=self.name,
            ip_range=IPv4Network(config.ip_range) if config.ip_range else None,
            reserved=tuple(map(IPv4Address, (config.auxiliary_addresses or {}).values())),
            policy=rules.Policy(
                internal=self.internal,
                icc=self.options.get(_ICC, "true") in _TRUE,
                masquerade=self.options.get(_MASQUERADE, "true") in _TRUE,
            ),
            host_binding=self.options.get(_BINDING, ""),
        )


def parse(body: NetworkCreate) -> NetworkRecord:
    """Raises InvalidArgument, PermissionDenied, NotFound, Unsupported."""
    name = body.name
    if not name.strip() or name.startswith("container:"):
        raise errors.InvalidArgument(f"invalid network name {name!r}" if name else "network name is empty")
    if name in DRIVERS or name == "default":
        raise errors.PermissionDenied(f"operation is not permitted on predefined {name} network")
    _check_driver(body)
    ipam = body.ipam or IPAM()
    if ipam.driver not in ("", "default"):
        raise errors.NotFound(f'IPAM driver "{ipam.driver}" not found')
    config = _checked(_config(ipam))
    record = NetworkRecord(
        id=secrets.token_hex(32),
        name=name,
        created=time.time_ns(),
        ipam=IPAM(driver="default", options=ipam.options or {}, config=[config] if config.subnet else []),
        address=_address(config),
        internal=body.internal,
        attachable=body.attachable,
        options=body.options or {},
        labels=body.labels or {},
    )
    _check_options(record.options)
    return record


def _check_driver(body: NetworkCreate) -> None:
    driver = body.driver or BRIDGE
    if driver in (HOST, "null"):
        raise errors.PermissionDenied(f'only one instance of "{driver}" network is allowed')
    if driver in ("macvlan", "ipvlan", "overlay"):
        raise errors.Unsupported(f"networks of the driver {driver} are not supported yet (--driver)")
    if driver != BRIDGE:
        raise errors.NotFound(f"could not find plugin {driver} in v1 plugin registry: plugin not found")
    for is_set, what in (
        (body.ingress, "networks of a swarm are not supported (--ingress)"),
        (body.scope not in ("", "local"), f"networks of the scope {body.scope} are not supported (--scope)"),
        (body.config_only, "networks that are only a configuration are not supported yet (--config-only)"),
        (
            body.config_from is not None and body.config_from.network,
            "networks by another's configuration are not supported yet (--config-from)",
        ),
        (body.enable_ipv6, "networks with IPv6 are not supported yet (--ipv6)"),
        (body.enable_ipv4 is False, "networks without IPv4 are not supported yet (--ipv4=false)"),
    ):
        if is_set:
            raise errors.Unsupported(what)


def _config(ipam: IPAM) -> IPAMConfig:
    return ipam.config[0] if ipam.config else IPAMConfig()


def _checked(config: IPAMConfig) -> IPAMConfig:
    if not config.subnet:
        if config.gateway or config.ip_range or config.auxiliary_addresses:
            raise errors.InvalidArgument("invalid network config: a subnet is needed")
        return config
    if ":" in config.subnet:
        raise errors.Unsupported("networks with IPv6 are not supported yet (--subnet)")
    try:
        subnet = IPv4Network(config.subnet)
    except ValueError:
        if "/" in config.subnet and _is_interface(config.subnet):
            wanted = IPv4Interface(config.subnet).network
            raise errors.InvalidArgument(
                f"invalid network config:\ninvalid subnet {config.subnet}: it should be {wanted}"
            ) from None
        raise errors.InvalidArgument(f"invalid subnet {config.subnet}: invalid CIDR block notation") from None
    if subnet.prefixlen > 30:
        raise errors.InvalidArgument(f"invalid subnet {subnet}: no room for a gateway and a container")
    for what, text in (
        ("gateway", config.gateway),
        *(("auxiliary address", text) for text in (config.auxiliary_addresses or {}).values()),
    ):
        if text and _ip(what, text) not in subnet:
            raise errors.InvalidArgument(f"invalid {what} {text}: parent subnet {subnet} does not contain it")
    if config.ip_range:
        try:
            inside = IPv4Network(config.ip_range).subnet_of(subnet)
        except ValueError:
            raise errors.InvalidArgument(
                f"invalid ip-range {config.ip_range}: invalid CIDR block notation"
            ) from None
        if not inside:
            raise errors.InvalidArgument(
                f"invalid ip-range {config.ip_range}: parent subnet {subnet} does not contain it"
            )
    return config


def _is_interface(text: str) -> bool:
    try:
        IPv4Interface(text)
    except ValueError:
        return False
    return True


def _ip(what: str, text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError:
        raise errors.InvalidArgument(f"invalid {what} {text}: invalid address") from None


def _address(config: IPAMConfig) -> str:
    """The bridge's address, if the subnet is given: the gateway, or the first address of the range."""
    if not config.subnet:
        return ""
    subnet = IPv4Network(config.subnet)
    taken = set((config.auxiliary_addresses or {}).values())
    first = next(str(address) for address in subnet.hosts() if str(address) not in taken)
    return f"{config.gateway or first}/{subnet.prefixlen}"


def _check_options(options: dict[str, str]) -> None:
    for name, value in options.items():
        if name not in _OPTIONS:
            raise errors.Unsupported(f"the network option {name} is not supported yet (--opt {name}={value})")
        if name in (_ICC, _MASQUERADE) and value not in _TRUE | _FALSE:
            raise errors.InvalidArgument(f"failed to parse {name} value: {value} (must be true or false)")
        if name == _MTU and not (value.isascii() and value.isdigit() and 68 <= int(value) <= 65535):
            raise errors.InvalidArgument(f"failed to parse {name} value: {value} (must be 68 to 65535)")
        if name == _BINDING:
            _ip("host binding address", value)
