"""The id maps of a new user namespace, written from outside."""

from __future__ import annotations

import os
from collections.abc import Sequence

from sampan.runtime.gotext import go_error
from sampan.runtime.operations import start_failed
from sampan.runtime.spec import IdMapping


def write(pid: int, uid_mappings: Sequence[IdMapping], gid_mappings: Sequence[IdMapping]) -> None:
    """Each map takes one write(2), for ever. Needs CAP_SETUID and CAP_SETGID (user_namespaces(7))."""
    for name, mappings in (("uid_map", uid_mappings), ("gid_map", gid_mappings)):
        lines = (f"{entry.container_id} {entry.host_id} {entry.size}\n" for entry in mappings)
        try:
            fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, "".join(lines).encode())
            finally:
                os.close(fd)
        except OSError as error:
            raise start_failed(f"failed to write {name}: {go_error(error)}") from error
