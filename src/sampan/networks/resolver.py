"""The resolver of user-defined networks: containers by name, and everything else by the host's servers.

Owns one thread for all containers. Each has a door, a pair of sockets in its own network namespace, and sees
the names of the networks that it is in. A question that no name answers goes to all of its servers at once,
from the host; the first good answer counts and is kept for as long as it says, half a minute at most. A
client that floods its door loses its own questions: so many are on their way at a time, and no more.

Names and what belongs to a door may be changed from any thread: each change replaces a value as a whole.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import selectors
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from sampan.networks.files import HostServers
from sampan.networks.loop import SocketLoop
from sampan.networks.sandbox import Door
from sampan.records import dataclass
from sampan.wire import dns
from sampan.wire.dns import Query

_log = logging.getLogger(__name__)

_READ = selectors.EVENT_READ
_PORT = 53
_LONGEST_MESSAGE = 65535
_SECONDS = 600
"""How long a client may keep the address of a container: Docker's figure."""
_MOST_WAITING = 256
"""Questions of one door that are on their way to servers."""
_MESSAGES_AT_ONCE = 64
_AGAIN_AFTER, _PATIENCE = 1.0, 5.0
_LONGEST_KEPT, _MOST_KEPT = 30, 4096
_MOST_TCP_CLIENTS = 32
_TCP_SECONDS = 10.0

_Client = tuple[str, int]


@dataclass(frozen=True, slots=True)
class View:
    """What a container may know: the networks whose names it sees, and the servers that it may ask."""

    networks: tuple[str, ...]
    servers: tuple[str, ...] | None
    """None: the host's, whichever they are at the time."""


class Names:
    """Who is called what on which network."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._endpoints: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {}
        self._titles: dict[str, str] = {}
        # Network → name → addresses, and the other way round: replaced as a whole.
        self._addresses: dict[str, dict[str, tuple[str, ...]]] = {}

    def add(self, network: str, title: str, endpoint: str, address: str, names: Sequence[str]) -> None:
        """`title` is what the network is called: its containers are also "NAME.title"."""
        with self._lock:
            self._titles[network] = title.lower()
            members = self._endpoints.setdefault(network, {})
            members[endpoint] = (address, tuple(name.lower() for name in names))
            self._rebuild(network)

    def remove(self, network: str, endpoint: str) -> None:
        with self._lock:
            members = self._endpoints.get(network, {})
            if members.pop(endpoint, None) is not None:
                self._rebuild(network)

    def _rebuild(self, network: str) -> None:
        found: dict[str, tuple[str, ...]] = {}
        for address, names in self._endpoints[network].values():
            for name in names:
                found[name] = (*found.get(name, ()), address)
        self._addresses[network] = found

    def addresses(self, networks: Iterable[str], name: str) -> tuple[str, ...]:
        """The addresses of a name (in lower case) on the first of the networks that has it."""
        for network in networks:
            known = self._addresses.get(network, {})
            short = name.removesuffix("." + self._titles.get(network, ""))
            found = known.get(name) or known.get(short)
            if found:
                return found
        return ()

    def name_of(self, networks: Iterable[str], address: str) -> str | None:
        """The full name of who has an address."""
        for network in networks:
            for other, names in self._endpoints.get(network, {}).copy().values():
                if other == address and names:
                    return f"{names[0]}.{self._titles[network]}"
        return None


class Resolver:
    """Answers at doors until they are closed. Its methods may be called from any thread but its own."""

    def __init__(self) -> None:
        self.names = Names()
        self.host_servers = HostServers()
        self._lock = threading.Lock()
        self._loop: SocketLoop | None = None
        self._posts: dict[str, _Post] = {}
        self._kept: OrderedDict[tuple[bytes, tuple[str, ...]], tuple[float, bytes]] = OrderedDict()

    def open(self, container: str, door: Door, view: View) -> None:
        """Answer at a container's door, which is the resolver's from now on."""
        self.close_door(container)
        with self._lock:
            if self._loop is None:
                self._loop = SocketLoop("resolver")
            post = self._posts[container] = _Post(self._loop, door, view, self)
            self._loop.call(post.open)

    def change(self, container: str, view: View) -> None:
        with self._lock:
            post = self._posts.get(container)
            if post is not None:
                post.view = view

    def has_door(self, container: str) -> bool:
        return container in self._posts

    def close_door(self, container: str) -> None:
        """Close a container's sockets, if it has any: its network namespace can go."""
        with self._lock:
            post = self._posts.pop(container, None)
            if post is not None and self._loop is not None:
                self._loop.call(post.close)

    def close(self) -> None:
        for container in list(self._posts):
            self.close_door(container)
        with self._lock:
            if self._loop is not None:
                self._loop.close()
                self._loop = None

    # --- for the posts, in the resolver's thread or in those of TCP clients ---

    def own_answer(self, query: Query, view: View) -> bytes | None:
        """The answer that needs no server; None if it takes one."""
        if query.type == dns.PTR:
            address = dns.reversed_address(query.name)
            name = self.names.name_of(view.networks, address) if address else None
            return None if name is None else dns.answer(query, [dns.encode_name(name)], _SECONDS)
        found = list(self.names.addresses(view.networks, query.name))
        if not found:
            return None
        if query.type != dns.A:
            return dns.answer(query, [], _SECONDS)  # there is such a name, and no IPv6 address of it
        turn = int.from_bytes(os.urandom(2), "big") % len(found)
        packed = [ipaddress.IPv4Address(address).packed for address in found[turn:] + found[:turn]]
        return dns.answer(query, packed, _SECONDS)

    def recall(self, query: Query, servers: tuple[str, ...]) -> bytes | None:
        key = (query.question.lower(), servers)
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept[0] < time.monotonic():
            self._kept.pop(key, None)
            return None
        return dns.with_identifier(kept[1], query.id)

    def keep(self, query: Query, servers: tuple[str, ...], message: bytes) -> None:
        try:
            seconds = min(dns.lifetime(message), _LONGEST_KEPT)
        except ValueError:
            return
        good = dns.code_of(message) in (dns.NO_ERROR, dns.NAME_ERROR) and not dns.is_truncated(message)
        if seconds > 0 and good:
            self._kept[query.question.lower(), servers] = (time.monotonic() + seconds, message)
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)


class _Post:
    """One container's door. In the resolver's thread, but for TCP."""

    def __init__(self, loop: SocketLoop, door: Door, view: View, resolver: Resolver) -> None:
        self.view = view
        self._loop = loop
        self._door = door
        self._resolver = resolver
        self._waiting: set[_Errand] = set()
        self._tcp_clients = threading.Semaphore(_MOST_TCP_CLIENTS)

    def open(self) -> None:
        self._loop.watch(self._door.udp, _READ, self._receive)
        self._loop.watch(self._door.tcp, _READ, self._accept)

    def close(self) -> None:
        self._loop.watch(self._door.udp, 0, self._receive)
        self._loop.watch(self._door.tcp, 0, self._accept)
        for errand in list(self._waiting):
            errand.end()
        self._door.close()

    def _receive(self, _events: int) -> None:
        # Not for ever: others have questions too.
        for _ in range(_MESSAGES_AT_ONCE):
            try:
                message, client = self._door.udp.recvfrom(_LONGEST_MESSAGE)
            except OSError:
                return
            self._answer(message, client)

    def _answer(self, message: bytes, client: _Client) -> None:
        try:
            query = dns.parse_query(message)
        except ValueError:
            refusal = dns.refusal(message, dns.FORMAT_ERROR)
            if refusal is not None:
                self.reply(refusal, client)
            return
        resolver, servers = self._resolver, self._servers()
        reply = resolver.own_answer(query, self.view) or resolver.recall(query, servers)
        if reply is None and not servers:
            reply = dns.failure(query, dns.SERVER_FAILURE)
        if reply is not None:
            self.reply(reply, client)
        elif len(self._waiting) < _MOST_WAITING:
            errand = _Errand(self, query, message, client)
            self._waiting.add(errand)
            errand.start(self._loop, servers)

    def _servers(self) -> tuple[str, ...]:
        own = self.view.servers
        return self._resolver.host_servers() if own is None else own

    def reply(self, message: bytes, client: _Client) -> None:
        try:
            self._door.udp.sendto(message, client)
        except OSError:
            pass  # datagrams get lost

    def done(self, errand: _Errand, servers: tuple[str, ...], answer: bytes | None) -> None:
        self._waiting.discard(errand)
        if answer is None:
            self.reply(dns.failure(errand.query, dns.SERVER_FAILURE), errand.client)
            return
        self._resolver.keep(errand.query, servers, answer)
        self.reply(dns.with_identifier(answer, errand.query.id), errand.client)

    # --- TCP ---

    def _accept(self, _events: int) -> None:
        try:
            client, _ = self._door.tcp.accept()
        except OSError:
            return
        if not self._tcp_clients.acquire(blocking=False):
            client.close()
            return
        threading.Thread(target=self._serve, args=(client,), name="resolver-tcp", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client:
                client.settimeout(_TCP_SECONDS)
                while message := _read_framed(client):
                    reply = self._ask_framed(message)
                    if reply is None:
                        return
                    client.sendall(len(reply).to_bytes(2, "big") + reply)
        except OSError:
            pass  # it went away, or took too long
        finally:
            self._tcp_clients.release()

    def _ask_framed(self, message: bytes) -> bytes | None:
        try:
            query = dns.parse_query(message)
        except ValueError:
            return dns.refusal(message, dns.FORMAT_ERROR)
        reply = self._resolver.own_answer(query, self.view)
        if reply is not None:
            return reply
        for server in self._servers():
            try:
                with socket.create_connection((server, _PORT), _PATIENCE) as upstream:
                    upstream.sendall(len(message).to_bytes(2, "big") + message)
                    found = _read_framed(upstream)
            except OSError:
                continue
            if found and dns.is_answer_to(query, found):
                return found
        return dns.failure(query, dns.SERVER_FAILURE)


class _Errand:
    """One question on its way to the servers, by a socket of its own: its port is one more thing that a
    forger would have to guess.
    """

    def __init__(self, post: _Post, query: Query, message: bytes, client: _Client) -> None:
        self.query = query
        self.client = client
        self._post = post
        self._identifier = int.from_bytes(os.urandom(2), "big")
        self._message = dns.with_identifier(message, self._identifier)
        self._sockets: dict[str, socket.socket] = {}
        self._servers: tuple[str, ...] = ()
        self._loop: SocketLoop | None = None
        self._refused: bytes | None = None

    def start(self, loop: SocketLoop, servers: tuple[str, ...]) -> None:
        self._loop, self._servers = loop, servers
        for server in servers:
            family = socket.AF_INET6 if ":" in server else socket.AF_INET
            try:
                one = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
                self._sockets[server] = one
                one.connect((server, _PORT))
                loop.watch(one, _READ, lambda _events, server=server: self._receive(server))  # type: ignore[misc]
            except OSError:
                self._drop(server)
        self._send()
        if not self._sockets:
            self.finish(None)
            return
        loop.later(_AGAIN_AFTER, self._send)
        loop.later(_PATIENCE, lambda: self.finish(self._refused))

    def end(self) -> None:
        for server in list(self._sockets):
            self._drop(server)

    def finish(self, answer: bytes | None) -> None:
        if self._loop is not None:
            self.end()
            self._loop = None
            self._post.done(self, self._servers, answer)

    def _send(self) -> None:
        for server, one in list(self._sockets.items()):
            try:
                one.send(self._message)
            except OSError:
                self._drop(server)

    def _receive(self, server: str) -> None:
        try:
            message = self._sockets[server].recv(_LONGEST_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            self._drop(server)  # nobody listens there
        else:
            if not dns.is_answer_to(self.query, message) or dns.identifier_of(message) != self._identifier:
                return
            if dns.code_of(message) in (dns.NO_ERROR, dns.NAME_ERROR):
                self.finish(message)
                return
            # Another server may know better.
            self._refused = message
            self._drop(server)
        if not self._sockets:
            self.finish(self._refused)

    def _drop(self, server: str) -> None:
        one = self._sockets.pop(server, None)
        if one is not None:
            if self._loop is not None:
                self._loop.watch(one, 0, lambda _events: None)
            one.close()


def _read_framed(sock: socket.socket) -> bytes:
    """A message behind its length; b"" at the end."""
    head = _read_exactly(sock, 2)
    return _read_exactly(sock, int.from_bytes(head, "big")) if len(head) == 2 else b""


def _read_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            return b""
        data += piece
    return data
