"""config.json, as Docker's options want it."""

from __future__ import annotations

from typing import Any

import pytest

from sampan import errors
from sampan.engine import configuration, mountpoints, ociconfig
from sampan.engine.ociconfig import Surroundings
from sampan.runtime import spec
from tests.engine.bodies import HOST, config, host_config

ALL = ("CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_NET_RAW")
AROUND = Surroundings(
    machine="x86_64",
    kernel="6.1.0",
    capabilities=ALL,
    cgroup_path="/sampan/abc",
    hostname="box",
    files={"/etc/hosts": "/data/hosts", "/etc/hostname": "/data/hostname"},
)


def build(
    container: dict[str, Any] | None = None, *, around: dict[str, Any] | None = None, **host: Any
) -> dict[str, Any]:
    """config.json for these options, after dockerd's defaults; the runtime's own parser has to accept it."""
    stored, _ = configuration.complete(host_config(**host), HOST)
    points = mountpoints.collect(stored, "/var/lib/sampan")
    own = config(**({"Cmd": ["sh"]} | (container or {})))
    surroundings = Surroundings(
        **({name: getattr(AROUND, name) for name in AROUND.__slots__} | (around or {}))
    )
    document = ociconfig.build(own, stored, points, surroundings)
    spec.parse(document)
    return document


def mount(document: dict[str, Any], destination: str) -> dict[str, Any]:
    found = [entry for entry in document["mounts"] if entry["destination"] == destination]
    assert len(found) == 1, destination
    return dict(found[0])


def test_the_plain_container() -> None:
    document = build()
    process, linux = document["process"], document["linux"]
    assert process["args"] == ["sh"] and process["cwd"] == "/" and process["terminal"] is False
    assert process["env"] == [f"PATH={ociconfig.DEFAULT_PATH}", "HOSTNAME=box"]
    assert set(process["capabilities"]["bounding"]) == set(process["capabilities"]["effective"])
    assert len(process["capabilities"]["bounding"]) == 14
    assert [entry["type"] for entry in linux["namespaces"]] == ["mount", "network", "uts", "pid", "ipc"]
    assert document["hostname"] == "box" and linux["cgroupsPath"] == "/sampan/abc"
    assert linux["resources"]["devices"][0] == {"allow": False, "access": "rwm"}
    assert linux["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert linux["sysctl"]["net.ipv4.ip_unprivileged_port_start"] == "0"


def test_default_mounts_and_their_order() -> None:
    document = build(ShmSize=1 << 20)
    assert [entry["destination"] for entry in document["mounts"]] == [
        *("/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm"),
        *("/etc/hosts", "/etc/hostname"),
    ]
    assert f"size={1 << 20}" in mount(document, "/dev/shm")["options"]
    assert "ro" in mount(document, "/sys")["options"]


def test_parents_are_mounted_before_their_children() -> None:
    document = build(Binds=["/a:/x/y/z", "/b:/x", "/c:/x/y"], Tmpfs={"/x/y/z/deep": ""})
    order = [entry["destination"] for entry in document["mounts"] if entry["destination"].startswith("/x")]
    assert order == ["/x", "/x/y", "/x/y/z", "/x/y/z/deep"]


def test_a_users_mount_replaces_the_default() -> None:
    document = build(Binds=["/host/proc:/proc", "/dev:/dev", "/mine:/etc/hosts:ro"])
    destinations = [entry["destination"] for entry in document["mounts"]]
    assert destinations.count("/proc") == 1 and not [
        path for path in destinations if path.startswith("/dev/")
    ]
    assert mount(document, "/etc/hosts")["source"] == "/mine"
    assert mount(document, "/etc/hosts")["options"] == ["rbind", "rro", "rprivate"]


def test_tmpfs() -> None:
    document = build(Tmpfs={"/t": "size=1m,exec"})
    assert mount(document, "/t")["options"] == ["nosuid", "nodev", "rprivate", "size=1m", "exec"]
    with pytest.raises(errors.InvalidArgument, match="invalid tmpfs option"):
        build(Tmpfs={"/t": "foo"})


def test_propagation_of_binds_needs_that_of_the_root() -> None:
    assert "rootfsPropagation" not in build(Binds=["/a:/b"])["linux"]
    assert build(Binds=["/a:/b:rslave"])["linux"]["rootfsPropagation"] == "rslave"
    assert build(Binds=["/a:/b:rslave", "/c:/d:shared"])["linux"]["rootfsPropagation"] == "shared"


def test_read_only() -> None:
    document = build(ReadonlyRootfs=True)
    assert document["root"]["readonly"] is True
    assert "ro" in mount(document, "/etc/hosts")["options"] and "ro" in mount(document, "/sys")["options"]
    assert "ro" not in mount(document, "/dev/shm")["options"]


def test_privileged() -> None:
    document = build(Privileged=True)
    linux = document["linux"]
    assert tuple(document["process"]["capabilities"]["bounding"]) == ALL
    assert linux["maskedPaths"] == linux["readonlyPaths"] == [] and "seccomp" not in linux
    assert linux["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert "ro" not in mount(document, "/sys")["options"]
    assert "ro" not in mount(document, "/sys/fs/cgroup")["options"]


@pytest.mark.parametrize(
    ("options", "has_filter", "no_new_privileges"),
    [
        ({}, True, False),
        ({"SecurityOpt": ["seccomp=unconfined"]}, False, False),
        ({"SecurityOpt": ["no-new-privileges"]}, True, True),
        ({"SecurityOpt": ["no-new-privileges=false"]}, True, False),
        ({"SecurityOpt": ["no-new-privileges:true", "seccomp:unconfined"]}, False, True),
        ({"SecurityOpt": ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}'], "Privileged": True}, True, False),
        ({"SecurityOpt": ["seccomp={}"]}, False, False),
    ],
)
def test_security_options(options: dict[str, Any], has_filter: bool, no_new_privileges: bool) -> None:
    document = build(**options)
    assert ("seccomp" in document["linux"]) is has_filter
    assert document["process"]["noNewPrivileges"] is no_new_privileges


@pytest.mark.parametrize("option", ["apparmor=mine", "label=type:x_t"])
def test_security_modules_are_refused(option: str) -> None:
    with pytest.raises(errors.Unsupported, match="not supported yet"):
        build(SecurityOpt=[option])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"CapDrop": ["ALL"]}, set()),
        ({"CapDrop": ["all"], "CapAdd": ["NET_ADMIN"]}, {"CAP_NET_ADMIN"}),
        ({"CapAdd": ["ALL"]}, set(ALL)),
        ({"CapAdd": ["ALL"], "CapDrop": ["CHOWN"]}, set(ALL) - {"CAP_CHOWN"}),
    ],
)
def test_capabilities(options: dict[str, Any], expected: set[str]) -> None:
    assert set(build(**options)["process"]["capabilities"]["bounding"]) == expected


def test_a_capability_changes_the_filter() -> None:
    def allows_mount(document: dict[str, Any]) -> bool:
        rules = document["linux"]["seccomp"]["syscalls"]
        return any("mount" in rule["names"] and rule["action"] == "SCMP_ACT_ALLOW" for rule in rules)

    assert not allows_mount(build())
    assert allows_mount(build(CapAdd=["SYS_ADMIN"]))


def test_a_user_that_is_not_root_starts_without_capabilities() -> None:
    sets = build({"User": "1000:7"})["process"]["capabilities"]
    assert sets["effective"] == sets["permitted"] == [] and sets["bounding"]


def test_environment() -> None:
    container = {"Env": ["PATH=/bin", "A=1", "HOSTNAME"], "Tty": True}
    assert build(container)["process"]["env"] == ["PATH=/bin", "TERM=xterm", "A=1"]


def test_init_and_namespaces_of_others() -> None:
    document = build(around={"init": "/usr/bin/tini-static"})
    assert document["process"]["args"] == ["/sbin/docker-init", "--", "sh"]
    assert mount(document, "/sbin/docker-init")["source"] == "/usr/bin/tini-static"
    joined = build(
        NetworkMode="container:abc", PidMode="host", around={"namespaces": {"network": "/proc/7/ns/net"}}
    )
    kinds = {entry["type"]: entry.get("path") for entry in joined["linux"]["namespaces"]}
    assert kinds == {"mount": None, "network": "/proc/7/ns/net", "uts": None, "ipc": None}
    assert "sysctl" not in joined["linux"]


def test_host_modes() -> None:
    document = build(NetworkMode="host", UTSMode="host", IpcMode="host", PidMode="host")
    assert [entry["type"] for entry in document["linux"]["namespaces"]] == ["mount"]
    assert "hostname" not in document and mount(document, "/dev/shm")["source"] == "/dev/shm"
    assert not [entry for entry in build(IpcMode="none")["mounts"] if entry["destination"] == "/dev/shm"]


def test_limits() -> None:
    resources = build(
        Memory=64 << 20,
        MemoryReservation=32 << 20,
        NanoCpus=1_500_000_000,
        CpuShares=512,
        CpusetCpus="0",
        PidsLimit=99,
        DeviceCgroupRules=["c 1:* r"],
    )["linux"]["resources"]
    assert resources["memory"] == {"limit": 64 << 20, "reservation": 32 << 20, "swap": 128 << 20}
    assert resources["cpu"] == {"shares": 512, "period": 100_000, "quota": 150_000, "cpus": "0"}
    assert resources["pids"] == {"limit": 99}
    assert resources["devices"][-1] == {"allow": True, "type": "c", "major": 1, "access": "r"}


def test_ulimits() -> None:
    limits = {
        entry["type"]: (entry["soft"], entry["hard"])
        for entry in build(Ulimits=[{"Name": "core", "Soft": 0, "Hard": -1}])["process"]["rlimits"]
    }
    assert limits == {"RLIMIT_NOFILE": (1024, 524288), "RLIMIT_CORE": (0, 2**64 - 1)}
    assert build(around={"nofile": 500})["process"]["rlimits"] == [
        {"type": "RLIMIT_NOFILE", "soft": 500, "hard": 500}
    ]


def test_bad_profiles() -> None:
    for text in ("[]", "{", '{"defaultAction":"x","syscalls":3}'):
        with pytest.raises(errors.InvalidArgument, match="decoding seccomp profile failed"):
            build(SecurityOpt=[f"seccomp={text}"])
