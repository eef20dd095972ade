"""Docker's predefined networks, as the engine uses them: bridge, host, none, and those of other containers.

Owns what a network mode means for a container's files, its shim's network plan and its documents; the
bridge itself is `sampan.networks`'. What changes the kernel or the disk blocks, and is called in threads.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sampan import errors
from sampan.engine.database import Database
from sampan.engine.record import Record
from sampan.engine.settings import Settings
from sampan.networks import files
from sampan.networks.bridge import BridgeConfig, BridgeNetwork
from sampan.networks.endpoint import Endpoint
from sampan.networks.ports import parse_bindings, port_map
from sampan.records import dataclass
from sampan.wire import gotime

Document = dict[str, Any]
Filters = Mapping[str, Sequence[str]]

BRIDGE, HOST, NONE = "bridge", "host", "none"
_CONTAINER = "container:"
DRIVERS = {BRIDGE: "bridge", HOST: "host", NONE: "null"}

_EMPTY_ENDPOINT: Document = {
    "IPAMConfig": None,
    "Links": None,
    "Aliases": None,
    "NetworkID": "",
    "EndpointID": "",
    "Gateway": "",
    "IPAddress": "",
    "IPPrefixLen": 0,
    "IPv6Gateway": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
    "MacAddress": "",
    "DriverOpts": None,
    "GwPriority": 0,
    "DNSNames": None,
}

_FILTERS = frozenset(("dangling", "driver", "id", "label", "name", "scope", "type"))


@dataclass(frozen=True, slots=True)
class Joined:
    """What a container got: its endpoint, if its network has any, and the shim's plan."""

    endpoint: Document | None
    plan: Document | None


class Network:
    """The networks of one engine."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._bridge = BridgeNetwork(BridgeConfig(settings.bridge, settings.bip, settings.mtu))
        self._created = int(database.fact("created", str(time.time_ns())))

    # --- at start and end ---

    def setup(self) -> None:
        self._bridge.setup()

    def restore(self, endpoints: Iterable[Document]) -> list[str]:
        """Take back what running containers have; the complaints are for the log."""
        return self._bridge.restore(Endpoint.from_document(document) for document in endpoints)

    def close(self) -> None:
        self._bridge.close()

    # --- containers ---

    def check(self, record: Record) -> None:
        """Raise InvalidArgument for ports and hosts that are none, in dockerd's words."""
        self._wishes(record)
        for text in record.host_config.extra_hosts or ():
            files.parse_extra_host(text, "0.0.0.0")

    def join(self, record: Record) -> Joined:
        """Give a container that starts its place in the network."""
        mode = kind_of(record)
        if mode == NONE:
            return Joined(None, {"mode": "loopback"})
        if mode == HOST or mode.startswith(_CONTAINER):
            return Joined(None, None)
        if mode != BRIDGE:
            raise errors.NotFound(f"network {mode} not found")
        endpoint = self._bridge.allocate(record.id, self._wishes(record), record.name)
        try:
            self._bridge.publish(endpoint)
            return Joined(endpoint.to_document(), self._bridge.plan(endpoint))
        except BaseException:
            self._bridge.release(endpoint)
            raise

    def leave(self, endpoint: Document | None) -> None:
        """Give it back. Can run twice."""
        if endpoint is not None:
            self._bridge.release(Endpoint.from_document(endpoint))

    def write_files(self, record: Record, folder: str, endpoint: Document | None) -> None:
        """hosts, hostname and resolv.conf as this start wants them."""
        config, host_config = record.config, record.host_config
        wanted = files.Resolution(
            tuple(host_config.dns or self._settings.dns),
            tuple(host_config.dns_search or self._settings.dns_search),
            tuple(host_config.dns_options or self._settings.dns_options),
        )
        extra = host_config.extra_hosts or []
        if kind_of(record) == HOST:
            hosts = _host_hosts(extra)
            resolv_conf = files.read_host_resolv_conf()
            if wanted != files.Resolution():
                resolv_conf = files.resolv_conf(resolv_conf, wanted, ipv6=True)
        else:
            address, gateway = (endpoint["address"], endpoint["gateway"]) if endpoint else ("", "")
            hosts = files.hosts(config.hostname, config.domainname, address, extra, gateway)
            resolv_conf = files.resolv_conf(files.read_host_resolv_conf(), wanted)
        for name, text in (
            ("hosts", hosts),
            ("hostname", files.hostname(config.hostname)),
            ("resolv.conf", resolv_conf),
        ):
            # In place, and not whole: what is read through a running container's mount stays the same file.
            with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
                file.write(text)

    def _wishes(self, record: Record) -> list[Any]:
        host_config = record.host_config
        bindings = {
            port: [{"HostIp": binding.host_ip, "HostPort": binding.host_port} for binding in wanted or ()]
            for port, wanted in (host_config.port_bindings or {}).items()
        }
        return parse_bindings(record.config.exposed_ports or {}, bindings, host_config.publish_all_ports)

    # --- documents ---

    def identifier(self, name: str) -> str:
        if name == BRIDGE:
            return self._bridge.id
        # Its own for each engine, and the same after a restart.
        return hashlib.sha256(f"{name} {self._created}".encode()).hexdigest()

    def settings_document(self, record: Record, endpoint: Document | None, pid: int) -> Document:
        """`NetworkSettings` of a container's inspect document."""
        own = _endpoint_document(endpoint)
        ports = _ports(record, endpoint, running=bool(pid))
        settings: Document = {
            "Bridge": "",
            "SandboxID": hashlib.sha256(f"{record.id} {pid}".encode()).hexdigest() if pid else "",
            "HairpinMode": False,
            "LinkLocalIPv6Address": "",
            "LinkLocalIPv6PrefixLen": 0,
            "Ports": ports,
            "SandboxKey": f"/proc/{pid}/ns/net" if pid else "",
            "SecondaryIPAddresses": None,
            "SecondaryIPv6Addresses": None,
        }
        on_bridge = own if endpoint is not None else _EMPTY_ENDPOINT
        for key in _TOP_LEVEL:
            settings[key] = on_bridge[key]
        settings["Networks"] = self.networks_document(record, endpoint, running=bool(pid))
        return settings

    def networks_document(self, record: Record, endpoint: Document | None, *, running: bool) -> Document:
        """`Networks`, in inspect and list: one entry, none for a container in another's network."""
        name = kind_of(record)
        if name.startswith("container:"):
            return {}
        document = _endpoint_document(endpoint)
        if running and name in DRIVERS:
            document = document | {"NetworkID": self.identifier(name)}
        return {name: document}

    def port_list(self, record: Record, endpoint: Document | None, *, running: bool) -> list[Document]:
        """`Ports` of the list of containers."""
        found: list[Document] = []
        for key, places in _ports(record, endpoint, running=running).items():
            number, _, protocol = key.partition("/")
            if places is None:
                found.append({"PrivatePort": int(number), "Type": protocol})
            for place in places or ():
                found.append(
                    {
                        "IP": place["HostIp"],
                        "PrivatePort": int(number),
                        "PublicPort": int(place["HostPort"]),
                        "Type": protocol,
                    }
                )
        return found

    def list(self, filters: Filters, names: Mapping[str, str]) -> list[Document]:
        """`GET /networks`. `names` are those of the containers, by id."""
        for key in filters:
            if key not in _FILTERS:
                raise errors.InvalidArgument(f"Invalid filter '{key}'")
        documents = [self.inspect(name, names) | {"Containers": {}} for name in (BRIDGE, HOST, NONE)]
        return [document for document in documents if _matches(document, filters)]

    def inspect(self, reference: str, names: Mapping[str, str]) -> Document:
        """`GET /networks/{name}`. Raises NotFound."""
        name = next(
            (
                name
                for name in DRIVERS
                if reference == name or (reference and self.identifier(name).startswith(reference))
            ),
            None,
        )
        if name is None:
            raise errors.NotFound(f"network {reference} not found")
        created = gotime.format_rfc3339(self._created)
        if name == BRIDGE:
            document = self._bridge.inspect(names)
        else:
            document = _plain_network(name, self.identifier(name))
        return {"Name": document["Name"], "Id": document["Id"], "Created": created} | document


_TOP_LEVEL = (
    "EndpointID",
    "Gateway",
    "GlobalIPv6Address",
    "GlobalIPv6PrefixLen",
    "IPAddress",
    "IPPrefixLen",
    "IPv6Gateway",
    "MacAddress",
)


def kind_of(record: Record) -> str:
    """The network of a container: a name, or `container:ID`."""
    mode = record.host_config.network_mode
    return BRIDGE if mode in ("", "default") else mode


def _endpoint_document(endpoint: Document | None) -> Document:
    if endpoint is None:
        return _EMPTY_ENDPOINT
    return _EMPTY_ENDPOINT | {
        "MacAddress": endpoint["mac"],
        "EndpointID": endpoint["id"],
        "Gateway": endpoint["gateway"],
        "IPAddress": endpoint["address"],
        "IPPrefixLen": endpoint["prefix_length"],
    }


def _ports(record: Record, endpoint: Document | None, *, running: bool) -> dict[str, Any]:
    if not running or kind_of(record) != BRIDGE:
        return {}
    published = Endpoint.from_document(endpoint).ports if endpoint is not None else ()
    return dict(port_map(published, record.config.exposed_ports or {}))


def _host_hosts(extra: Sequence[str]) -> str:
    try:
        with open("/etc/hosts", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except FileNotFoundError:
        text = ""
    pairs = (files.parse_extra_host(line, "127.0.0.1") for line in extra)
    return text + "".join(f"{address}\t{name}\n" for name, address in pairs)


def _plain_network(name: str, identifier: str) -> Document:
    return {
        "Name": name,
        "Id": identifier,
        "Scope": "local",
        "Driver": DRIVERS[name],
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": []},
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": {},
        "Labels": {},
    }


def _matches(document: Document, filters: Filters) -> bool:
    """The networks are all predefined: `builtin`, in use for ever, without labels."""

    def has(key: str, *values: str) -> bool:
        wanted = filters.get(key)
        return not wanted or any(value in wanted for value in values)

    names = filters.get("name") or ("",)
    identifiers = filters.get("id") or ("",)
    return (
        has("driver", document["Driver"])
        and has("scope", document["Scope"])
        and has("type", "builtin")
        and has("dangling", "0", "false", "False")
        and not filters.get("label")
        and any(name in document["Name"] for name in names)
        and any(document["Id"].startswith(identifier) for identifier in identifiers)
    )
