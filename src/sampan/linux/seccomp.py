"""Seccomp: from the `linux.seccomp` object of the OCI specification to a BPF program, and loading one.

Owns the meaning of a profile, the use of libseccomp as a compiler, and seccomp(2). Compiling takes
milliseconds and loads libseccomp at its first use; loading a program that was compiled before (see the
runtime's cache) needs neither.

A system call that is newer than the profile must fail with ENOSYS, as on an old kernel, so that libc falls
back to an older one; the profile's default, mostly EPERM, would be taken for the answer. libseccomp cannot
say this, so a few instructions of our own come first. As with runc, a system call is newer than the profile
if its number is above all those that the profile names.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence

from sampan import errors
from sampan.linux.syscalls import NUMBERS, checked, syscall
from sampan.records import dataclass

# Names in config.json, values from include/uapi/linux/seccomp.h.
FILTER_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0x01,
    "SECCOMP_FILTER_FLAG_LOG": 0x02,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 0x04,
    "SECCOMP_FILTER_FLAG_NEW_LISTENER": 0x08,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 0x20,
}
NEW_LISTENER = FILTER_FLAGS["SECCOMP_FILTER_FLAG_NEW_LISTENER"]
# Those that a profile may name: a listener comes from its rules.
PROFILE_FLAGS = tuple(name for name, flag in FILTER_FLAGS.items() if flag != NEW_LISTENER)
_SECCOMP_SET_MODE_FILTER = 1

# An action is a kernel's SECCOMP_RET_* value; those of the second table carry a number in the lower half.
_ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_NUMBERED_ACTIONS = {"SCMP_ACT_ERRNO": 0x00050000, "SCMP_ACT_TRACE": 0x7FF00000}
ACTIONS = frozenset((*_ACTIONS, *_NUMBERED_ACTIONS))
_ERRNO_ENOSYS = _NUMBERED_ACTIONS["SCMP_ACT_ERRNO"] | errno.ENOSYS
_NOTIFY = _ACTIONS["SCMP_ACT_NOTIFY"]
_ACTION_MASK = 0xFFFF0000

# enum scmp_compare of libseccomp's seccomp.h
OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
_MAX_ARGUMENTS = 6

# The specification's; which of them a filter can be made for is up to the libseccomp that is installed.
ARCHITECTURES = tuple(
    f"SCMP_ARCH_{name}"
    for name in (
        *("AARCH64", "ARM", "LOONGARCH64", "M68K", "MIPS", "MIPS64", "MIPS64N32", "MIPSEL", "MIPSEL64"),
        *("MIPSEL64N32", "PARISC", "PARISC64", "PPC", "PPC64", "PPC64LE", "RISCV64", "S390", "S390X"),
        *("SH", "SHEB", "X32", "X86", "X86_64"),
    )
)

# What `compile_filter` makes of a profile, as a number that grows when that changes: programs are kept on
# disk.
GENERATION = 1

_LIBRARY = "libseccomp.so.2"
_LIBRARY_FOLDERS = (
    f"/usr/lib/{getattr(sys.implementation, '_multiarch', '')}",
    *("/usr/lib64", "/usr/lib", "/usr/local/lib", "/lib"),
)

_INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter: code, jump if true, jump if false, operand
_MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS


@dataclass(frozen=True, slots=True)
class Condition:
    """What an argument of a system call has to be; for SCMP_CMP_MASKED_EQ `value` is the mask."""

    index: int
    operator: int
    value: int
    value_two: int


@dataclass(frozen=True, slots=True)
class Rule:
    """The action for these system calls, if all conditions hold."""

    names: tuple[str, ...]
    action: int
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """A checked `linux.seccomp`, without what concerns loading alone (`flags`, `listenerPath`)."""

    default_action: int
    architectures: tuple[str, ...]
    rules: tuple[Rule, ...]


def compile_filter(profile: Mapping[str, object]) -> bytes:
    """The BPF program of `linux.seccomp`. Raises `InvalidArgument` for a profile that is wrong."""
    wanted = parse_profile(profile)
    library = _Libseccomp()
    context = library.new_filter(wanted.default_action)
    try:
        architectures = library.add_architectures(context, wanted.architectures)
        # libseccomp up to 2.5.4 goes wrong with a tree for no rules, and a node of the tree has four: like
        # runc, only from 32 system calls on.
        if sum(len(rule.names) for rule in wanted.rules) > 32:
            library.optimize(context)
        for rule in wanted.rules:
            # What the default does anyway is an error to libseccomp.
            if rule.action != wanted.default_action:
                library.add_rule(context, rule)
        program = _enosys_stub(_last_system_calls(library, architectures, wanted)) + library.export(context)
    finally:
        library.release(context)
    if len(program) > _MAX_INSTRUCTIONS * _INSTRUCTION.size:
        raise _invalid(f"the profile is too long: {len(program) // _INSTRUCTION.size} instructions")
    return program


class _Program(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def load_filter(program: bytes, flags: int = 0) -> int:
    """Submit this thread to a program, for good: seccomp(2), SECCOMP_SET_MODE_FILTER.

    Needs no_new_privs or CAP_SYS_ADMIN. Returns the listener's descriptor with
    SECCOMP_FILTER_FLAG_NEW_LISTENER, else 0.
    """
    if (
        not program
        or len(program) % _INSTRUCTION.size
        or len(program) > _MAX_INSTRUCTIONS * _INSTRUCTION.size
    ):
        raise OSError(errno.EINVAL, f"seccomp: not a program: {len(program)} bytes")
    argument = ctypes.byref(_Program(len(program) // _INSTRUCTION.size, program))
    result = checked(syscall(NUMBERS["seccomp"], _SECCOMP_SET_MODE_FILTER, flags, argument), "seccomp")
    if result > 0 and not flags & NEW_LISTENER:  # SECCOMP_FILTER_FLAG_TSYNC
        raise OSError(errno.EBUSY, f"seccomp: thread {result} cannot take over the filter")
    return result


# --- Reading a profile


def library_identity() -> list[int]:
    """What tells the installed libseccomp from another version of it, without loading it: two times and a
    size. Empty if it is at none of the usual places.
    """
    for folder in _LIBRARY_FOLDERS:
        try:
            found = os.stat(f"{folder}/{_LIBRARY}")
        except OSError:
            continue
        return [found.st_mtime_ns, found.st_ctime_ns, found.st_size]
    return []


def parse_profile(profile: Mapping[str, object]) -> Profile:
    """Check a profile's fields, as far as this takes no libseccomp. `InvalidArgument` names the wrong one."""
    default = _action(profile.get("defaultAction"), profile.get("defaultErrnoRet"), "defaultAction")
    if default == _NOTIFY:
        raise _invalid("SCMP_ACT_NOTIFY cannot be used as default action")
    rules = tuple(_rule(entry) for entry in _objects(profile, "syscalls"))
    notified = [name for rule in rules if rule.action == _NOTIFY for name in rule.names]
    path, metadata = (_text(profile, key) for key in ("listenerPath", "listenerMetadata"))
    if notified and not path:
        raise _invalid("SCMP_ACT_NOTIFY is used, but listenerPath is not set")
    if metadata and not path:
        raise _invalid("listenerMetadata must not be set without listenerPath")
    if "write" in notified:
        # The descriptor of the listener could not be sent any more.
        raise _invalid("SCMP_ACT_NOTIFY cannot be used for the write syscall")
    architectures = _strings(profile, "architectures")
    for name in architectures:
        if name not in ARCHITECTURES and name != "SCMP_ARCH_NATIVE":
            raise _invalid(f"architectures: {name} is not known")
    return Profile(default, architectures, rules)


def _rule(entry: Mapping[str, object]) -> Rule:
    names = _strings(entry, "names")
    if not names or "" in names:
        raise _invalid("syscalls: names must be given, and none of them empty")
    action = _action(entry.get("action"), entry.get("errnoRet"), f"syscalls: {names[0]}: action")
    return Rule(names, action, tuple(_condition(argument) for argument in _objects(entry, "args")))


def _condition(argument: Mapping[str, object]) -> Condition:
    operator = argument.get("op")
    if not isinstance(operator, str) or operator not in OPERATORS:
        raise _invalid(f"syscalls: args: unknown op {operator!r}")
    for key in ("index", "value"):
        if argument.get(key) is None:
            raise _invalid(f"syscalls: args: {key} is required")
    index = _number(argument, "index", _MAX_ARGUMENTS - 1)
    value, value_two = (_number(argument, key, 2**64 - 1) for key in ("value", "valueTwo"))
    return Condition(index, OPERATORS[operator], value, value_two)


def _action(name: object, number: object, field: str) -> int:
    if isinstance(name, str) and name in _NUMBERED_ACTIONS:
        if number is None:
            number = errno.EPERM
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= 0xFFFF:
            raise _invalid(f"{field}: {number!r} is no error number")
        return _NUMBERED_ACTIONS[name] | number
    if not isinstance(name, str) or name not in _ACTIONS:
        raise _invalid(f"{field}: unknown action {name!r}")
    if number is not None:
        # The specification: "When the action doesn't support an errno, the runtime MUST print and error and
        # fail."
        raise _invalid(f"{field}: {name} takes no error number")
    return _ACTIONS[name]


def _objects(document: Mapping[str, object], key: str) -> Iterable[Mapping[str, object]]:
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise _invalid(f"{key} must be an array of objects")
    return value


def _strings(document: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = document.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise _invalid(f"{key} must be an array of strings")
    return tuple(value)


def _text(document: Mapping[str, object], key: str) -> str:
    value = document.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise _invalid(f"{key} must be a string without NUL")
    return value


def _number(document: Mapping[str, object], key: str, highest: int) -> int:
    value = document.get(key)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= highest:
        raise _invalid(f"syscalls: args: {key} must be a number from 0 to {highest}")
    return value


def _invalid(reason: str) -> errors.InvalidArgument:
    return errors.InvalidArgument(f"seccomp: {reason}")


# --- System calls that the profile cannot know

# linux/filter.h and linux/bpf_common.h: load a word of struct seccomp_data, jump, return.
_LD_ABSOLUTE, _JA, _JEQ, _JGT, _JSET, _RET = 0x20, 0x05, 0x15, 0x25, 0x45, 0x06
_NR_OFFSET, _ARCH_OFFSET = 0, 4

# include/uapi/linux/audit.h. Both x86-64 ABIs have this one; x32 numbers have a bit of their own.
_AUDIT_ARCH_X86_64 = 0xC000003E
_X32_BIT = 0x40000000
# A libseccomp token of an architecture is its AUDIT_ARCH_*, but for this made-up one.
_SCMP_ARCH_X32 = 0x4000003E

_NO_LIMIT = 0xFFFFFFFF


def _last_system_calls(
    library: _Libseccomp, architectures: Iterable[int], profile: Profile
) -> dict[int, int]:
    """The highest number that the profile names, by libseccomp's token; nothing if new calls need no care."""
    default = profile.default_action
    # A program that may do anything by default may use new system calls; a tracer is to decide by itself.
    permissive = default in (_ACTIONS["SCMP_ACT_ALLOW"], _ACTIONS["SCMP_ACT_LOG"])
    if (
        permissive
        or default & _ACTION_MASK == _NUMBERED_ACTIONS["SCMP_ACT_TRACE"]
        or default == _ERRNO_ENOSYS
    ):
        return {}
    names = {name for rule in profile.rules for name in rule.names}
    last = {
        token: max((library.number_of(name, token) for name in names), default=-1) for token in architectures
    }
    return {token: number for token, number in last.items() if number > 0}


def _enosys_stub(last: Mapping[int, int]) -> bytes:
    """Instructions that answer ENOSYS above the last number, and else go on behind themselves."""
    sections = []
    for token, number in last.items():
        if token not in (_AUDIT_ARCH_X86_64, _SCMP_ARCH_X32):
            sections.append((token, [(_JGT, 1, 0, number)]))
    if _AUDIT_ARCH_X86_64 in last or _SCMP_ARCH_X32 in last:
        tests = [
            (_JSET, 1, 0, _X32_BIT),
            (_JGT, 2, 1, last.get(_AUDIT_ARCH_X86_64, _NO_LIMIT)),
            (_JGT, 1, 0, last.get(_SCMP_ARCH_X32, _NO_LIMIT)),
        ]
        sections.append((_AUDIT_ARCH_X86_64, tests))
    if not sections:
        return b""
    program: list[tuple[int, int, int, int]] = []
    # From the last section to the first, since a jump counts the instructions that follow.
    for token, tests in reversed(sections):
        out = len(program) + 1
        body = [(_LD_ABSOLUTE, 0, 0, _NR_OFFSET), *tests, (_JA, 0, 0, out), (_RET, 0, 0, _ERRNO_ENOSYS)]
        program = [(_JEQ, 0, len(body), token), *body, *program]
    program.insert(0, (_LD_ABSOLUTE, 0, 0, _ARCH_OFFSET))
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)


# --- libseccomp


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp"""

    _fields_ = (
        ("index", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("value_two", ctypes.c_uint64),
    )


_SCMP_FLTATR_CTL_OPTIMIZE = 8
_BINARY_TREE = 2


@functools.cache
def _load_library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise errors.SampanError(f"a seccomp profile needs libseccomp ({_LIBRARY}): {error}") from error
    uint32, number, text, context = ctypes.c_uint32, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p
    signatures: dict[str, tuple[object, Sequence[type]]] = {
        "seccomp_init": (context, (uint32,)),
        "seccomp_release": (None, (context,)),
        "seccomp_arch_native": (uint32, ()),
        "seccomp_arch_resolve_name": (uint32, (text,)),
        "seccomp_arch_add": (number, (context, uint32)),
        "seccomp_attr_set": (number, (context, number, uint32)),
        "seccomp_syscall_resolve_name": (number, (text,)),
        "seccomp_syscall_resolve_name_arch": (number, (uint32, text)),
        "seccomp_rule_add_array": (
            number,
            (context, uint32, number, ctypes.c_uint, ctypes.POINTER(_Comparison)),
        ),
        "seccomp_export_bpf": (number, (context, number)),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class _Libseccomp:
    """The functions of libseccomp that are used here: seccomp_init(3). A negative result is an errno."""

    def __init__(self) -> None:
        self._library = _load_library()

    def new_filter(self, default_action: int) -> int:
        context = self._library.seccomp_init(default_action)
        if not context:
            raise _invalid(f"libseccomp does not take {default_action:#x} as default action")
        return int(context)

    def release(self, context: int) -> None:
        self._library.seccomp_release(context)

    def add_architectures(self, context: int, names: Iterable[str]) -> list[int]:
        """Also the native one, which a new filter has. Returns the tokens of all."""
        tokens = [self._library.seccomp_arch_native()]
        for name in names:
            token = self._library.seccomp_arch_resolve_name(name.removeprefix("SCMP_ARCH_").lower().encode())
            if not name.startswith("SCMP_ARCH_") or token == 0:
                raise _invalid(f"architectures: {name} is not known to libseccomp")
            if name == "SCMP_ARCH_NATIVE" or token in tokens:
                continue
            _succeeded(self._library.seccomp_arch_add(context, token), f"cannot add architecture {name}")
            tokens.append(token)
        return tokens

    def optimize(self, context: int) -> None:
        # Refused by libseccomp before 2.5: the program is only slower then.
        self._library.seccomp_attr_set(context, _SCMP_FLTATR_CTL_OPTIMIZE, _BINARY_TREE)

    def number_of(self, name: str, token: int) -> int:
        """The number of a system call; negative if it is unknown, or exists only on other architectures."""
        return int(self._library.seccomp_syscall_resolve_name_arch(token, name.encode()))

    def add_rule(self, context: int, rule: Rule) -> None:
        """Names that libseccomp does not know are left out, as runc does: this machine cannot mean them."""
        conditions = [
            _Comparison(each.index, each.operator, each.value, each.value_two) for each in rule.conditions
        ]
        # libseccomp tests an argument once per rule. With two tests of one, runc makes each a rule: any will
        # do.
        if len({each.index for each in rule.conditions}) < len(conditions):
            alternatives = [[each] for each in conditions]
        else:
            alternatives = [conditions]
        for name in rule.names:
            number = self._library.seccomp_syscall_resolve_name(name.encode())
            if number == -1:  # __NR_SCMP_ERROR
                continue
            for together in alternatives:
                array = (_Comparison * len(together))(*together)
                added = self._library.seccomp_rule_add_array(
                    context, rule.action, number, len(together), array
                )
                if added != -errno.EEXIST:
                    _succeeded(added, f"cannot add a rule for {name}")

    def export(self, context: int) -> bytes:
        fd = os.memfd_create("seccomp")
        with open(fd, "rb") as file:
            _succeeded(self._library.seccomp_export_bpf(context, fd), "cannot compile the profile")
            file.seek(0)
            return file.read()


def _succeeded(result: int, failure: str) -> None:
    if result < 0:
        raise _invalid(f"{failure}: {os.strerror(-result)}")
