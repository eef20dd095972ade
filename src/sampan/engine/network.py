"""Containers on networks: what they ask for, what they get, and their files and documents about it.

Owns the meaning of a network mode and of endpoint settings: which networks a container is on, in which order,
and by which one it goes out. Which networks there are is `networkstore`'s business. A container on the
default bridge alone gets its device from its shim; for any other its network namespace is made here, before
it starts, since a resolver has to listen in it. What changes the kernel or the disk blocks, and is called in
threads.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from ipaddress import IPv4Address
from typing import Any

from sampan import errors
from sampan.engine import joining, networkdocuments
from sampan.engine.database import Database
from sampan.engine.joining import Peer
from sampan.engine.networkmodes import in_order, kind_of, names_on, wanted
from sampan.engine.networkrecord import BRIDGE, DRIVERS, HOST, NONE
from sampan.engine.networkstore import NetworkStore
from sampan.engine.record import Endpoints, Record, Status
from sampan.engine.schema import EndpointSettings
from sampan.engine.settings import Settings
from sampan.networks import files, sandbox
from sampan.networks.bridge import Wish
from sampan.networks.endpoint import Endpoint
from sampan.networks.ports import PortBinding, parse_bindings, port_map
from sampan.networks.resolver import Resolver, View
from sampan.records import dataclass, replace

Document = dict[str, Any]

_CONTAINER = "container:"


@dataclass(frozen=True, slots=True)
class Joined:
    """What a container got: its endpoints, and the shim's plan or a network namespace (a descriptor)."""

    endpoints: Endpoints
    plan: Document | None = None
    namespace: int | None = None


class Network:
    """The networks of one engine, for its containers."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.store = NetworkStore(settings, database)
        self._settings = settings
        self._resolver = Resolver()

    # --- at start and end ---

    def setup(self) -> list[str]:
        """Returns complaints for the log."""
        return self.store.setup()

    def restore(self, containers: Iterable[tuple[Record, Status]]) -> list[str]:
        """Take back what running containers have; the complaints are for the log."""
        running = list(containers)
        found = [document for _, status in running for document in status.endpoints.values()]
        complaints = self.store.restore(map(Endpoint.from_document, found))
        for record, status in running:
            for name, document in status.endpoints.items():
                self._introduce(name, Endpoint.from_document(document))
            try:
                self._serve_names(record, status)
            except (OSError, errors.SampanError) as error:
                complaints.append(f"container {record.short_id}: it has no resolver: {error}")
        return complaints

    def close(self) -> None:
        self._resolver.close()
        self.store.close()

    # --- containers ---

    def check(self, record: Record) -> None:
        """Raise InvalidArgument for ports, hosts and addresses that are none, in dockerd's words."""
        self._ports_wanted(record)
        for text in record.host_config.extra_hosts or ():
            files.parse_extra_host(text, "0.0.0.0")
        for name, settings in wanted(record).items():
            self.check_settings(name, settings)

    def join(self, record: Record) -> Joined:
        """Give a container that starts its places in its networks."""
        mode = kind_of(record)
        if mode == HOST or mode.startswith(_CONTAINER):
            return Joined({})
        places = wanted(record)
        if mode == NONE or not places:
            return Joined({}, {"mode": "loopback"})
        if list(places) == [BRIDGE]:
            endpoint = self._take_place(record, BRIDGE, places[BRIDGE], "eth0", publishes=True)
            return Joined({BRIDGE: endpoint.to_document()}, self.store.bridge(BRIDGE).plan(endpoint))
        with ExitStack() as undo:
            joined = self._join_several(record, places, undo)
            undo.pop_all()
        return joined

    def leave(self, container_id: str, endpoints: Endpoints) -> None:
        """Give it all back. Can run twice."""
        self._resolver.close_door(container_id)
        for document in endpoints.values():
            self._release(Endpoint.from_document(document))

    def _join_several(
        self, record: Record, places: Mapping[str, EndpointSettings], undo: ExitStack
    ) -> Joined:
        namespace = sandbox.create()
        undo.callback(os.close, namespace)
        undo.callback(self._resolver.close_door, record.id)
        way_out = self._way_out(places)
        endpoints: Endpoints = {}
        for number, name in enumerate(in_order(record, places)):
            publishes = name == way_out
            endpoint = self._take_place(record, name, places[name], f"eth{number}", publishes=publishes)
            undo.callback(self._release, endpoint)
            plan = self.store.bridge(name).plan(endpoint)
            sandbox.connect(namespace, plan if publishes else plan | {"gateways": []})
            endpoints[name] = endpoint.to_document()
        self._open_door(record, namespace, endpoints)
        return Joined(endpoints, None, namespace)

    def _take_place(
        self, record: Record, name: str, settings: EndpointSettings, interface: str, *, publishes: bool
    ) -> Endpoint:
        self.check_settings(name, settings)
        bridge = self.store.bridge(name)
        ipam = settings.ipam_config
        wish = Wish(
            address=IPv4Address(ipam.ipv4_address) if ipam is not None and ipam.ipv4_address else None,
            mac=settings.mac_address,
            interface=interface,
            names=names_on(record, settings),
        )
        ports = self._ports_wanted(record) if publishes else []
        endpoint = bridge.allocate(record.id, ports, record.name, wish=wish)
        try:
            bridge.publish(endpoint)
        except BaseException:
            bridge.release(endpoint)
            raise
        self._introduce(name, endpoint)
        return endpoint

    def _introduce(self, network: str, endpoint: Endpoint) -> None:
        """Let others on a network of the user's find it by its names; the default bridge has none."""
        if network not in DRIVERS:
            address = str(endpoint.address)
            self._resolver.names.add(endpoint.network, network, endpoint.id, address, endpoint.names)

    def _release(self, endpoint: Endpoint) -> None:
        self._resolver.names.remove(endpoint.network, endpoint.id)
        bridge = self.store.bridge_of(endpoint)
        if bridge is not None:
            bridge.release(endpoint)

    def _way_out(self, places: Mapping[str, EndpointSettings]) -> str:
        """The network that has the default route, and on which ports are published."""

        def order(name: str) -> tuple[bool, int]:
            record = self.store.record(name)
            return (record is not None and record.internal), -places[name].gw_priority

        return min(places, key=order)

    # --- while it runs ---

    def connect(self, record: Record, status: Status, name: str) -> Endpoints:
        """Put a running container on one more network, which its record names. Returns its endpoints."""
        namespace = joining.open_namespace(Peer(record, status), "network")
        try:
            taken = {document.get("interface", "eth0") for document in status.endpoints.values()}
            interface = next(one for number in range(1000) if (one := f"eth{number}") not in taken)
            publishes = not status.endpoints
            settings = wanted(record)[name]
            endpoint = self._take_place(record, name, settings, interface, publishes=publishes)
            try:
                plan = self.store.bridge(name).plan(endpoint)
                sandbox.connect(namespace, plan | {"gateways": []})
                for gateway in plan["gateways"]:
                    sandbox.set_gateway(namespace, gateway, interface)
                endpoints = status.endpoints | {name: endpoint.to_document()}
                self._open_door(record, namespace, endpoints)
            except BaseException:
                sandbox.disconnect(endpoint.host_interface)
                self._release(endpoint)
                raise
        finally:
            os.close(namespace)
        return endpoints

    def disconnect(self, record: Record, status: Status, name: str) -> Endpoints:
        """Take a running container off a network. Returns the endpoints that it keeps."""
        endpoints = dict(status.endpoints)
        endpoint = Endpoint.from_document(endpoints.pop(name))
        sandbox.disconnect(endpoint.host_interface)
        self._release(endpoint)
        self._resolver.change(record.id, self._view(record, endpoints))
        namespace = joining.open_namespace(Peer(record, status), "network")
        try:
            for other, document in endpoints.items():
                kept = Endpoint.from_document(document)
                for gateway in self.store.bridge(other).plan(kept)["gateways"]:
                    sandbox.set_gateway(namespace, gateway, kept.interface)
        finally:
            os.close(namespace)
        return endpoints

    def rename(self, record: Record, endpoints: Endpoints) -> Endpoints:
        """Let others find a running container by its new name. Returns its endpoints with it."""
        renamed = {}
        for network, document in endpoints.items():
            settings = wanted(record).get(network, EndpointSettings())
            endpoint = replace(Endpoint.from_document(document), names=names_on(record, settings))
            self._introduce(network, endpoint)
            renamed[network] = endpoint.to_document()
        return renamed

    # --- names ---

    def _serve_names(self, record: Record, status: Status) -> None:
        if not any(name not in DRIVERS for name in status.endpoints):
            return
        namespace = joining.open_namespace(Peer(record, status), "network")
        try:
            self._open_door(record, namespace, status.endpoints)
        finally:
            os.close(namespace)

    def _open_door(self, record: Record, namespace: int, endpoints: Endpoints) -> None:
        """Answer its questions, if it is on a network that has names."""
        view = self._view(record, endpoints)
        if self._resolver.has_door(record.id):
            self._resolver.change(record.id, view)
        elif view.networks:
            self._resolver.open(record.id, sandbox.open_door(namespace), view)

    def _view(self, record: Record, endpoints: Endpoints) -> View:
        networks = tuple(document["network"] for name, document in endpoints.items() if name not in DRIVERS)
        records = [self.store.record(name) for name in endpoints]
        if all(one is not None and one.internal for one in records):
            return View(networks, ())  # no question leaves an internal network
        own = tuple(record.host_config.dns or self._settings.dns)
        return View(networks, own or None)

    # --- files ---

    def write_files(self, record: Record, folder: str, endpoints: Endpoints) -> None:
        """hosts, hostname and resolv.conf as this start wants them."""
        config, host_config = record.config, record.host_config
        asked = files.Resolution(
            tuple(host_config.dns or self._settings.dns),
            tuple(host_config.dns_search or self._settings.dns_search),
            tuple(host_config.dns_options or self._settings.dns_options),
        )
        extra = host_config.extra_hosts or []
        host_file = files.read_host_resolv_conf()
        if kind_of(record) == HOST:
            hosts = _host_hosts(extra)
            resolv_conf = host_file
            if asked != files.Resolution():
                resolv_conf = files.resolv_conf(host_file, asked, ipv6=True)
        else:
            found = list(endpoints.values())
            gateway = found[0]["gateway"] if found else ""
            addresses = [document["address"] for document in found]
            hosts = files.hosts(config.hostname, config.domainname, addresses, extra, gateway)
            if any(name not in DRIVERS for name in endpoints):
                resolv_conf = files.own_resolv_conf(host_file, asked, sandbox.RESOLVER)
            else:
                resolv_conf = files.resolv_conf(host_file, asked)
        for name, text in (
            ("hosts", hosts),
            ("hostname", files.hostname(config.hostname)),
            ("resolv.conf", resolv_conf),
        ):
            # In place, and not whole: what is read through a running container's mount stays the same file.
            with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
                file.write(text)

    # --- checks ---

    def check_settings(self, name: str, settings: EndpointSettings) -> None:
        """Raises InvalidArgument for what cannot be asked for on a network."""
        ipam = settings.ipam_config
        if ipam is not None and ipam.ipv4_address:
            self._check_address(name, ipam.ipv4_address)
        if settings.aliases and name in DRIVERS:
            raise errors.InvalidArgument(
                "network-scoped alias is supported only for containers in user defined networks"
            )

    def _check_address(self, name: str, address: str) -> None:
        try:
            IPv4Address(address)
        except ValueError:
            raise errors.InvalidArgument(f"invalid IPv4 address: {address}") from None
        if name in DRIVERS:
            raise errors.InvalidArgument(
                "user specified IP address is supported on user defined networks only"
            )
        record = self.store.record(name)
        if record is not None and not record.has_own_subnet:
            raise errors.InvalidArgument(
                "user specified IP address is supported only when connecting to networks with user "
                "configured subnets"
            )

    def _ports_wanted(self, record: Record) -> list[PortBinding]:
        host_config = record.host_config
        bindings = {
            port: [{"HostIp": binding.host_ip, "HostPort": binding.host_port} for binding in given or ()]
            for port, given in (host_config.port_bindings or {}).items()
        }
        return parse_bindings(record.config.exposed_ports or {}, bindings, host_config.publish_all_ports)

    # --- documents ---

    def settings_document(self, record: Record, endpoints: Endpoints, pid: int) -> Document:
        """`NetworkSettings` of a container's inspect document."""
        settings: Document = {
            "Bridge": "",
            "SandboxID": hashlib.sha256(f"{record.id} {pid}".encode()).hexdigest() if pid else "",
            "HairpinMode": False,
            "LinkLocalIPv6Address": "",
            "LinkLocalIPv6PrefixLen": 0,
            "Ports": _ports(record, endpoints, running=bool(pid)),
            "SandboxKey": f"/proc/{pid}/ns/net" if pid else "",
            "SecondaryIPAddresses": None,
            "SecondaryIPv6Addresses": None,
        }
        networks = self.networks_document(record, endpoints, running=bool(pid))
        on_bridge = networks.get(BRIDGE, networkdocuments.EMPTY_ENDPOINT)
        for key in _TOP_LEVEL:
            settings[key] = on_bridge[key]
        settings["Networks"] = networks
        return settings

    def networks_document(self, record: Record, endpoints: Endpoints, *, running: bool) -> Document:
        """`Networks`, in inspect and list; none for a container in another's network."""
        mode = kind_of(record)
        if mode.startswith(_CONTAINER):
            return {}
        places = {mode: EndpointSettings()} if mode in (HOST, NONE) else wanted(record)
        documents = {}
        for name, settings in places.items():
            user = name not in DRIVERS
            identifier = self.store.identifier(name) if running or user else ""
            documents[name] = networkdocuments.endpoint(settings, identifier, endpoints.get(name), user)
        return documents

    def port_list(self, record: Record, endpoints: Endpoints, *, running: bool) -> list[Document]:
        """`Ports` of the list of containers."""
        found: list[Document] = []
        for key, places in _ports(record, endpoints, running=running).items():
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


def _ports(record: Record, endpoints: Endpoints, *, running: bool) -> dict[str, Any]:
    if not running or not endpoints:
        return {}
    published = [port for document in endpoints.values() for port in Endpoint.from_document(document).ports]
    return dict(port_map(published, record.config.exposed_ports or {}))


def _host_hosts(extra: Sequence[str]) -> str:
    try:
        with open("/etc/hosts", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except FileNotFoundError:
        text = ""
    pairs = (files.parse_extra_host(line, "127.0.0.1") for line in extra)
    return text + "".join(f"{address}\t{name}\n" for name, address in pairs)
