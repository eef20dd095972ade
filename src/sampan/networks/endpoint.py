"""An endpoint: a container's place in a network, as plain data that its owner stores.

Owns the value and its document form. After a restart of the daemon a network is made whole from these alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any

from sampan.networks.ports import PublishedPort
from sampan.records import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`host_interface` is the bridge's end of the veth; `gateway` is the bridge's address."""

    id: str
    container_id: str
    host_interface: str
    address: IPv4Address
    prefix_length: int
    gateway: IPv4Address
    mac: str
    ports: tuple[PublishedPort, ...] = ()
    network: str = ""
    """Id of the network; "" in documents from before there were several."""
    interface: str = "eth0"
    """The device in the container."""
    names: tuple[str, ...] = ()
    """What the container is called on this network, for the resolver; the first one is its own."""

    def to_document(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "id": self.id,
            "container_id": self.container_id,
            "host_interface": self.host_interface,
            "address": str(self.address),
            "prefix_length": self.prefix_length,
            "gateway": str(self.gateway),
            "mac": self.mac,
            "ports": [
                [port.container_port, port.protocol, port.host_ip, port.host_port] for port in self.ports
            ],
            "network": self.network,
            "interface": self.interface,
            "names": list(self.names),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Endpoint:
        """The inverse of `to_document`, of whose making the document has to be."""
        return cls(
            id=document["id"],
            container_id=document["container_id"],
            host_interface=document["host_interface"],
            address=IPv4Address(document["address"]),
            prefix_length=document["prefix_length"],
            gateway=IPv4Address(document["gateway"]),
            mac=document["mac"],
            ports=tuple(PublishedPort(*port) for port in document["ports"]),
            network=document.get("network", ""),
            interface=document.get("interface", "eth0"),
            names=tuple(document.get("names", ())),
        )
