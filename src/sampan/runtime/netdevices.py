"""`linux.netDevices`: moving devices of the host into the container, with the addresses that they have.

Runs in the parent, which has the rights over both namespaces. A device is never moved back: when the
container's namespace goes, the kernel returns real devices to the host's and removes made ones. Loaded only
if there are any.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from sampan import errors
from sampan.linux import processes
from sampan.linux.rtnetlink import RT_SCOPE_UNIVERSE, RouteSocket
from sampan.runtime.gotext import go_error
from sampan.runtime.operations import start_failed
from sampan.runtime.spec import NetDevice


def move(pid: int, devices: Sequence[NetDevice]) -> None:
    """Move the devices into the network namespace of a process, and set them up there."""
    container = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with RouteSocket() as host, _open_in(container) as inside:
            for device in devices:
                try:
                    _move_one(host, inside, container, device)
                except OSError as error:
                    raise _failed(device, error) from error
    finally:
        os.close(container)


def _open_in(namespace: int) -> RouteSocket:
    """A socket belongs to the namespace that it was opened in, so a visit is enough."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        processes.setns(namespace, processes.CLONE_NEWNET)
        try:
            return RouteSocket()
        finally:
            processes.setns(own, processes.CLONE_NEWNET)
    finally:
        os.close(own)


def _move_one(host: RouteSocket, inside: RouteSocket, namespace: int, device: NetDevice) -> None:
    link = host.link(device.host)
    # The specification: permanent addresses of global scope stay, as they would not by themselves.
    addresses = [
        address.network
        for address in host.addresses()
        if address.index == link.index and address.is_permanent and address.scope == RT_SCOPE_UNIVERSE
    ]
    before = {found.name for found in inside.links()}
    host.move_link(link.index, namespace, device.name)
    # The kernel has put a number in place of "%d".
    [name] = {found.name for found in inside.links()} - before
    for address in addresses:
        inside.add_address(name, address)
    inside.set_up(name)


def _failed(device: NetDevice, error: OSError) -> errors.StartFailed:
    what = f"{device.host} as {device.name}" if device.name != device.host else device.host
    return start_failed(f"unable to move the network device {what} into the container: {go_error(error)}")
