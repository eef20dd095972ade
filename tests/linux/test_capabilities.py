from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable

import pytest

from sampan.linux import capabilities, processes
from tests.linux.children import in_child, status_field

_SETS = ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")


def _sets_after(change: Callable[[], object]) -> dict[str, int]:
    def child() -> dict[str, int]:
        change()
        return {name: int(status_field(name), 16) for name in _SETS}

    result: dict[str, int] = in_child(child)
    return result


def test_names_are_numbers() -> None:
    assert capabilities.mask(["CAP_CHOWN", "CAP_SYS_ADMIN"]) == 1 << 0 | 1 << 21
    assert capabilities.mask(["CAP_CHECKPOINT_RESTORE"]) == 1 << 40
    with pytest.raises(KeyError):
        capabilities.mask(["CAP_FLY"])


def test_the_last_one_is_the_kernels() -> None:
    with open("/proc/sys/kernel/cap_last_cap") as file:
        assert capabilities.last_capability() == int(file.read())


def test_capget_reads_what_proc_shows() -> None:
    expected = tuple(int(status_field(name), 16) for name in ("CapEff", "CapPrm", "CapInh"))
    assert capabilities.capget() == expected
    assert capabilities.capget(os.getppid())[1] == int(status_field("CapPrm", os.getppid()), 16)
    with pytest.raises(ProcessLookupError, match="capget"):
        capabilities.capget(2**22 + 1)


@pytest.mark.root
def test_capset_reaches_both_halves() -> None:
    wanted = capabilities.mask(["CAP_KILL", "CAP_BPF"])
    found = _sets_after(lambda: capabilities.capset(wanted, wanted, 0))
    assert found["CapEff"] == found["CapPrm"] == wanted
    assert wanted >> 32


@pytest.mark.root
def test_dropping_the_bounding_set() -> None:
    keep = capabilities.mask(["CAP_KILL", "CAP_BPF"])
    assert _sets_after(lambda: capabilities.drop_bounding(keep))["CapBnd"] == keep


@pytest.mark.root
def test_the_ambient_set_survives_a_user_change_and_execve() -> None:
    wanted = capabilities.mask(["CAP_NET_BIND_SERVICE", "CAP_BPF"])

    def child() -> str:
        processes.set_keep_capabilities(True)
        os.setresuid(65534, 65534, 65534)
        capabilities.capset(wanted, wanted, wanted)
        capabilities.set_ambient(wanted)
        return subprocess.check_output(["/bin/cat", "/proc/self/status"], text=True)

    shown = dict(line.split(":\t", 1) for line in in_child(child).splitlines())
    assert {int(shown[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {wanted}


@pytest.mark.root
def test_what_is_not_permitted_is_refused() -> None:
    def child() -> int | None:
        capabilities.capset(0, 0, 0)
        try:
            capabilities.capset(1, 1, 0)
        except OSError as error:
            return error.errno
        return None

    assert in_child(child) == errno.EPERM
