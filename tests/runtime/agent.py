"""A seccomp agent: who gets the listener of a filter, and answers its questions."""

from __future__ import annotations

import array
import ctypes
import errno
import json
import os
import select
import socket
import struct
import threading
from pathlib import Path
from typing import Any

Config = dict[str, Any]

# struct seccomp_notif (80 bytes), struct seccomp_notif_resp (24 bytes): linux/seccomp.h
_NOTIF_RECV, _NOTIF_SEND = 0xC0502100, 0xC0182101


class Agent(threading.Thread):
    """Keeps what it was told, and answers the questions of a filter: "directory not empty", or "go on"."""

    def __init__(self, path: Path, *, lets_go_on: bool = False) -> None:
        super().__init__(daemon=True)
        self._lets_go_on = lets_go_on
        self.answered = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self.told: Config = {}
        self.rest = b"?"

    def run(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            size = array.array("i").itemsize
            packet, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(size))
            fds = array.array("i")
            fds.frombytes(ancillary[0][2][:size])
            self.told = json.loads(packet)
            self.rest = connection.recv(100)
        self._listener.close()
        ioctl = ctypes.CDLL(None, use_errno=True).ioctl
        ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)
        question = ctypes.create_string_buffer(80)
        waiting = select.poll()
        waiting.register(fds[0], select.POLLIN)
        # Until all processes with the filter are gone, of which older kernels tell poll() alone.
        while not waiting.poll()[0][1] & select.POLLHUP:
            ctypes.memset(question, 0, 80)
            if ioctl(fds[0], _NOTIF_RECV, question) < 0:
                continue  # The one who asked has been killed.
            number = struct.unpack_from("=Q", question.raw)[0]
            error, flags = (0, 1) if self._lets_go_on else (-errno.ENOTEMPTY, 0)
            answer = ctypes.create_string_buffer(struct.pack("=QqiI", number, 0, error, flags), 24)
            ioctl(fds[0], _NOTIF_SEND, answer)
            self.answered += 1
        os.close(fds[0])

    def wait(self) -> None:
        self.join(20)
        assert not self.is_alive()
