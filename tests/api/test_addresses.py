"""Addresses and socket files: what is replaced, what is left alone, who may connect."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from sampan import errors
from sampan.api import addresses
from sampan.api.addresses import Address, Listener


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:///run/x.sock", Address("unix:///run/x.sock", path="/run/x.sock")),
        ("tcp://127.0.0.1:99", Address("tcp://127.0.0.1:99", host="127.0.0.1", port=99)),
        ("tcp://localhost", Address("tcp://localhost", host="localhost", port=2375)),
        ("tcp://[::1]:99", Address("tcp://[::1]:99", host="::1", port=99)),
        ("127.0.0.1:0", Address("tcp://127.0.0.1:0", host="127.0.0.1", port=0)),
    ],
)
def test_parse(text: str, address: Address) -> None:
    assert addresses.parse(text) == address


@pytest.mark.parametrize(
    "text", ["foo://x", "", "unix://", "tcp://", "tcp://127.0.0.1:x", "tcp://127.0.0.1:65536"]
)
def test_no_address(text: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="Invalid bind address format: "):
        addresses.parse(text)


@pytest.mark.parametrize("text", ["tcp://0.0.0.0:2375", "tcp://:2375", "tcp://example.com:2375", "fd://"])
def test_addresses_that_are_not_served(text: str) -> None:
    with pytest.raises(errors.Unsupported):
        addresses.parse(text)


def listen(path: Path) -> Listener:
    return addresses.listen(Address(f"unix://{path}", path=str(path)))


def test_a_stale_socket_is_replaced_and_a_living_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listen(path).socket.close()
    assert path.exists()
    with contextlib.closing(listen(path)) as listener:
        mode = path.stat()
        assert stat.S_IMODE(mode.st_mode) == 0o660
        assert mode.st_uid == os.geteuid()
        with pytest.raises(OSError, match=f"listen unix {path}: address already in use") as caught:
            listen(path)
        assert caught.value.errno == errno.EADDRINUSE
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            listener.socket.setblocking(True)
            listener.socket.accept()[0].close()
    assert not path.exists()


def test_a_successors_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = listen(path)
    path.rename(tmp_path / "moved")
    with contextlib.closing(listen(path)):
        first.close()
        assert path.exists()


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(OSError, match="address already in use"):
        listen(path)
    assert path.read_text() == "precious"


def test_a_group_gets_the_socket(tmp_path: Path) -> None:
    group = os.getgroups()[-1] if os.geteuid() else 12345
    path = tmp_path / "s"
    with contextlib.closing(addresses.listen(Address("", path=str(path)), group=group)):
        assert path.stat().st_gid == group
