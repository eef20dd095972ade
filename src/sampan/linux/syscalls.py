"""How the rest of this layer reaches the kernel: the numbers, the call, and the error it becomes.

Owns libc through ctypes and the numbers of x86_64 and aarch64. Knows no system call's meaning: the modules
beside it do. Raw numbers instead of libc's wrappers, since glibc has none for half of them (clone3, openat2,
mount_setattr).
"""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

# Name: (x86_64, aarch64), from arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
# From 424 on a number is the same everywhere.
_NUMBERS = {
    "bpf": (321, 280),
    "capget": (125, 90),
    "capset": (126, 91),
    "clone3": (435, 435),
    "close_range": (436, 436),
    "execveat": (322, 281),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "fstatfs": (138, 44),
    "getcwd": (79, 17),
    "ioprio_set": (251, 30),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "openat2": (437, 437),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "sched_setattr": (314, 274),
    "seccomp": (317, 277),
    "set_mempolicy": (238, 237),
    "setns": (308, 268),
    "statx": (332, 291),
    "syncfs": (306, 267),
    "umount2": (166, 39),
    "unshare": (272, 97),
}
_MACHINES = ("x86_64", "aarch64")


def _numbers() -> dict[str, int]:
    machine = os.uname().machine
    # A 32-bit interpreter on a 64-bit kernel would need other numbers and other structures.
    if machine not in _MACHINES or ctypes.sizeof(ctypes.c_void_p) != 8:
        raise ImportError(f"sampan runs on {' and '.join(_MACHINES)} (64-bit) only, and this is {machine}")
    column = _MACHINES.index(machine)
    return {name: numbers[column] for name, numbers in _NUMBERS.items()}


NUMBERS = _numbers()


def syscall(number: int, *arguments: object) -> int:
    """Make a system call: syscall(2). Returns -1 on failure, and `oserror` then says which.

    Arguments are integers (of up to 64 bits, signed or not), bytes (NUL-terminated by Python), ctypes objects
    passed by reference, or None for a null pointer.
    """
    # ctypes would pass a bare Python integer as a C int and lose its upper half.
    return int(_libc.syscall(ctypes.c_long(number), *map(_argument, arguments)))


def _argument(value: object) -> object:
    return ctypes.c_long(value) if isinstance(value, int) else value


def oserror(operation: str, path: str | bytes | None = None, detail: str = "") -> OSError:
    """The error of the system call that has just failed in this thread, with its operation and path in it."""
    number = ctypes.get_errno()
    reason = f"{os.strerror(number)} ({detail})" if detail else os.strerror(number)
    return OSError(number, f"{operation}: {reason}", path)


def checked(result: int, operation: str, path: str | bytes | None = None) -> int:
    """The result of a system call, or its error raised."""
    if result < 0:
        raise oserror(operation, path)
    return result


def c_string(text: str | bytes) -> bytes:
    """A path or option for the kernel. Refuses a NUL, where the kernel would silently stop reading."""
    encoded = os.fsencode(text)
    if b"\0" in encoded:
        raise ValueError("embedded null byte")
    return encoded


def getcwd() -> str:
    """The working folder in the kernel's own words: getcwd(2), "C library/kernel differences".

    Starts with "(unreachable)" if it lies outside of the root; libc hides that, and looks for a name by
    itself.
    """
    buffer = ctypes.create_string_buffer(4096)
    checked(syscall(NUMBERS["getcwd"], buffer, len(buffer)), "getcwd")
    return os.fsdecode(buffer.value)
