"""bpf(2), as far as the device controller of cgroup v2 needs it.

Owns the layout of `union bpf_attr`. Knows nothing of what a program says.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from sampan.linux.syscalls import NUMBERS, oserror, syscall

_PROG_LOAD, _PROG_ATTACH, _PROG_DETACH, _PROG_GET_FD_BY_ID, _PROG_QUERY = 5, 8, 9, 13, 16
_PROG_TYPE_CGROUP_DEVICE = 15
_ATTACH_CGROUP_DEVICE = 6
_ALLOW_MULTI = 1 << 1  # BPF_F_ALLOW_MULTI: programs of other owners, and of cgroups below, hold as well

_MAX_ATTACHED = 64  # BPF_CGROUP_MAX_PROGS


def _bpf(command: int, attributes: bytes | ctypes.Array[ctypes.c_char], operation: str) -> int:
    buffer = (
        ctypes.create_string_buffer(attributes, len(attributes))
        if isinstance(attributes, bytes)
        else attributes
    )
    result = syscall(NUMBERS["bpf"], command, ctypes.addressof(buffer), len(buffer))
    if result < 0:
        raise oserror(operation)
    return result


def load_cgroup_device_program(program: bytes) -> int:
    """Load a program of BPF_PROG_TYPE_CGROUP_DEVICE; returns its descriptor (close-on-exec)."""
    instructions = ctypes.create_string_buffer(program, len(program))
    license_name = ctypes.create_string_buffer(b"Apache")
    attributes = struct.pack(
        "=IIQQIIQII16s",
        _PROG_TYPE_CGROUP_DEVICE,
        len(program) // 8,
        ctypes.addressof(instructions),
        ctypes.addressof(license_name),
        0,
        0,
        0,
        0,
        0,
        b"sampan_devices",
    )
    return _bpf(_PROG_LOAD, attributes, "bpf(BPF_PROG_LOAD)")


def attach_cgroup_device_program(cgroup: int, program: int) -> None:
    """Attach a program to a cgroup, beside those that are there."""
    attributes = struct.pack("=IIII", cgroup, program, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI)
    _bpf(_PROG_ATTACH, attributes, "bpf(BPF_PROG_ATTACH)")


def cgroup_device_programs(cgroup: int) -> list[int]:
    """Ids of the programs that are attached to this very cgroup."""
    ids = (ctypes.c_uint32 * _MAX_ATTACHED)()
    packed = struct.pack("=IIIIQI", cgroup, _ATTACH_CGROUP_DEVICE, 0, 0, ctypes.addressof(ids), _MAX_ATTACHED)
    attributes = ctypes.create_string_buffer(packed, len(packed))
    _bpf(_PROG_QUERY, attributes, "bpf(BPF_PROG_QUERY)")
    (count,) = struct.unpack_from("=I", attributes.raw, 24)
    return list(ids[:count])


def detach_cgroup_device_program(cgroup: int, program_id: int) -> None:
    """Detach a program by its id. Nothing happens if it is gone already."""
    try:
        attributes = struct.pack("=III", program_id, 0, 0)
        program = _bpf(_PROG_GET_FD_BY_ID, attributes, "bpf(BPF_PROG_GET_FD_BY_ID)")
    except OSError as error:
        if error.errno == errno.ENOENT:
            return
        raise
    try:
        attributes = struct.pack("=III", cgroup, program, _ATTACH_CGROUP_DEVICE)
        _bpf(_PROG_DETACH, attributes, "bpf(BPF_PROG_DETACH)")
    finally:
        os.close(program)
