"""An interpreter that containers cannot write to.

A process that starts a container, or joins one, is for a moment both this program and inside: a container
that makes it execute /proc/self/exe can open the host's interpreter through that link and overwrite it
(CVE-2019-5736). So the programs that do such work first replace themselves by the same interpreter, executed
from a detached, read-only clone of its mount: writing through it fails with EROFS, whoever tries, and also
when the process has ended and the kernel does not call the file busy any more. One more start of the
interpreter: 10 ms, once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from sampan.linux import files, mounts, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def is_sealed() -> bool:
    """Whether this process runs from a read-only mount."""
    fd = os.open("/proc/self/exe", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return bool(os.fstatvfs(fd).f_flag & os.ST_RDONLY)
    finally:
        os.close(fd)


def exec_sealed(argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Execute `argv[0]`, an absolute path, from a read-only clone of its mount. Needs CAP_SYS_ADMIN."""
    # The path may be a symlink (a virtual environment); the interpreter finds its library by argv[0].
    path = os.path.realpath(argv[0])
    program = mounts.open_tree(path, mounts.OPEN_TREE_CLONE)
    mounts.mount_setattr("", dir_fd=program, flags=files.AT_EMPTY_PATH, attr_set=mounts.MOUNT_ATTR_RDONLY)
    processes.execveat(program, argv, {**env, "LD_LIBRARY_PATH": _library_path(path, env)})
    raise AssertionError("execveat has returned")


def _library_path(program: str, env: Mapping[str, str]) -> str:
    """What $ORIGIN/../lib, by which some interpreters find libpython, would mean: ld.so(8).

    The dynamic linker takes the origin from /proc/self/exe, and the name of a cloned file is just "/".
    """
    libraries = os.path.join(os.path.dirname(os.path.dirname(program)), "lib")
    earlier = env.get("LD_LIBRARY_PATH")
    return f"{libraries}:{earlier}" if earlier else libraries


def seal(arguments: Sequence[str]) -> None:
    """Go on from a sealed interpreter: returns at once if this one is.

    `arguments` follow the interpreter's options.
    """
    if not is_sealed():
        exec_sealed([sys.executable, "-I", "-S", *arguments], os.environ)
