"""Giving out a subnet's addresses, always the lowest free one, as Docker does.

Owns which addresses are in use, in memory: after a restart the endpoints that live claim theirs again. Not
locked; the network that owns the pool does that.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from sampan import errors


class AddressPool:
    """The addresses of a bridge's subnet, without the network's, the broadcast and the bridge's own."""

    def __init__(
        self,
        bridge: IPv4Interface,
        owner: str,
        *,
        ip_range: IPv4Network | None = None,
        reserved: Iterable[IPv4Address] = (),
    ) -> None:
        """`owner` stands in the error when no address is left: "bridge (3f4a…)". `ip_range`: the part of the
        subnet that `allocate` gives out; `reserved`: addresses that nobody gets.
        """
        network = bridge.network
        self._first = int(network.network_address) + 1
        self._end = int(network.broadcast_address)
        self._bridge = int(bridge.ip)
        self._owner = owner
        self._reserved = {self._bridge, *map(int, reserved)}
        self._taken = set(self._reserved)
        self._lowest, self._above = self._first, self._end
        if ip_range is not None:
            self._lowest = max(self._first, int(ip_range.network_address))
            self._above = min(self._end, int(ip_range.broadcast_address) + 1)
        self._hint = self._lowest  # No address below it is free.

    def allocate(self) -> IPv4Address:
        candidate = self._hint
        while candidate in self._taken:
            candidate += 1
        if candidate >= self._above:
            raise errors.SampanError(
                f"no available IPv4 addresses on this network's address pools: {self._owner}"
            )
        self._taken.add(candidate)
        self._hint = candidate + 1
        return IPv4Address(candidate)

    def claim(self, address: IPv4Address) -> bool:
        """Mark an address as taken by who has it already; whether it was free and belongs here."""
        number = int(address)
        if number in self._taken or not self._first <= number < self._end:
            return False
        self._taken.add(number)
        return True

    def release(self, address: IPv4Address) -> None:
        number = int(address)
        if number not in self._reserved and number in self._taken:
            self._taken.discard(number)
            if number >= self._lowest:
                self._hint = min(self._hint, number)


def mac_of(address: IPv4Address) -> str:
    """A locally administered MAC address that is unique because the address is: 02:42 and its four bytes."""
    return bytes((0x02, 0x42, *address.packed)).hex(":")
