from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan import errors
from sampan.linux import mounts
from sampan.runtime import spec
from sampan.runtime.commands.spec import starter
from sampan.runtime.spec.mounts import clean_path, parse_options
from sampan.runtime.spec.numbers import parse_numbers
from sampan.runtime.spec.resources import DeviceRule


def config(**changes: Any) -> dict[str, Any]:
    """The starter's config.json with some fields changed: `process__args` is `args` in `process`."""
    document: dict[str, Any] = json.loads(json.dumps(starter()))
    for path, value in changes.items():
        *parents, name = path.split("__")
        place = document
        for parent in parents:
            place = place[parent]
        place[name] = value
    return document


def test_starter() -> None:
    parsed = spec.parse(config())
    assert parsed.process is not None
    assert parsed.process.args == ("sh",)
    assert parsed.root == spec.Root("rootfs", readonly=True)
    assert parsed.linux.is_new("network") and not parsed.linux.is_new("user")
    assert parsed.linux.resources.devices == (DeviceRule(False, "a", None, None, "rwm"),)


def test_null_is_unset_and_unknown_fields_are_ignored() -> None:
    document = config(
        hooks=None,
        annotations=None,
        linux__resources=None,
        linux__seccomp=None,
        process__rlimits=None,
        new={"x": 1},
    )
    assert spec.parse(document).linux.resources == spec.Resources()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"process__args": []}, "process.args must not be empty"),
        ({"process__args": "sh"}, "process.args must be an array"),
        ({"process__args": ["a\0b"]}, "process.args must not contain NUL"),
        ({"process__cwd": "tmp"}, "process.cwd must be an absolute path"),
        ({"process__env": ["=x"]}, "invalid environment variable"),
        ({"process__user": {"uid": -1}}, "process.user.uid must be between 0 and 4294967294"),
        ({"process__user": {"uid": 2**32 - 1}}, "process.user.uid must be between"),
        ({"process__user": {"uid": True}}, "process.user.uid must be an integer"),
        ({"process__rlimits": [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]}, "is not an rlimit"),
        ({"process__rlimits": [{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}] * 2}, "is given twice"),
        ({"process__oomScoreAdj": 1001}, "process.oomScoreAdj must be between"),
        ({"linux__namespaces": [{"type": "mount"}, {"type": "mount"}]}, "is given twice"),
        ({"linux__namespaces": [{"type": "mnt"}]}, "is not a namespace"),
        (
            {"linux__namespaces": [{"type": "mount"}]},
            "unable to set hostname without a private UTS namespace",
        ),
        ({"linux__maskedPaths": ["proc"]}, "which is not absolute"),
        ({"linux__cgroupsPath": "/a/../../b"}, 'must not contain ".."'),
        ({"linux__devices": [{"type": "x", "path": "/dev/x"}]}, "is none of c, b, u and p"),
        ({"linux__rootfsPropagation": "all"}, "is not a propagation"),
        ({"linux__resources": {"unified": {"../x.y": "1"}}}, "is not a controller's file"),
        ({"linux__resources": {"unified": {"cgroup.procs": "1"}}}, "is not a controller's file"),
        ({"linux__resources": {"hugepageLimits": [{"pageSize": "../2MB", "limit": 1}]}}, "is not a size"),
        ({"linux__sysctl": {"kernel.core_pattern": "|x"}}, "is not in a separate kernel namespace"),
        ({"linux__sysctl": {"net/../kernel/x": "1"}}, "is not a name"),
        ({"root": {}}, "root.path is required"),
        ({"ociVersion": "2.0.0"}, "is not 1.x"),
    ],
)
def test_wrong_fields_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.InvalidArgument) as refused:
        spec.parse(config(**changes))
    assert message in refused.value.message


@pytest.mark.parametrize("platform", ["vm", "windows", "solaris", "zos", "freebsd"])
def test_other_platforms_are_refused_by_name(platform: str) -> None:
    with pytest.raises(errors.Unsupported, match=f"{platform} is not supported"):
        spec.parse(config(**{platform: {}}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def _paths(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    items = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    for key, value in items:
        found += _paths(value, (*path, key))
    return found


RICH = config(
    process__rlimits=[{"type": "RLIMIT_CPU", "soft": 1, "hard": 2}],
    process__user={"uid": 1, "gid": 2, "additionalGids": [3], "umask": 18},
    linux__devices=[{"type": "c", "path": "/dev/x", "major": 1, "minor": 3, "fileMode": 438}],
    linux__sysctl={"net.ipv4.ip_forward": "1"},
    linux__personality={"domain": "LINUX"},
    linux__resources={
        "memory": {"limit": 1},
        "cpu": {"shares": 2},
        "blockIO": {"weightDevice": [{"major": 1, "minor": 2, "weight": 3}]},
        "rdma": {"mlx5": {"hcaHandles": 1}},
        "unified": {"memory.high": "1"},
    },
    hooks={"prestart": [{"path": "/x", "timeout": 1}]},
)


@given(st.sampled_from(_paths(RICH)), JSON)
def test_any_value_anywhere_is_parsed_or_refused(path: tuple[Any, ...], value: Any) -> None:
    document = json.loads(json.dumps(RICH))
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    if path:
        place[path[-1]] = value
    else:
        document = value
    try:
        spec.parse(document)
    except errors.InvalidArgument as error:
        assert error.message


WORDS = [
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "remount",
    "rexec",
    "rnoatime",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "symfollow",
    "sync",
    "tmpcopyup",
    "unbindable",
]


@pytest.mark.parametrize("word", WORDS)
def test_every_option_word_is_known(word: str) -> None:
    assert parse_options((word,)).data == ()


def test_options() -> None:
    options = parse_options(
        ("ro", "rw", "nosuid", "noatime", "rro", "size=1m", "mode=700", "rshared", "private")
    )
    assert options.attributes.to_set == mounts.MOUNT_ATTR_NOSUID | mounts.MOUNT_ATTR_NOATIME
    assert options.attributes.to_clear == mounts.MOUNT_ATTR_RDONLY | mounts.MOUNT_ATTR__ATIME
    assert options.recursive_attributes.to_set == mounts.MOUNT_ATTR_RDONLY
    assert options.data == ("size=1m", "mode=700")
    assert options.propagation == ((mounts.MS_SHARED, True), (mounts.MS_PRIVATE, False))
    assert not options.read_only


ATIME_WORDS = {
    "noatime": mounts.MOUNT_ATTR_NOATIME,
    "strictatime": mounts.MOUNT_ATTR_STRICTATIME,
    **dict.fromkeys(("atime", "relatime", "norelatime", "nostrictatime"), mounts.MOUNT_ATTR_RELATIME),
}
SWITCHES = {
    "ro": ("rw", mounts.MOUNT_ATTR_RDONLY),
    "nosuid": ("suid", mounts.MOUNT_ATTR_NOSUID),
    "nodev": ("dev", mounts.MOUNT_ATTR_NODEV),
    "noexec": ("exec", mounts.MOUNT_ATTR_NOEXEC),
    "nodiratime": ("diratime", mounts.MOUNT_ATTR_NODIRATIME),
    "nosymfollow": ("symfollow", mounts.MOUNT_ATTR_NOSYMFOLLOW),
}
FOREIGN = ["size=1m", "mode=755", "x", "rx", "lowerdir=/a:/b", "rsize=4", "RO", " ro", "nobind"]


@given(st.lists(st.sampled_from([*WORDS, "idmap", "ridmap", "rnodev", "rnosuid", *FOREIGN]), max_size=12))
def test_the_last_option_word_wins(words: list[str]) -> None:
    options = parse_options(tuple(words))
    for prefix, found in (("", options.attributes), ("r", options.recursive_attributes)):
        for off, (on, attribute) in SWITCHES.items():
            last = [word for word in words if word in (prefix + off, prefix + on)][-1:]
            assert bool(found.to_set & attribute) == (last == [prefix + off]), attribute
            assert bool(found.to_clear & attribute) == (last == [prefix + on]), attribute
        mode = [
            ATIME_WORDS[word[len(prefix) :]] for word in words if word in {prefix + a for a in ATIME_WORDS}
        ]
        field = mounts.MOUNT_ATTR__ATIME
        # mount_setattr(2): a mode is set by clearing the whole field along with it.
        assert found.to_clear & field == (field if mode else 0)
        assert found.to_set & field == (mode[-1] if mode else 0)
    assert options.data == tuple(word for word in words if word in FOREIGN)
    assert options.bind == bool({"bind", "rbind"} & set(words))
    assert options.recursive_bind == ("rbind" in words)
    assert options.idmap == "".join([word for word in words if word in ("idmap", "ridmap")][-1:])


IDS = st.integers(-1, 2**32) | st.sampled_from([0, 2**32 - 1, None, True, "0"])


@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(("containerID", "hostID", "size"), IDS))))
def test_id_mappings_are_as_written_or_refused(mappings: list[dict[str, Any]]) -> None:
    document = config(linux__uidMappings=mappings, linux__gidMappings=mappings)
    document["linux"]["namespaces"].append({"type": "user"})
    right = bool(mappings) and all(
        type(entry.get(key)) is int and 0 <= entry[key] < 2**32
        for entry in mappings
        for key in ("containerID", "hostID", "size")
    )
    if not right:
        with pytest.raises(errors.InvalidArgument):
            spec.parse(document)
        return
    wanted = [(entry["containerID"], entry["hostID"], entry["size"]) for entry in mappings]
    parsed = spec.parse(document).linux
    for found in (parsed.uid_mappings, parsed.gid_mappings):
        assert [(entry.container_id, entry.host_id, entry.size) for entry in found] == wanted


@given(st.sets(st.integers(0, 40)), st.booleans())
def test_lists_of_numbers(numbers: set[int], with_blanks: bool) -> None:
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    parts = [str(low) if low == high else f"{low}-{high}" for low, high in ranges]
    assert parse_numbers((" , " if with_blanks else ",").join(parts), 41) == tuple(sorted(numbers))


@given(st.text("0123-, x\n٣", max_size=12))
def test_lists_of_numbers_are_bounded(text: str) -> None:
    try:
        found = parse_numbers(text, 100)
    except ValueError:
        return
    assert all(0 <= number < 100 for number in found)
    assert set(text) <= set("0123456789, -")


@pytest.mark.parametrize("text", ["0-99999999", "100", "3-1", "1-", "-1", "x", "0-9999999999999999999"])
def test_wrong_lists_of_numbers(text: str) -> None:
    with pytest.raises(ValueError, match=r"not below|ends before|not a number"):
        parse_numbers(text, 100)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheduler": {}}, "scheduler.policy is required"),
        ({"scheduler": {"policy": "SCHED_X"}}, '"SCHED_X" is not known'),
        ({"scheduler": {"policy": "SCHED_BATCH", "nice": 20}}, "must be between -20 and 19"),
        (
            {"scheduler": {"policy": "SCHED_OTHER", "priority": 1}},
            "only be specified for SCHED_FIFO or SCHED_RR",
        ),
        ({"scheduler": {"policy": "SCHED_FIFO", "runtime": 1}}, "only be specified for SCHED_DEADLINE"),
        ({"scheduler": {"policy": "SCHED_FIFO", "flags": ["X"]}}, 'holds "X", which is not known'),
        ({"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}}, "must be between 0 and 7"),
        ({"ioPriority": {"class": "IOPRIO_CLASS_NONE"}}, "is not known"),
        ({"execCPUAffinity": {"initial": "0-x"}}, "is not a list of processors"),
        ({"execCPUAffinity": {"final": "0-99999999"}}, "is not a list of processors"),
    ],
)
def test_wrong_scheduling_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.InvalidArgument) as refused:
        spec.parse(config(**{f"process__{key}": value for key, value in changes.items()}))
    assert message in refused.value.message


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a:b", "a b", "sixteen-letters-", "ethé%", "a%d%d", "a%s"]
)
def test_names_that_no_network_device_may_have(name: str) -> None:
    # An empty name of the container's side means: as on the host.
    for devices in ({name: {}}, *([{"eth0": {"name": name}}] if name else [])):
        with pytest.raises(errors.InvalidArgument, match="is not the name of a network device"):
            spec.parse(config(linux__netDevices=devices))


def test_a_network_device_needs_a_namespace_to_move_to() -> None:
    document = config(linux__netDevices={"eth0": {}})
    document["linux"]["namespaces"] = [{"type": "mount"}, {"type": "uts"}]
    with pytest.raises(errors.InvalidArgument, match="without a private NET namespace"):
        spec.parse(document)


@pytest.mark.parametrize(
    "rdt",
    [
        {"closID": "../x"},
        {"closID": ".."},
        {"memBwSchema": "L3:0=f"},
        {"memBwSchema": "MB:0=1\nL3:0=f"},
        {"schemata": ["L3:0=f\nMB:0=1"]},
    ],
)
def test_wrong_rdt_is_refused(rdt: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidArgument):
        spec.parse(config(linux__intelRdt=rdt))


def test_rdt_schemata_come_in_their_order() -> None:
    rdt = {"l3CacheSchema": "MB:0=1\nL3:0=f\n", "memBwSchema": "MB:0=2", "schemata": ["L3:0=ff"]}
    parsed = spec.parse(config(linux__intelRdt=rdt)).linux.intel_rdt
    assert parsed is not None
    assert parsed.schemata == ("L3:0=f", "MB:0=2", "L3:0=ff")


@pytest.mark.parametrize(
    ("path", "clean"), [("a", "/a"), ("/a//b/./c/..", "/a/b"), ("/../../etc", "/etc"), ("/", "/"), ("", "/")]
)
def test_clean_path(path: str, clean: str) -> None:
    assert clean_path(path) == clean


@given(st.text("ab./", max_size=20))
def test_clean_paths_are_clean(path: str) -> None:
    cleaned = clean_path(path)
    assert clean_path(cleaned) == cleaned
    assert ".." not in cleaned.split("/")


def test_config_that_cannot_be_read(tmp_path: Any) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"JSON specification file .*/config.json not found"):
        spec.load(str(tmp_path))
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(errors.InvalidArgument, match="is not JSON"):
        spec.load(str(tmp_path))
