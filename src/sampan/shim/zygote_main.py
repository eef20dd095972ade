"""Entry of the zygote: `python -I -S zygote_main.py SOCKET`, SOCKET being an inherited descriptor.

Owns what has to be done before the zygote can serve: find the package without `site` (which would cost 20 ms
and 2 MB), seal the interpreter, leave the host's mount namespace. Costs two starts of the interpreter, 25 ms,
once for each start of the engine.
"""

from __future__ import annotations

import os
import socket
import sys

_MAX_FD = 2**31 - 1  # closerange is one close_range(2)

# A shim's memory is what it allocates after the fork. With fixed thresholds glibc gives large blocks back at
# once, instead of raising its thresholds with each of them (mallopt(3)).
_ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def main(arguments: list[str]) -> None:
    script = os.path.abspath(__file__)
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(script))))
    engine = socket.socket(fileno=int(arguments[0]))

    from sampan.runtime import sealed

    if not sealed.is_sealed():
        command = [sys.executable, "-I", "-S", script, str(engine.fileno())]
        sealed.exec_sealed(command, {"PATH": os.environ.get("PATH", os.defpath)} | _ALLOCATOR)
    engine.set_inheritable(False)
    # Whatever else the engine's parent left open would live as long as the last container.
    os.closerange(3, engine.fileno())
    os.closerange(engine.fileno() + 1, _MAX_FD)

    from sampan.linux import processes
    from sampan.shim import zygote

    if os.getsid(0) != os.getpid():
        os.setsid()
    processes.set_name("sampan-zygote")
    os.chdir("/")
    os.umask(0o022)
    zygote.enter_private_mounts()
    zygote.serve(engine.detach())


if __name__ == "__main__":
    main(sys.argv[1:])
