from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sampan.linux import syscalls
from tests.linux.children import in_child


def test_an_error_carries_operation_and_path() -> None:
    result = syscalls.syscall(syscalls.NUMBERS["umount2"], b"/no/such/mount", 0)
    with pytest.raises(OSError) as caught:
        syscalls.checked(result, "umount2", "/no/such/mount")
    assert caught.value.errno in (errno.ENOENT, errno.EPERM)
    assert caught.value.strerror is not None and caught.value.strerror.startswith("umount2: ")
    assert caught.value.filename == "/no/such/mount"


def test_a_string_with_a_nul_does_not_reach_the_kernel() -> None:
    with pytest.raises(ValueError, match="null byte"):
        syscalls.c_string("/etc\0/passwd")


def test_a_64_bit_argument_arrives_whole() -> None:
    # The offset of lseek(2), whose number is 8 on x86_64 and 62 on aarch64.
    number = {"x86_64": 8, "aarch64": 62}[os.uname().machine]
    fd = os.memfd_create("offset")
    try:
        assert syscalls.syscall(number, fd, 2**40 + 1, os.SEEK_SET) == 2**40 + 1
    finally:
        os.close(fd)


def test_getcwd(tmp_path: Path) -> None:
    def child() -> str:
        os.chdir(tmp_path)
        return syscalls.getcwd()

    assert in_child(child) == str(tmp_path)


@pytest.mark.root
def test_getcwd_outside_of_the_root(tmp_path: Path) -> None:
    def child() -> str:
        os.chdir("/")
        os.chroot(tmp_path)
        return syscalls.getcwd()

    assert in_child(child).startswith("(unreachable)")
