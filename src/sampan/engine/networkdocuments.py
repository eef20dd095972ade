"""Networks in the API's form, and the networks in a container's documents. Pure.

Owns the field names, and what Docker writes where there is nothing to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sampan.engine.networkrecord import DRIVERS, NetworkRecord
from sampan.engine.schema import EndpointSettings
from sampan.networks.bridge import BridgeNetwork
from sampan.networks.endpoint import Endpoint
from sampan.wire import gotime

Document = dict[str, Any]

EMPTY_ENDPOINT: Document = {
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


def plain(name: str, identifier: str, created: int) -> Document:
    """A network without a bridge: host, none."""
    return _document(name, identifier, created, DRIVERS[name], [])


def default(bridge: BridgeNetwork, created: int, names: Mapping[str, str]) -> Document:
    """The default bridge. `names` are those of the containers, by id."""
    options = {
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": "true",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
        "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
        "com.docker.network.bridge.name": bridge.config.name,
        "com.docker.network.driver.mtu": str(bridge.config.mtu),
    }
    return _document("bridge", bridge.id, created, "bridge", [_subnet(bridge)]) | {
        "Containers": _members(bridge.endpoints, names),
        "Options": options,
    }


def of_user(record: NetworkRecord, bridge: BridgeNetwork | None, names: Mapping[str, str]) -> Document:
    """`bridge` is None if it could not be made again at start."""
    given = record.ipam.config or []
    config: list[Document] = []
    if given:
        first = given[0]
        config = [
            {
                "Subnet": first.subnet,
                **({"IPRange": first.ip_range} if first.ip_range else {}),
                "Gateway": record.address.partition("/")[0],
                **({"AuxiliaryAddresses": first.auxiliary_addresses} if first.auxiliary_addresses else {}),
            }
        ]
    elif bridge is not None:
        config = [_subnet(bridge)]
    document = _document(record.name, record.id, record.created, "bridge", config)
    document["IPAM"]["Options"] = record.ipam.options or {}
    return document | {
        "Internal": record.internal,
        "Attachable": record.attachable,
        "Containers": {} if bridge is None else _members(bridge.endpoints, names),
        "Options": record.options,
        "Labels": record.labels,
    }


def endpoint(settings: EndpointSettings, network_id: str, given: Document | None, user: bool) -> Document:
    """A container's place on a network. `given`: what it has there while it runs."""
    ipam = settings.ipam_config
    document = EMPTY_ENDPOINT | {
        "IPAMConfig": None
        if ipam is None
        else {
            key: value
            for key, value in (("IPv4Address", ipam.ipv4_address), ("IPv6Address", ipam.ipv6_address))
            if value
        },
        "Aliases": settings.aliases,
        "DriverOpts": settings.driver_opts,
        "GwPriority": settings.gw_priority,
        "NetworkID": network_id,
    }
    if given is None:
        return document | {"MacAddress": settings.mac_address}
    found = Endpoint.from_document(given)
    return document | {
        "MacAddress": found.mac,
        "EndpointID": found.id,
        "Gateway": str(found.gateway),
        "IPAddress": str(found.address),
        "IPPrefixLen": found.prefix_length,
        "DNSNames": list(found.names) if user else None,
    }


def _document(name: str, identifier: str, created: int, driver: str, config: list[Document]) -> Document:
    return {
        "Name": name,
        "Id": identifier,
        "Created": gotime.format_rfc3339(created),
        "Scope": "local",
        "Driver": driver,
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": config},
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": {},
        "Labels": {},
    }


def _subnet(bridge: BridgeNetwork) -> Document:
    return {"Subnet": str(bridge.address.network), "Gateway": str(bridge.address.ip)}


def _members(endpoints: Iterable[Endpoint], names: Mapping[str, str]) -> Document:
    return {
        found.container_id: {
            "Name": names.get(found.container_id, ""),
            "EndpointID": found.id,
            "MacAddress": found.mac,
            "IPv4Address": f"{found.address}/{found.prefix_length}",
            "IPv6Address": "",
        }
        for found in endpoints
    }
