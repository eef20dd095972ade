"""The default network in the API's form: what `docker network inspect bridge` shows.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Interface
from typing import Any

from sampan.networks.endpoint import Endpoint


def network(
    network_id: str,
    device: str,
    mtu: int,
    bridge: IPv4Interface,
    endpoints: Iterable[Endpoint],
    names: Mapping[str, str],
) -> dict[str, Any]:
    """Without `Created`, which the engine knows. `names` are those of the containers, by id."""
    return {
        "Name": "bridge",
        "Id": network_id,
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {
            "Driver": "default",
            "Options": None,
            "Config": [{"Subnet": str(bridge.network), "Gateway": str(bridge.ip)}],
        },
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {endpoint.container_id: _member(endpoint, names) for endpoint in endpoints},
        "Options": {
            "com.docker.network.bridge.default_bridge": "true",
            "com.docker.network.bridge.enable_icc": "true",
            "com.docker.network.bridge.enable_ip_masquerade": "true",
            "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
            "com.docker.network.bridge.name": device,
            "com.docker.network.driver.mtu": str(mtu),
        },
        "Labels": {},
    }


def _member(endpoint: Endpoint, names: Mapping[str, str]) -> dict[str, str]:
    return {
        "Name": names.get(endpoint.container_id, ""),
        "EndpointID": endpoint.id,
        "MacAddress": endpoint.mac,
        "IPv4Address": f"{endpoint.address}/{endpoint.prefix_length}",
        "IPv6Address": "",
    }
