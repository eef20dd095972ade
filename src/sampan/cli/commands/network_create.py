"""`network create`: make a network."""

from __future__ import annotations

from sampan.cli.commands.volume_create import pairs
from sampan.cli.context import Context
from sampan.cli.failure import Failure
from sampan.cli.flags import Command, Options


def run(context: Context, options: Options, arguments: list[str]) -> int:
    body: dict[str, object] = {
        "Name": arguments[0],
        "Driver": options.text("driver"),
        "Scope": options.text("scope"),
        "Internal": options.flag("internal"),
        "Attachable": options.flag("attachable"),
        "Ingress": options.flag("ingress"),
        "ConfigOnly": options.flag("config-only"),
        "ConfigFrom": {"Network": options.text("config-from")} if options.text("config-from") else None,
        "IPAM": {
            "Driver": options.text("ipam-driver"),
            "Options": pairs(_checked(options, "ipam-opt")),
            "Config": subnets(options),
        },
        "Options": pairs(_checked(options, "opt")),
        "Labels": pairs(options.items("label")),
    }
    for flag, field in (("ipv4", "EnableIPv4"), ("ipv6", "EnableIPv6")):
        if flag in options.changed:
            body[field] = options.flag(flag)
    made = context.engine.post("/networks/create", body=body)
    assert isinstance(made, dict)
    context.line(str(made["Id"]))
    return 0


def _checked(options: Options, name: str) -> list[str]:
    for entry in options.items(name):
        if "=" not in entry:
            raise Failure(f"{entry} must be formatted as key=value")
    return options.items(name)


def subnets(options: Options) -> list[dict[str, object]]:
    """--subnet with the --ip-range, --gateway and --aux-address that lie in each. Raises Failure."""
    ranges, gateways = options.items("ip-range"), options.items("gateway")
    found: dict[str, dict[str, object]] = {}
    for subnet in options.items("subnet"):
        for other in found:
            if _contains(subnet, other) or _contains(other, subnet):
                raise Failure("multiple overlapping subnet configuration is not supported")
        found[subnet] = {"Subnet": subnet}
    if len(found) < len(ranges) or len(found) < len(gateways):
        raise Failure("every ip-range or gateway must have a corresponding subnet")
    for what, plural, field, texts in (
        ("range", "ranges", "IPRange", ranges),
        ("gateway", "gateways", "Gateway", gateways),
    ):
        for text in texts:
            config = _holder(found, text, what)
            if field in config:
                raise Failure(
                    f"cannot configure multiple {plural} ({text}, {config[field]}) "
                    f"on the same subnet ({config['Subnet']})"
                )
            config[field] = text
    for name, address in pairs(_checked(options, "aux-address")).items():
        config = _holder(found, address, "aux-address")
        others = config.setdefault("AuxiliaryAddresses", {})
        assert isinstance(others, dict)
        others[name] = address
    return list(found.values())


def _holder(found: dict[str, dict[str, object]], text: str, what: str) -> dict[str, object]:
    for subnet, config in found.items():
        if _contains(subnet, text):
            return config
    raise Failure(f"no matching subnet for {what} {text}")


def _contains(subnet: str, text: str) -> bool:
    """Whether the first address of `text` is in the subnet. What is no address, the engine will tell."""
    import ipaddress

    try:
        return ipaddress.ip_address(text.partition("/")[0]) in ipaddress.ip_network(subnet, strict=False)
    except ValueError:
        return False


COMMAND = Command(
    "[OPTIONS] NETWORK",
    "Create a network",
    run,
    flags=(
        ("attachable", "", "bool", "Enable manual container attachment"),
        (
            "aux-address",
            "",
            "map",
            "Auxiliary IPv4 or IPv6 addresses used by Network driver (default map[])",
        ),
        ("config-from", "", "string", "The network from which to copy the configuration"),
        ("config-only", "", "bool", "Create a configuration only network"),
        ("driver", "d", "string", 'Driver to manage the Network (default "bridge")', "bridge"),
        ("gateway", "", "strings", "IPv4 or IPv6 Gateway for the master subnet"),
        ("ingress", "", "bool", "Create swarm routing-mesh network"),
        ("internal", "", "bool", "Restrict external access to the network"),
        ("ip-range", "", "strings", "Allocate container ip from a sub-range"),
        ("ipam-driver", "", "string", 'IP Address Management Driver (default "default")', "default"),
        ("ipam-opt", "", "map", "Set IPAM driver specific options (default map[])"),
        ("ipv4", "", "bool", "Enable or disable IPv4 address assignment (default true)", True),
        ("ipv6", "", "bool", "Enable or disable IPv6 address assignment"),
        ("label", "", "list", "Set metadata on a network"),
        ("opt", "o", "map", "Set driver specific options (default map[])"),
        ("scope", "", "string", "Control the network's scope"),
        ("subnet", "", "strings", "Subnet in CIDR format that represents a network segment"),
    ),
    minimum=1,
    maximum=1,
)
