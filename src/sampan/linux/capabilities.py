"""Capabilities: capabilities(7). A set is an integer here, bit n for capability n.

Names matter at the edge only: `mask` reads them.
"""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Iterable

from sampan.linux.processes import prctl
from sampan.linux.syscalls import NUMBERS, checked, syscall

# include/uapi/linux/capability.h; the index is the number.
CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)
_NUMBER = {name: number for number, name in enumerate(CAPABILITIES)}

# include/uapi/linux/prctl.h
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_PR_CAP_AMBIENT_CLEAR_ALL = 4

_LINUX_CAPABILITY_VERSION_3 = 0x20080522


def mask(names: Iterable[str]) -> int:
    """The set of these capabilities. A name that is unknown is a KeyError."""
    result = 0
    for name in names:
        result |= 1 << _NUMBER[name]
    return result


def in_bounding(capability: int) -> bool:
    """Whether the bounding set has a capability; EINVAL if there is no such one: PR_CAPBSET_READ(2const)."""
    return bool(prctl("PR_CAPBSET_READ", _PR_CAPBSET_READ, capability))


def last_capability() -> int:
    """The highest number that the running kernel knows; it may be beyond our names."""
    number = len(CAPABILITIES) - 1
    while not _is_known(number):
        number -= 1
    while _is_known(number + 1):
        number += 1
    return number


def _is_known(number: int) -> bool:
    try:
        in_bounding(number)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


# struct __user_cap_data_struct[2]: effective, permitted, inheritable of the lower 32, then of the upper 32.
_Data = ctypes.c_uint32 * 6


def capget(pid: int = 0) -> tuple[int, int, int]:
    """The effective, permitted and inheritable sets of a thread, or of this one: capget(2)."""
    header, data = _Header(_LINUX_CAPABILITY_VERSION_3, pid), _Data()
    checked(syscall(NUMBERS["capget"], ctypes.byref(header), data), "capget")
    effective, permitted, inheritable = (data[index] | data[index + 3] << 32 for index in range(3))
    return effective, permitted, inheritable


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set this thread's sets: capset(2)."""
    sets = (effective, permitted, inheritable)
    header = _Header(_LINUX_CAPABILITY_VERSION_3, 0)
    data = _Data(*(part & 0xFFFFFFFF for part in sets), *(part >> 32 for part in sets))
    checked(syscall(NUMBERS["capset"], ctypes.byref(header), data), "capset")


def drop_bounding(keep: int) -> None:
    """Take from the bounding set all but `keep`, for good: PR_CAPBSET_DROP(2const)."""
    for number in range(last_capability() + 1):
        if not keep >> number & 1:
            prctl("PR_CAPBSET_DROP", _PR_CAPBSET_DROP, number)


def set_ambient(capabilities: int) -> None:
    """Make this the ambient set; it has to be permitted and inheritable: PR_CAP_AMBIENT(2const)."""
    prctl("PR_CAP_AMBIENT_CLEAR_ALL", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    for number in range(64):
        if capabilities >> number & 1:
            prctl("PR_CAP_AMBIENT_RAISE", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number)
