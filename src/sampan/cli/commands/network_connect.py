"""`network connect`: bring a container to a network."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import IN_PATHS, quote
from sampan.cli.failure import Failure
from sampan.cli.flags import Command, Options


def run(context: Context, options: Options, arguments: list[str]) -> int:
    network, container = arguments
    driver_options = {}
    for entry in options.items("driver-opt"):
        name, equals, value = entry.partition("=")
        if not equals or not name:
            raise Failure("invalid key/value pair format in driver options")
        driver_options[name] = value
    addresses = {
        field: found
        for field, found in (
            ("IPv4Address", options.text("ip")),
            ("IPv6Address", options.text("ip6")),
            ("LinkLocalIPs", options.items("link-local-ip")),
        )
        if found
    }
    endpoint = {
        "IPAMConfig": addresses or None,
        "Links": options.items("link") or None,
        "Aliases": options.items("alias") or None,
        "DriverOpts": driver_options or None,
        "GwPriority": options.number("gw-priority"),
    }
    body = {"Container": container, "EndpointConfig": endpoint}
    context.engine.post(f"/networks/{quote(network, IN_PATHS)}/connect", body=body)
    return 0


COMMAND = Command(
    "[OPTIONS] NETWORK CONTAINER",
    "Connect a container to a network",
    run,
    flags=(
        ("alias", "", "strings", "Add network-scoped alias for the container"),
        ("driver-opt", "", "strings", "driver options for the network"),
        (
            "gw-priority",
            "",
            "int",
            "Highest gw-priority provides the default gateway. Accepts positive and negative values.",
        ),
        ("ip", "", "string", 'IPv4 address (e.g., "172.30.100.104")'),
        ("ip6", "", "string", 'IPv6 address (e.g., "2001:db8::33")'),
        ("link", "", "list", "Add link to another container"),
        ("link-local-ip", "", "strings", "Add a link-local address for the container"),
    ),
    minimum=2,
    maximum=2,
)
