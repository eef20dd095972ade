from __future__ import annotations

import os
import signal
import struct
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan import errors
from sampan.runtime.cgroups import Cgroup, open_cgroups
from sampan.runtime.cgroups.device_rules import compile_rules, normalise, rule_text
from sampan.runtime.cgroups.v2 import V2Cgroup
from sampan.runtime.cgroups.v2_limits import cpu_weight, io_weight, swap_limit
from sampan.runtime.spec.resources import DeviceRule, parse_resources

# --- device rules ---


def run_program(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """A BPF machine, as far as our programs need one."""
    instructions = list(struct.iter_unpack("<BBhI", program))
    bits = sum({"m": 1, "r": 2, "w": 4}[letter] for letter in access)
    context = {0: {"b": 1, "c": 2}[kind] | bits << 16, 4: major, 8: minor}
    registers = [0] * 10
    place = 0
    while True:
        code, both, offset, immediate = instructions[place]
        dst, src = both & 15, both >> 4
        place += 1
        if code == 0x61:
            registers[dst] = context[offset]
        elif code in (0x57, 0x54):
            registers[dst] &= immediate
        elif code == 0x77:
            registers[dst] >>= immediate
        elif code == 0xB7:
            registers[dst] = immediate
        elif code == 0xBC:
            registers[dst] = registers[src]
        elif code in (0x15, 0x55, 0x5D):
            other = registers[src] if code == 0x5D else immediate
            if (registers[dst] == other) == (code == 0x15):
                place += offset
        else:
            assert code == 0x95
            return bool(registers[0])


def decide(rules: list[DeviceRule], kind: str, major: int, minor: int, access: str) -> bool:
    """The meaning of the rules, in words: the last one that speaks of this device and access decides."""
    default, left = normalise(rules)
    for rule in reversed(left):
        if rule.type != kind or rule.major not in (None, major) or rule.minor not in (None, minor):
            continue
        wanted, spoken_of = set(access), set(rule.access)
        if wanted <= spoken_of if rule.allow else wanted & spoken_of:
            return rule.allow
    return default


NUMBERS = st.none() | st.integers(0, 3)
ACCESS = st.sets(st.sampled_from("rwm"), min_size=1).map(lambda letters: "".join(sorted(letters)))
RULES = st.builds(DeviceRule, st.booleans(), st.sampled_from("abc"), NUMBERS, NUMBERS, ACCESS)


@given(st.lists(RULES, max_size=6), st.sampled_from("bc"), st.integers(0, 3), st.integers(0, 3), ACCESS)
def test_programs_mean_what_the_rules_say(
    rules: list[DeviceRule], kind: str, major: int, minor: int, access: str
) -> None:
    assert run_program(compile_rules(rules), kind, major, minor, access) == decide(
        rules, kind, major, minor, access
    )


def test_rule_text() -> None:
    assert rule_text(DeviceRule(True, "c", 1, None, "rw")) == "c 1:* rw"
    assert rule_text(DeviceRule(False, "a", 5, 5, "r")) == "a *:* rwm"


# --- conversions ---


@pytest.mark.parametrize(
    ("shares", "weight"),
    [(1, 1), (2, 1), (512, 59), (1024, 100), (2048, 174), (262144, 10000), (10**9, 10000)],
)
def test_cpu_weight(shares: int, weight: int) -> None:
    assert cpu_weight(shares) == weight


def test_io_weight() -> None:
    assert [io_weight(weight) for weight in (10, 500, 1000)] == [1, 4950, 10000]


def test_swap_limit() -> None:
    assert swap_limit(100, 300) == "200"
    assert swap_limit(100, 100) == "0"
    assert swap_limit(100, -1) == "max"
    assert swap_limit(-1, None) == "max"
    assert swap_limit(100, None) is None
    for limit, swap in ((None, 100), (200, 100)):
        with pytest.raises(errors.InvalidArgument):
            swap_limit(limit, swap)


# --- how the host mounts them ---

V1 = """30 1 0:1 / /sys/fs/cgroup ro - tmpfs tmpfs ro
31 30 0:2 / /sys/fs/cgroup/cpu,cpuacct rw shared:5 - cgroup cgroup rw,cpu,cpuacct
32 30 0:3 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd
33 30 0:4 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
"""
UNIFIED = "34 30 0:5 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
V2 = "34 30 0:5 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"


@pytest.mark.parametrize(("text", "mode"), [(V1, "v1"), (V1 + UNIFIED, "hybrid"), (V2, "v2")])
def test_modes(tmp_path: Path, text: str, mode: str) -> None:
    (tmp_path / "mountinfo").write_text(text)
    hierarchy = open_cgroups(str(tmp_path / "mountinfo"))
    assert hierarchy.mode == mode
    view = hierarchy.cgroup("/a/b").view()
    if mode == "v2":
        assert view.version == 2
    else:
        assert [(entry.name, entry.options, entry.path) for entry in view.hierarchies] == [
            ("cpu,cpuacct", ("cpu", "cpuacct"), "/sys/fs/cgroup/cpu,cpuacct/a/b"),
            ("systemd", ("none", "name=systemd"), "/sys/fs/cgroup/systemd/a/b"),
            ("memory", ("memory",), "/sys/fs/cgroup/memory/a/b"),
        ]


def test_no_cgroups(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text("1 0 0:1 / / rw - ext4 /dev/vda rw\n")
    with pytest.raises(errors.Unsupported):
        open_cgroups(str(tmp_path / "mountinfo"))


@pytest.mark.parametrize("path", ["/", "", "/..", "/a/../..", "//", "./"])
def test_paths_that_are_no_containers(tmp_path: Path, path: str) -> None:
    (tmp_path / "mountinfo").write_text(V2)
    with pytest.raises(errors.InvalidArgument):
        open_cgroups(str(tmp_path / "mountinfo")).cgroup(path)


# --- real ones ---


def _v2() -> V2Cgroup:
    """The v2 tree of this host, which on a hybrid one has few controllers, if any."""
    unified = open_cgroups().unified
    if unified is None:
        pytest.skip("this host has no cgroup v2")
    path = f"/sampan-runtime-test-{uuid.uuid4().hex[:12]}"
    return V2Cgroup(path, unified.mount_point, path)


def _native() -> Cgroup:
    return open_cgroups().cgroup(f"/sampan-runtime-test-{uuid.uuid4().hex[:12]}")


@pytest.fixture(params=[_native, _v2])
def cgroup(request: pytest.FixtureRequest) -> Iterator[Cgroup]:
    made: Cgroup = request.param()
    made.create()
    yield made
    made.kill()
    made.delete()
    assert not made.exists()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


@pytest.mark.root
def test_delegation_gives_the_files_that_the_kernel_names_and_no_limit() -> None:
    cgroup = _v2()
    cgroup.create()
    try:
        cgroup.delegate(100000)
        owners = {path.name: path.stat().st_uid for path in Path(cgroup.folder).iterdir()}
        assert Path(cgroup.folder).stat().st_uid == 100000
        given = {name for name, owner in owners.items() if owner == 100000}
        named = set(Path("/sys/kernel/cgroup/delegate").read_text().split())
        assert given == named & set(owners)
        assert {"cgroup.procs", "cgroup.subtree_control"} <= given
        assert "cgroup.max.depth" not in given
    finally:
        cgroup.delete()


@pytest.mark.root
def test_life(cgroup: Cgroup, sleeper: subprocess.Popen[bytes]) -> None:
    assert cgroup.exists() and cgroup.pids() == []
    cgroup.create()
    cgroup.attach(sleeper.pid)
    assert cgroup.pids() == [sleeper.pid]
    assert not cgroup.is_frozen()
    cgroup.freeze()
    assert cgroup.is_frozen()
    cgroup.thaw()
    assert not cgroup.is_frozen()
    assert cgroup.oom_kill_count() == 0
    cgroup.stats()
    cgroup.freeze()
    cgroup.kill()
    assert sleeper.wait(10) == -signal.SIGKILL
    assert cgroup.pids() == []


@pytest.mark.root
def test_a_process_enters_by_itself() -> None:
    cgroup = _native()
    cgroup.create()
    entrances = cgroup.entrances()

    def enter() -> None:
        for fd in entrances:
            os.write(fd, b"0")

    try:
        with subprocess.Popen(["sleep", "1000"], preexec_fn=enter) as process:
            inside = 0
            with open(f"/proc/{process.pid}/cgroup", encoding="ascii") as file:
                for line in file:
                    inside += line.rstrip().endswith(cgroup.path)
            assert inside == len(entrances)
            process.kill()
    finally:
        for fd in entrances:
            os.close(fd)
        cgroup.delete()


@pytest.mark.root
def test_delete_takes_what_the_container_has_made(cgroup: Cgroup) -> None:
    descriptor = cgroup.descriptor()
    if descriptor is not None:
        os.close(descriptor)
    for hierarchy in cgroup.view().hierarchies:
        os.makedirs(f"{hierarchy.path}/inner/most")
    cgroup.delete()
    assert not cgroup.exists()
    cgroup.delete()


@pytest.mark.root
def test_limits_and_their_statistics(sleeper: subprocess.Popen[bytes]) -> None:
    cgroup = _native()
    cgroup.create()
    try:
        cgroup.attach(sleeper.pid)
        for limit in (64 << 20, 32 << 20, 128 << 20):
            cgroup.apply(parse_resources({"memory": {"limit": limit, "swap": limit}, "pids": {"limit": 10}}))
            assert cgroup.stats().memory_limit == limit
        stats = cgroup.stats()
        assert (stats.pids_current, stats.pids_limit) == (1, 10)
        with pytest.raises((OSError, errors.InvalidArgument)):
            cgroup.apply(parse_resources({"cpu": {"cpus": "4000-5000"}}))
    finally:
        cgroup.kill()
        sleeper.wait(10)
        cgroup.delete()


@pytest.mark.root
def test_device_programs_of_v2() -> None:
    """Only the allowed devices can be opened; rules that are applied again replace the ones before."""
    cgroup = _v2()
    cgroup.create()
    deny = {"allow": False, "access": "rwm"}
    kmsg = {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}
    # The shell moves itself in, so that it may still be started with any devices.
    script = (
        f"echo $$ > {cgroup.folder}/cgroup.procs; for d in null kmsg; do (: < /dev/$d) 2>&- && echo $d; done"
    )
    try:
        for rules, expected in (([deny], "null\n"), ([deny, kmsg], "null\nkmsg\n"), ([deny], "null\n")):
            cgroup.apply(parse_resources({"devices": rules}))
            assert subprocess.run(["sh", "-c", script], capture_output=True, text=True).stdout == expected
    finally:
        cgroup.delete()
