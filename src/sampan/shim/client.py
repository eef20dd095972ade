"""The controller's end of the shim's and the zygote's sockets, without any waiting.

Owns connecting, sending a request with its descriptors and taking the next message. Nothing here blocks or
schedules: an event loop watches `fileno()` and calls `receive` until it raises BlockingIOError. See
`protocol` for what is said.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from sampan import errors
from sampan.linux import sockets as socket
from sampan.shim import packets, protocol, spawning


class ShimConnection:
    """One controller connection to a shim."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock

    @classmethod
    def connect(cls, directory: str) -> ShimConnection:
        """Connect to the shim that lives in `directory`.

        Raises FileNotFoundError (no shim, or one that has released the folder) or ConnectionRefusedError (one
        that was killed).
        """
        # By the folder's descriptor: the path may be longer than the 107 bytes of sun_path (unix(7)).
        directory_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                sock.connect(f"/proc/self/fd/{directory_fd}/{protocol.SOCKET_NAME}")
            except BaseException:
                sock.close()
                raise
        finally:
            os.close(directory_fd)
        return cls(sock)

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, requests: Sequence[protocol.Request], fds: Sequence[int] = ()) -> None:
        """Send requests in one packet, with the descriptors that the `fds` of one after the other name; the
        caller may close them afterwards.

        Raises OSError: BlockingIOError when the shim is too far behind, BrokenPipeError when it is gone.
        """
        names = [name for request in requests for name in request.fds]
        if len(fds) != len(names):
            raise errors.InvalidArgument(f"{len(fds)} descriptors for {len(names)} names")
        packets.send(self._socket, protocol.encode_requests(requests), fds)

    def receive(self) -> protocol.Reply | protocol.Failure | protocol.Event | None:
        """The next reply or event, None at the end of the connection. May raise BlockingIOError."""
        try:
            packet = packets.receive(self._socket)
        except ConnectionResetError:
            return None
        if packet is None:
            return None
        packet.close()  # a shim sends no descriptors
        return protocol.decode_response(packet.payload)

    def close(self) -> None:
        self._socket.close()


class ZygoteConnection:
    """The engine's connection to its zygote; the zygote ends when it is closed."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock

    def fileno(self) -> int:
        return self._socket.fileno()

    def spawn(self, container: str, directory: str) -> ShimConnection:
        """Ask for a shim and return its first controller connection, which can be used at once.

        The zygote answers this request in its turn with `receive`.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                packet = spawning.encode_spawn(spawning.Spawn(container, directory))
                packets.send(self._socket, packet, [theirs.fileno()])
        except BaseException:
            ours.close()
            raise
        return ShimConnection(ours)

    def receive(self) -> spawning.Spawned | spawning.SpawnFailure | None:
        """The answer to the oldest `spawn`, None if the zygote is gone. May raise BlockingIOError."""
        try:
            packet = packets.receive(self._socket)
        except ConnectionResetError:
            return None
        if packet is None:
            return None
        packet.close()
        return spawning.decode_spawned(packet.payload)

    def close(self) -> None:
        self._socket.close()
