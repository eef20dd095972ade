from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan import errors
from sampan.linux import processes, seccomp, syscalls
from tests.linux.children import end_of, in_child

ALLOW, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
NUMBER = {"x86_64": {"getppid": 110, "umask": 95}, "aarch64": {"getppid": 173, "umask": 166}}[
    os.uname().machine
]
UNBORN = 1000  # no kernel has as many system calls


def rule(names: str, action: str = ALLOW, **more: object) -> dict[str, object]:
    return {"names": names.split(), "action": action, **more}


def argument(index: int, op: str, value: int, value_two: int = 0) -> dict[str, object]:
    return {"index": index, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": value_two}


def allowing(*rules: dict[str, object], **more: object) -> dict[str, object]:
    return {"defaultAction": ALLOW, "syscalls": list(rules), **more}


def denying(*rules: dict[str, object], **more: object) -> dict[str, object]:
    return {"defaultAction": ERRNO, "syscalls": list(rules), **more}


def under(profile: dict[str, object], *calls: tuple[int, ...]) -> list[int]:
    """Make system calls under a profile: the errno of each, or 0."""
    program = seccomp.compile_filter(profile)

    def child() -> list[int]:
        processes.set_no_new_privileges()
        seccomp.load_filter(program)
        return [0 if syscalls.syscall(*call) >= 0 else ctypes.get_errno() for call in calls]

    result: list[int] = in_child(child)
    return result


# What Python makes beside them, before the child has reported.
PYTHON = rule("write close exit_group munmap mmap brk rt_sigaction futex read madvise mremap")


# --- In the kernel


def test_a_denied_system_call() -> None:
    profile = allowing(rule("mkdir mkdirat", ERRNO, errnoRet=errno.EXDEV))
    program = seccomp.compile_filter(profile)

    def child() -> int | None:
        processes.set_no_new_privileges()
        seccomp.load_filter(program)
        os.stat("/")
        try:
            os.mkdir("/tmp/never-made")
        except OSError as error:
            return error.errno
        return None

    assert in_child(child) == errno.EXDEV


def test_what_is_newer_than_the_profile_does_not_exist() -> None:
    calls = ((NUMBER["getppid"],), (NUMBER["umask"], 0o22), (UNBORN,))
    profile = denying(PYTHON, rule("getppid clone3"))
    assert under(profile, *calls) == [0, errno.EPERM, errno.ENOSYS]
    profile["defaultErrnoRet"] = errno.EACCES
    assert under(profile, *calls) == [0, errno.EACCES, errno.ENOSYS]


def test_a_permissive_default_lets_the_kernel_answer() -> None:
    assert under(allowing(rule("umask", ERRNO)), (UNBORN,), (NUMBER["umask"], 0)) == [
        errno.ENOSYS,
        errno.EPERM,
    ]


@pytest.mark.parametrize(
    ("action", "end"),
    [("KILL_PROCESS", -signal.SIGSYS), ("KILL", -signal.SIGSYS), ("TRAP", -signal.SIGSYS), ("LOG", 0)],
)
def test_actions_without_a_number(action: str, end: int) -> None:
    program = seccomp.compile_filter(allowing(rule("getppid", f"SCMP_ACT_{action}")))

    def child() -> None:
        processes.set_no_new_privileges()
        seccomp.load_filter(program)
        os.getppid()

    assert end_of(child) == end


def test_conditions_on_different_arguments_must_all_hold() -> None:
    both = [argument(0, "EQ", 5), argument(1, "GT", 2**33)]
    profile = allowing(rule("getppid", ERRNO, args=both))
    calls = [(NUMBER["getppid"], *rest) for rest in ((5, 2**33 + 1), (5, 2**33), (4, 2**33 + 1))]
    assert under(profile, *calls) == [errno.EPERM, 0, 0]


def test_of_conditions_on_one_argument_any_may_hold() -> None:
    profile = allowing(rule("getppid", ERRNO, args=[argument(0, "EQ", 5), argument(0, "EQ", 6)]))
    assert under(profile, *((NUMBER["getppid"], value) for value in (4, 5, 6))) == [
        0,
        errno.EPERM,
        errno.EPERM,
    ]


@pytest.mark.parametrize(
    ("op", "value", "value_two", "matching", "other"),
    [
        ("EQ", 7, 0, [7], [6, 8, 2**32 + 7]),
        ("NE", 7, 0, [6, 2**32 + 7], [7]),
        ("LT", 7, 0, [0, 6], [7, 2**32]),
        ("LE", 7, 0, [7], [8, 2**32]),
        ("GT", 7, 0, [8, 2**32], [7]),
        ("GE", 7, 0, [7, 2**63], [6]),
        ("MASKED_EQ", 0xF0, 0x30, [0x30, 0x3F, 2**40 + 0x35], [0x40, 0]),
    ],
)
def test_operators(op: str, value: int, value_two: int, matching: list[int], other: list[int]) -> None:
    profile = allowing(rule("getppid", ERRNO, args=[argument(0, op, value, value_two)]))
    found = under(profile, *((NUMBER["getppid"], number) for number in matching + other))
    assert found == [errno.EPERM] * len(matching) + [0] * len(other)


def test_programs_need_a_right_to_be_loaded() -> None:
    program = seccomp.compile_filter(allowing())

    def child() -> int | None:
        if os.geteuid() == 0:
            os.setresuid(65534, 65534, 65534)
        try:
            seccomp.load_filter(program)
        except OSError as error:
            return error.errno
        return None

    assert in_child(child) == errno.EACCES
    for broken in (b"", program[:-1], program * 5000):
        with pytest.raises(OSError, match="not a program"):
            seccomp.load_filter(broken)


# --- In an interpreter of BPF: other architectures

X86_64, I386, X32, AARCH64, ARM, S390X = (
    0xC000003E,
    0x40000003,
    0xC000003E,
    0xC00000B7,
    0x40000028,
    0x80000016,
)
RET_ALLOW, RET_KILL, RET_ENOSYS, RET_EPERM = 0x7FFF0000, 0, 0x50000 | errno.ENOSYS, 0x50000 | errno.EPERM


def run_bpf(program: bytes, architecture: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    """What a filter answers: the subset of classic BPF that libseccomp makes (linux/filter.h)."""
    data = struct.pack("=iIQ6Q", 0, architecture, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    data = struct.pack("=I", number) + data[4:]
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator, position = 0, 0
    jumps = {
        0x15: lambda a, k: a == k,
        0x25: lambda a, k: a > k,
        0x35: lambda a, k: a >= k,
        0x45: lambda a, k: bool(a & k),
    }
    while True:
        code, if_true, if_false, operand = instructions[position]
        position += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif code == 0x05:
            position += operand
        elif code in jumps:
            position += if_true if jumps[code](accumulator, operand) else if_false
        elif code == 0x54:
            accumulator &= operand
        elif code == 0x06:
            return int(operand)
        else:
            raise AssertionError(f"instruction {code:#x}")


def test_each_architecture_has_its_own_newest_system_call() -> None:
    names = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    # fallocate: x86_64 285, i386 324, x32 285, aarch64 47, arm 352
    program = seccomp.compile_filter(denying(rule("getppid fallocate"), architectures=names))
    newest = ((X86_64, 285), (I386, 324), (X32, 0x40000000 + 285), (AARCH64, 173), (ARM, 352))
    for architecture, number in newest:
        assert run_bpf(program, architecture, number) == RET_ALLOW
        assert run_bpf(program, architecture, number - 1) == RET_EPERM
        for later in (1, 2, 1000):
            assert run_bpf(program, architecture, number + later) == RET_ENOSYS
    assert run_bpf(program, S390X, 1) == RET_KILL


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="about x86_64")
def test_x32_is_another_architecture() -> None:
    program = seccomp.compile_filter(denying(rule("getppid"), architectures=["SCMP_ARCH_X86_64"]))
    assert run_bpf(program, X86_64, 110) == RET_ALLOW
    assert run_bpf(program, X86_64, 0x40000000 + 110) == RET_KILL


def test_a_default_of_enosys_or_of_a_tracer_needs_no_care() -> None:
    native = {"x86_64": X86_64, "aarch64": AARCH64}[os.uname().machine]
    for profile, answer in (
        (denying(rule("getppid"), defaultErrnoRet=errno.ENOSYS), RET_ENOSYS),
        ({**denying(rule("getppid")), "defaultAction": "SCMP_ACT_TRACE"}, 0x7FF00000 | errno.EPERM),
        ({**denying(rule("getppid")), "defaultAction": "SCMP_ACT_KILL_PROCESS"}, RET_ENOSYS),
    ):
        assert run_bpf(seccomp.compile_filter(profile), native, UNBORN) == answer


def test_a_long_profile_is_a_tree() -> None:
    """Loading costs by instruction, and each call is checked: it must not walk through hundreds."""
    native = {"x86_64": X86_64, "aarch64": AARCH64}[os.uname().machine]
    names = (
        "read write close fstat lseek mmap mprotect munmap brk ioctl pread64 pwrite64 readv writev pipe2 dup "
        "nanosleep getpid sendfile socket connect sendto recvfrom sendmsg recvmsg shutdown bind listen uname "
        "fcntl flock fsync getcwd chdir fchdir getppid umask"
    )
    program = seccomp.compile_filter(denying(rule(names)))
    assert run_bpf(program, native, NUMBER["umask"]) == RET_ALLOW
    # The linear form tests one after the other, a tree has comparisons (BPF_JGT) beside those of our own.
    greater = [code for code, *_ in struct.iter_unpack("=HBBI", program) if code == 0x25]
    assert len(greater) > 2


# --- Reading profiles


def test_unknown_system_calls_are_left_out() -> None:
    known = seccomp.compile_filter(denying(rule("getppid")))
    assert seccomp.compile_filter(denying(rule("getppid fly_to_the_moon"))) == known
    assert seccomp.compile_filter(denying(rule("getppid"), rule("umask", ERRNO), rule("getppid")))


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({}, "defaultAction: unknown action None"),
        ({"defaultAction": "SCMP_ACT_PANIC"}, "unknown action 'SCMP_ACT_PANIC'"),
        ({"defaultAction": ALLOW, "defaultErrnoRet": 1}, "SCMP_ACT_ALLOW takes no error number"),
        ({"defaultAction": ERRNO, "defaultErrnoRet": -1}, "-1 is no error number"),
        ({"defaultAction": ERRNO, "defaultErrnoRet": True}, "True is no error number"),
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "as default action"),
        (allowing(rule("read", "SCMP_ACT_NOTIFY")), "listenerPath is not set"),
        (allowing(rule("write", "SCMP_ACT_NOTIFY"), listenerPath="/x"), "for the write syscall"),
        (allowing(architectures=["SCMP_ARCH_Z80"]), "SCMP_ARCH_Z80 is not known"),
        (allowing(architectures=["x86_64"]), "x86_64 is not known"),
        (allowing(architectures="SCMP_ARCH_X86"), "architectures must be an array of strings"),
        (allowing({"action": ERRNO}), "names must be given"),
        (allowing(rule("", ERRNO)), "names must be given"),
        (allowing(rule("read", ERRNO, args=[argument(6, "EQ", 1)])), "index must be a number from 0 to 5"),
        (allowing(rule("read", ERRNO, args=[argument(0, "LIKE", 1)])), "unknown op 'SCMP_CMP_LIKE'"),
        (allowing(rule("read", ERRNO, args=[argument(0, "EQ", 2**64)])), "value must be a number"),
        ({"defaultAction": ALLOW, "syscalls": {}}, "syscalls must be an array"),
        ({"defaultAction": ALLOW, "syscalls": [1]}, "syscalls must be an array of objects"),
    ],
)
def test_a_wrong_profile(profile: dict[str, object], message: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"^seccomp: ") as caught:
        seccomp.compile_filter(profile)
    assert message in caught.value.message


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=3)
    | st.sampled_from([ALLOW, ERRNO, "SCMP_CMP_EQ"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["names", "action", "args", "errnoRet", "index", "op"]), inner)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["defaultAction", "defaultErrnoRet", "architectures", "syscalls"]), _JSON)
)
def test_any_document_is_compiled_or_refused(profile: dict[str, Any]) -> None:
    try:
        seccomp.compile_filter(profile)
    except errors.InvalidArgument:
        pass
