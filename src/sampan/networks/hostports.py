"""Reserving ports of the host, so that neither a second container nor another program takes them too.

Owns a bound socket for each published port, and Docker's way of finding a free one. The rules send what
comes in to the container before it reaches any socket, so an IPv4 socket only holds the port: it does not
listen. An IPv6 socket is where `relay` listens, for a container without IPv6. Not locked; the network that
owns it does that.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from itertools import chain

from sampan import errors
from sampan.networks.ports import PortBinding, PublishedPort
from sampan.records import dataclass

_EVERYWHERE = ("0.0.0.0", "::")
_EPHEMERAL_RANGE = "/proc/sys/net/ipv4/ip_local_port_range"
_FALLBACK_RANGE = (49153, 65535)  # Docker's, where the file cannot be read.

_SOCKETS = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}


class PortUnavailable(errors.SampanError):
    """The port is in use. Another one may be free."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A published port and the socket that holds it on the host."""

    port: PublishedPort
    socket: socket.socket


class HostPorts:
    """The ports of the host that endpoints hold."""

    def __init__(self) -> None:
        self._held: dict[PublishedPort, Reservation] = {}
        self._by_number: dict[tuple[str, int], list[PublishedPort]] = {}
        self._last: dict[tuple[str, str], int] = {}  # Ephemeral ports are given out in turn, per address.

    def reserve(self, binding: PortBinding) -> list[Reservation]:
        """Reserve one port for a wish, on IPv4 and IPv6 if the wish names no address. Raises
        PortUnavailable, or SampanError when no port can be had this way at all; in Docker's words."""
        addresses = (binding.host_ip,) if binding.host_ip else _EVERYWHERE
        if binding.protocol == "sctp" and ":" in binding.host_ip:
            raise errors.Unsupported(f"publishing an SCTP port on an IPv6 address ({binding.host_ip})")
        if binding.first == binding.last != 0:
            return self._reserve_on(addresses, binding, binding.first)
        for number in self._candidates(binding, addresses[0]):
            try:
                reserved = self._reserve_on(addresses, binding, number)
            except PortUnavailable:
                continue
            if binding.first == 0:
                self._last[addresses[0], binding.protocol] = number
            return reserved
        raise PortUnavailable("all ports are allocated")

    def reserve_again(self, port: PublishedPort) -> Reservation:
        """Take back the very port that an endpoint had before the daemon restarted."""
        return self._hold(port)

    def reservation(self, port: PublishedPort) -> Reservation | None:
        return self._held.get(port)

    def release(self, port: PublishedPort) -> None:
        reservation = self._held.pop(port, None)
        if reservation is not None:
            reservation.socket.close()
            self._by_number[port.protocol, port.host_port].remove(port)

    def close(self) -> None:
        for port in list(self._held):
            self.release(port)

    def _candidates(self, binding: PortBinding, address: str) -> Iterable[int]:
        if binding.first:
            return range(binding.first, binding.last + 1)
        first, last = _ephemeral_range()
        start = self._last.get((address, binding.protocol), last) + 1
        if not first <= start <= last:
            start = first
        return chain(range(start, last + 1), range(first, start))

    def _reserve_on(self, addresses: tuple[str, ...], binding: PortBinding, number: int) -> list[Reservation]:
        """The same number on each of the addresses, or on none."""
        reserved: list[Reservation] = []
        try:
            for address in addresses:
                port = PublishedPort(binding.container_port, binding.protocol, address, number)
                if reserved and not _has_ipv6(binding.protocol):
                    break
                reserved.append(self._hold(port))
        except errors.SampanError:
            for reservation in reserved:
                self.release(reservation.port)
            raise
        return reserved

    def _hold(self, port: PublishedPort) -> Reservation:
        same_number = self._by_number.setdefault((port.protocol, port.host_port), [])
        if any(_collide(port, other) for other in same_number):
            where = f"{port.host_ip}:{port.host_port}"
            raise PortUnavailable(f"Bind for {where} failed: port is already allocated")
        reservation = Reservation(port, _bind(port))
        self._held[port] = reservation
        same_number.append(port)
        return reservation


def _collide(one: PublishedPort, other: PublishedPort) -> bool:
    """Whether two ports of the same number and protocol stand in each other's way."""
    same_family = one.is_ipv6 == other.is_ipv6
    everywhere = one.host_ip in _EVERYWHERE or other.host_ip in _EVERYWHERE
    return same_family and (everywhere or one.host_ip == other.host_ip)


def _has_ipv6(protocol: str) -> bool:
    """Whether a port without an address is published on IPv6 too: the kernel may have no IPv6, and the
    relay no SCTP."""
    return protocol != "sctp" and os.path.exists("/proc/net/if_inet6")


def _bind(port: PublishedPort) -> socket.socket:
    """A socket bound to the port. Its errors are dockerd's with a userland proxy, which binds in the same
    way."""
    family = socket.AF_INET6 if port.is_ipv6 else socket.AF_INET
    try:
        holder = _open(port, family)
    except OSError as error:
        # "Protocol not supported": a kernel without SCTP.
        raise errors.SampanError(f"Error starting userland proxy: {_reason(error)}") from error
    try:
        holder = _bind_alone(holder, port, family)
    except OSError as error:
        holder.close()
        raise _cannot_bind(port, error) from error
    return holder


def _open(port: PublishedPort, family: int) -> socket.socket:
    kind, protocol = _SOCKETS[port.protocol]
    holder = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
    if port.is_ipv6:
        holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return holder


def _bind_alone(holder: socket.socket, port: PublishedPort, family: int) -> socket.socket:
    """Bind so that nobody else can. Returns the socket that did it, `holder` or a second one.

    SO_REUSEADDR would let another program with that option bind and listen beside a socket that does not
    listen. Without it a port with connections in TIME_WAIT, left by a server that ended a moment ago,
    counts as in use. So the second try sets the option and listens, which no live listener allows and which
    keeps later ones out; what the rules let through to it (nothing, while they are there) waits in vain.
    """
    try:
        holder.bind((port.host_ip, port.host_port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE or port.protocol != "tcp":
            raise
        second = _open(port, family)
        try:
            second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            second.bind((port.host_ip, port.host_port))
            second.listen(0)
        except OSError:
            second.close()
            raise
        holder.close()
        return second
    return holder


def _cannot_bind(port: PublishedPort, error: OSError) -> errors.SampanError:
    network = f"{port.protocol}{6 if port.is_ipv6 else 4}"
    host = f"[{port.host_ip}]" if port.is_ipv6 else port.host_ip
    kind = PortUnavailable if error.errno == errno.EADDRINUSE else errors.SampanError
    return kind(
        f"Error starting userland proxy: listen {network} {host}:{port.host_port}: bind: {_reason(error)}"
    )


def _reason(error: OSError) -> str:
    """As Go writes it."""
    return os.strerror(error.errno or 0).lower()


def _ephemeral_range() -> tuple[int, int]:
    try:
        with open(_EPHEMERAL_RANGE, encoding="ascii") as file:
            first, last = file.read().split()
        return int(first), int(last)
    except (OSError, ValueError):
        return _FALLBACK_RANGE
