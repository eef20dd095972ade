"""Rules of the device controller: as text for v1, normalised and compiled to eBPF for v2.

The program is a BPF_PROG_TYPE_CGROUP_DEVICE: it gets the kind of access and the device's numbers, and answers
1 (allowed) or 0 (EPERM). See Documentation/admin-guide/cgroup-v2.rst, "Device controller".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from sampan.runtime.spec.resources import DeviceRule

# What every container may use, whatever its rules say, as with runc: to make nodes of any number (which gives
# no access to them), and null, zero, full, random, urandom, tty, ptmx and pseudo-terminals.
DEFAULT_RULES = (
    DeviceRule(True, "c", None, None, "m"),
    DeviceRule(True, "b", None, None, "m"),
    DeviceRule(True, "c", 1, 3, "rwm"),
    DeviceRule(True, "c", 1, 8, "rwm"),
    DeviceRule(True, "c", 1, 7, "rwm"),
    DeviceRule(True, "c", 5, 0, "rwm"),
    DeviceRule(True, "c", 1, 5, "rwm"),
    DeviceRule(True, "c", 1, 9, "rwm"),
    DeviceRule(True, "c", 136, None, "rwm"),
    DeviceRule(True, "c", 5, 2, "rwm"),
)


def rule_text(rule: DeviceRule) -> str:
    """As devices.allow and devices.deny take it: "c 1:3 rwm"."""
    if rule.type == "a":
        return "a *:* rwm"
    major = "*" if rule.major is None else rule.major
    minor = "*" if rule.minor is None else rule.minor
    return f"{rule.type} {major}:{minor} {rule.access}"


def normalise(rules: Sequence[DeviceRule]) -> tuple[bool, tuple[DeviceRule, ...]]:
    """Read the rules as cgroup v1 would: what is the answer without a rule, and which rules are left.

    A rule for type "a" sets the answer and ends all rules before it (cgroup-v1/devices.rst); without one, v1
    starts with what the parent has, which is all devices.
    """
    default = True
    left: list[DeviceRule] = []
    for rule in rules:
        if rule.type == "a":
            default, left = rule.allow, []
        else:
            left.append(rule)
    return default, tuple(left)


# Instructions, from linux/bpf.h: code, destination and source register, offset, immediate.
_LDX_W = 0x61  # dst = *(u32 *)(src + offset)
_AND_IMM, _RSH_IMM, _MOV_IMM, _MOV32_REG, _AND32_IMM = 0x57, 0x77, 0xB7, 0xBC, 0x54
_JEQ_IMM, _JNE_IMM, _JNE_REG, _EXIT = 0x15, 0x55, 0x5D, 0x95

_TYPES = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}
_ALL_ACCESS = 7

_R0, _R1, _CONTEXT, _TYPE, _WANTED, _MAJOR, _MINOR = 0, 1, 1, 2, 3, 4, 5


def _instruction(code: int, dst: int = 0, src: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    # An unsigned number of 32 bits is stored with the same bits as the signed one.
    return struct.pack("<BBhI", code, dst | src << 4, offset, immediate & 0xFFFFFFFF)


def compile_rules(rules: Sequence[DeviceRule]) -> bytes:
    """The program for these rules. The last one that matches decides, so it is tried first."""
    default, left = normalise(rules)
    program = [
        _instruction(_LDX_W, _TYPE, _CONTEXT, 0),
        _instruction(_AND_IMM, _TYPE, immediate=0xFFFF),
        _instruction(_LDX_W, _WANTED, _CONTEXT, 0),
        _instruction(_RSH_IMM, _WANTED, immediate=16),
        _instruction(_LDX_W, _MAJOR, _CONTEXT, 4),
        _instruction(_LDX_W, _MINOR, _CONTEXT, 8),
    ]
    for rule in reversed(left):
        program += _block(rule)
    program += [_instruction(_MOV_IMM, _R0, immediate=int(default)), _instruction(_EXIT)]
    return b"".join(program)


def _block(rule: DeviceRule) -> list[bytes]:
    """Instructions that answer if the rule matches, and fall through to what follows if not."""
    access = sum(_ACCESS[letter] for letter in set(rule.access))
    # (code, register, source, immediate) of each comparison that leads out of the block
    tests: list[tuple[int, int, int, int]] = [(_JNE_IMM, _TYPE, 0, _TYPES[rule.type])]
    masked: list[bytes] = []
    if access != _ALL_ACCESS:
        # To be allowed, all that is wanted has to be in the rule; to be denied, any of it.
        masked = [_instruction(_MOV32_REG, _R1, _WANTED), _instruction(_AND32_IMM, _R1, immediate=access)]
        tests.append((_JNE_REG, _R1, _WANTED, 0) if rule.allow else (_JEQ_IMM, _R1, 0, 0))
    for register, number in ((_MAJOR, rule.major), (_MINOR, rule.minor)):
        if number is not None:
            tests.append((_JNE_IMM, register, 0, number))
    body: list[bytes] = []
    length = len(tests) + len(masked) + 2
    for index, (code, register, source, immediate) in enumerate(tests):
        if index == 1:
            body += masked
        # Offsets count from the next instruction.
        body.append(_instruction(code, register, source, length - len(body) - 1, immediate))
    return [*body, _instruction(_MOV_IMM, _R0, immediate=int(rule.allow)), _instruction(_EXIT)]
