"""Addresses that the API can be served on (`-H`), and the listening sockets made from them.

Owns the rules for a socket file: one that nobody answers on is replaced, one that is in use is not, and what
is no socket is never removed. Must not know HTTP or asyncio.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat

from sampan import errors
from sampan.records import dataclass

DEFAULT_PORT = 2375
"""IANA's port for Docker's API without TLS."""
BACKLOG = 4096
_SOCKET_MODE = 0o660


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: a socket file, or a host and port."""

    text: str
    path: str = ""
    host: str = ""
    port: int = 0

    @property
    def tcp(self) -> bool:
        return not self.path


def parse(text: str) -> Address:
    """An address as `-H` takes it. Raises InvalidArgument in dockerd's words, Unsupported for what is not
    served.
    """
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        scheme, rest = "tcp", text.strip()
    if scheme == "fd":
        raise errors.Unsupported(f"listening on {text} (socket activation) is not supported")
    if scheme == "unix" and rest:
        return Address(text.strip(), path=rest if rest.startswith("/") else f"/{rest}")
    host, port = _split_port(rest)
    if scheme != "tcp" or not (host or rest.startswith(":")) or port is None:
        raise errors.InvalidArgument(f"Invalid bind address format: {text}")
    if not _is_loopback(host):
        raise errors.Unsupported(f"listening on {text} is not supported: without TLS, only loopback is")
    return Address(f"tcp://{rest}", host=host, port=port)


def _split_port(text: str) -> tuple[str, int | None]:
    """Host and port; None for a port that is no number."""
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, port = text, str(DEFAULT_PORT)
    if not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        return host, None
    return host.strip("[]"), int(port)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Listener:
    """A listening, non-blocking socket; `close` takes its file away, too."""

    __slots__ = ("_inode", "address", "socket")

    def __init__(self, address: Address, own: socket.socket) -> None:
        self.address = address
        self.socket = own
        self._inode = os.stat(address.path).st_ino if address.path else 0

    def close(self) -> None:
        """Stop listening. A file that a successor has put in the place of ours stays."""
        self.socket.close()
        try:
            if self._inode and os.stat(self.address.path).st_ino == self._inode:
                os.unlink(self.address.path)
        except FileNotFoundError:
            pass


def listen(address: Address, *, group: int | None = None) -> Listener:
    """Listen on `address`. A socket file gets mode 0660 and `group`. Raises OSError when it is in use."""
    own = _listen_unix(address.path, group) if address.path else _listen_tcp(address)
    own.setblocking(False)
    return Listener(address, own)


def _listen_tcp(address: Address) -> socket.socket:
    host = "127.0.0.1" if address.host == "localhost" else address.host
    own = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind((host, address.port))
        own.listen(BACKLOG)
    except OSError as error:
        own.close()
        raise OSError(error.errno, f"listen {address.text}: {error.strerror or error}") from None
    return own


def _listen_unix(path: str, group: int | None) -> socket.socket:
    own = socket.socket(socket.AF_UNIX)
    try:
        _remove_stale(path)
        # The file must never be open to everybody, not even between bind and chmod.
        old = os.umask(0o777)
        try:
            own.bind(path)
        finally:
            os.umask(old)
        os.chown(path, 0 if os.geteuid() == 0 else -1, -1 if group is None else group)
        os.chmod(path, _SOCKET_MODE)
        own.listen(BACKLOG)
    except OSError as error:
        own.close()
        raise OSError(error.errno, f"listen unix {path}: {error.strerror or error}") from None
    return own


def _remove_stale(path: str) -> None:
    """Remove the socket file of a daemon that is gone. Raises EADDRINUSE if it lives, or if this is no
    socket.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EADDRINUSE, "address already in use, by what is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except TimeoutError:
            pass  # its backlog is full: somebody is there
    raise OSError(errno.EADDRINUSE, "address already in use")
