"""Sockets: what the module `socket` has, as far as this layer and those above the kernel use it.

Without its enums and selectors, which take 3 ms and 1.3 MB: the constants are plain numbers, and `socket` is
the built-in class with `with`. Nothing here has a time-out.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import AF_BRIDGE as AF_BRIDGE
    from socket import AF_INET as AF_INET
    from socket import AF_INET6 as AF_INET6
    from socket import AF_NETLINK as AF_NETLINK
    from socket import AF_UNIX as AF_UNIX
    from socket import AF_UNSPEC as AF_UNSPEC
    from socket import CMSG_LEN as CMSG_LEN
    from socket import CMSG_SPACE as CMSG_SPACE
    from socket import MSG_CMSG_CLOEXEC as MSG_CMSG_CLOEXEC
    from socket import MSG_CTRUNC as MSG_CTRUNC
    from socket import MSG_DONTWAIT as MSG_DONTWAIT
    from socket import MSG_NOSIGNAL as MSG_NOSIGNAL
    from socket import MSG_TRUNC as MSG_TRUNC
    from socket import SCM_RIGHTS as SCM_RIGHTS
    from socket import SHUT_RDWR as SHUT_RDWR
    from socket import SHUT_WR as SHUT_WR
    from socket import SOCK_CLOEXEC as SOCK_CLOEXEC
    from socket import SOCK_NONBLOCK as SOCK_NONBLOCK
    from socket import SOCK_RAW as SOCK_RAW
    from socket import SOCK_SEQPACKET as SOCK_SEQPACKET
    from socket import SOCK_STREAM as SOCK_STREAM
    from socket import SOL_SOCKET as SOL_SOCKET
    from socket import SocketType as SocketType
    from socket import inet_ntop as inet_ntop
    from socket import inet_pton as inet_pton
    from socket import recv_fds as recv_fds
    from socket import send_fds as send_fds
    from socket import sethostname as sethostname
    from socket import socket as socket
    from socket import socketpair as socketpair
else:
    import _socket
    import array
    from _socket import (
        AF_BRIDGE,
        AF_INET,
        AF_INET6,
        AF_NETLINK,
        AF_UNIX,
        AF_UNSPEC,
        CMSG_LEN,
        CMSG_SPACE,
        MSG_CMSG_CLOEXEC,
        MSG_CTRUNC,
        MSG_DONTWAIT,
        MSG_NOSIGNAL,
        MSG_TRUNC,
        SCM_RIGHTS,
        SHUT_RDWR,
        SHUT_WR,
        SOCK_CLOEXEC,
        SOCK_NONBLOCK,
        SOCK_RAW,
        SOCK_SEQPACKET,
        SOCK_STREAM,
        SOL_SOCKET,
        SocketType,
        inet_ntop,
        inet_pton,
        sethostname,
    )

    class socket(SocketType):
        """A socket that is closed at the end of a `with`."""

        __slots__ = ()

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.close()

        def accept(self):
            """A connection and its peer's address; the connection is not inherited."""
            fd, address = self._accept()
            return socket(fileno=fd), address

    def socketpair(family=AF_UNIX, kind=SOCK_STREAM, protocol=0):
        """Two sockets that are connected with each other: socketpair(2)."""
        one, other = _socket.socketpair(family, kind, protocol)
        return (
            socket(family, kind, protocol, one.detach()),
            socket(family, kind, protocol, other.detach()),
        )

    def send_fds(sock, buffers, fds, flags=0):
        """Send data, and descriptors with it: unix(7), SCM_RIGHTS."""
        ancillary = [(SOL_SOCKET, SCM_RIGHTS, array.array("i", fds))] if fds else []
        return sock.sendmsg(buffers, ancillary, flags)

    def recv_fds(sock, size, most, flags=0):
        """Receive up to `size` bytes and `most` descriptors: data, descriptors, flags, address."""
        data, ancillary, received, address = sock.recvmsg(size, CMSG_LEN(most * 4), flags)
        fds = array.array("i")
        for level, kind, content in ancillary:
            if level == SOL_SOCKET and kind == SCM_RIGHTS:
                fds.frombytes(content[: len(content) & -4])
        return data, list(fds), received, address


__all__ = [
    "AF_BRIDGE",
    "AF_INET",
    "AF_INET6",
    "AF_NETLINK",
    "AF_UNIX",
    "AF_UNSPEC",
    "CMSG_LEN",
    "CMSG_SPACE",
    "MSG_CMSG_CLOEXEC",
    "MSG_CTRUNC",
    "MSG_DONTWAIT",
    "MSG_NOSIGNAL",
    "MSG_TRUNC",
    "SCM_RIGHTS",
    "SHUT_RDWR",
    "SHUT_WR",
    "SOCK_CLOEXEC",
    "SOCK_NONBLOCK",
    "SOCK_RAW",
    "SOCK_SEQPACKET",
    "SOCK_STREAM",
    "SOL_SOCKET",
    "SocketType",
    "inet_ntop",
    "inet_pton",
    "recv_fds",
    "send_fds",
    "sethostname",
    "socket",
    "socketpair",
]
