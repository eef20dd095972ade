"""`port`: the published ports of a container, or of one of its ports."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import container
from sampan.cli.failure import Failure
from sampan.cli.flags import Command, Options, parse_integer
from sampan.cli.portlists import join_host_port


def run(context: Context, options: Options, arguments: list[str]) -> int:
    name = arguments[0]
    document = context.engine.get(container(name) + "/json")
    assert isinstance(document, dict)
    ports = (document.get("NetworkSettings") or {}).get("Ports") or {}
    if len(arguments) > 1:
        bindings = ports.get(_port_key(arguments[1]))
        if not bindings:
            raise Failure(f"Error: No public port '{arguments[1]}' published for {name}")
        lines = [_address(binding) for binding in bindings]
    else:
        lines = [f"{port} -> {_address(binding)}" for port, found in ports.items() for binding in found or ()]
    if lines:
        context.line("\n".join(sorted(lines, key=natural)))
    return 0


def _address(binding: dict[str, str]) -> str:
    return join_host_port(binding.get("HostIp", ""), binding.get("HostPort", ""))


def _port_key(text: str) -> str:
    port, _, protocol = text.partition("/")
    try:
        if not port.isdigit():
            raise ValueError(f'strconv.ParseUint: parsing "{port}": invalid syntax')
        parse_integer(port.lstrip("0") or "0", 16, signed=False)
    except ValueError as error:
        raise Failure(f"Error: invalid port ({port}): {error}") from None
    return f"{port}/{protocol or 'tcp'}"


def natural(text: str) -> list[tuple[int, int]]:
    """A key that orders numbers inside text by their value: 80/tcp before 443/tcp."""
    key = []
    index = 0
    while index < len(text):
        end = index + 1
        if text[index].isdigit():
            while text[end : end + 1].isdigit():
                end += 1
            key.append((ord("0"), int(text[index:end])))
        else:
            key.append((ord(text[index]), 0))
        index = end
    return key


COMMAND = Command(
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    "List port mappings or a specific mapping for the container",
    run,
    aliases=("container port", "port"),
    minimum=1,
    maximum=2,
)
