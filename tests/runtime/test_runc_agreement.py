"""The same bundles, run by Debian's runc and by us: equal output and exit codes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.bundles import Bundle

pytestmark = [
    pytest.mark.root,
    pytest.mark.oracle,
    pytest.mark.skipif(shutil.which("runc") is None, reason="runc is not installed"),
]

Config = dict[str, Any]


def _tmpfs(destination: str, *options: str) -> Config:
    return {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": list(options)}


def _bind(source: str, destination: str, *options: str) -> Config:
    return {"destination": destination, "type": "bind", "source": source, "options": list(options)}


def _process(config: Config, **fields: Any) -> None:
    config["process"].update(fields)


def _user(config: Config, **fields: Any) -> None:
    config["process"]["user"] = fields


def _mount(config: Config, *mounts: Config) -> None:
    config["mounts"] += mounts


def _linux(config: Config, **fields: Any) -> None:
    config["linux"].update(fields)


def _resources(config: Config, **fields: Any) -> None:
    config["linux"]["resources"].update(fields)


LIMITS = (
    "cd /sys/fs/cgroup; for f in memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes"
    " memory/memory.soft_limit_in_bytes memory/memory.swappiness memory/memory.oom_control cpu/cpu.shares"
    " cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpuset/cpuset.cpus cpuset/cpuset.mems pids/pids.max"
    " devices/devices.list memory.max memory.swap.max memory.low cpu.max cpuset.cpus cpuset.mems pids.max;"
    " do echo $f; grep -v kill $f; done"
)

CASES: dict[str, tuple[str, Any]] = {
    "mount table": ("cat /proc/self/mountinfo", None),
    "devices": ("ls -ln /dev; stat -c '%n %F %a %u %g %t %T' /dev/* /dev", None),
    "status": ("grep -E 'Cap|NoNew|Seccomp:|Umask|Groups|Uid|Gid|SigIgn|SigBlk|SigCgt' /proc/1/status", None),
    "environment": ("env", None),
    "home of another user": ("env; id", lambda c: _user(c, uid=1000, gid=1000)),
    "home in the environment": ("env", lambda c: _process(c, env=["HOME=/x", "A=1", "A=2", "PATH=/bin"])),
    "limits": ("ulimit -a", None),
    "session": ("ps -o pid,ppid,pgid,sid,comm", None),
    "descriptors": ("ls /proc/self/fd", None),
    "namespaced names": ("hostname; cat /proc/sys/kernel/domainname", lambda c: c.update(hostname="h1")),
    "groups": ("id; grep Groups /proc/self/status", lambda c: _user(c, uid=5, gid=6, additionalGids=[7, 8])),
    "umask": ("umask", lambda c: _user(c, uid=0, gid=0, umask=0o027)),
    "working folder is made": ("pwd; ls -ld /a /a/b", lambda c: _process(c, cwd="/a/b")),
    "masked": (
        "cat /proc/keys; ls /sys/firmware; ls -ld /sys/firmware /proc/keys; cat /proc/timer_list",
        None,
    ),
    "read-only": ("touch /proc/sys/x; echo 1 > /proc/sys/kernel/hostname; echo $?", None),
    "read-only root": (
        "touch /x; echo $?; touch /dev/shm/x; echo $?",
        lambda c: c["root"].update(readonly=True),
    ),
    "tmpfs with the folder's mode": (
        "stat -c %a /tmp; cat /proc/mounts",
        lambda c: _mount(c, _tmpfs("/tmp")),
    ),
    "tmpfs options": (
        "grep ' /tmp ' /proc/self/mountinfo",
        lambda c: _mount(
            c, _tmpfs("/tmp", "ro", "nosuid", "nodev", "noexec", "noatime", "size=1m", "mode=700")
        ),
    ),
    "tmpfs copies up": (
        "ls -lRn /etc | grep -v total; cat /etc/passwd",
        lambda c: _mount(c, _tmpfs("/etc", "tmpcopyup")),
    ),
    "bind options": (
        "grep ' /mnt' /proc/self/mountinfo; ls /mnt; touch /mnt/x; echo $?",
        lambda c: _mount(c, _bind("shared", "/mnt/deep", "bind", "ro", "nosuid", "rprivate")),
    ),
    "bind of a file": (
        "cat /etc/new; ls -l /etc/new",
        lambda c: _mount(c, _bind("shared/file", "/etc/new", "rbind")),
    ),
    "slave propagation": (
        "grep ' /mnt ' /proc/self/mountinfo | cut -d' ' -f4-",
        lambda c: _mount(c, _bind("shared", "/mnt", "rbind", "rslave")),
    ),
    "more devices": (
        "ls -ln /dev/fuse /dev/deep/zero",
        lambda c: _linux(
            c,
            devices=[
                {
                    "path": "/dev/fuse",
                    "type": "c",
                    "major": 10,
                    "minor": 229,
                    "fileMode": 0o640,
                    "uid": 1,
                    "gid": 2,
                },
                {"path": "/dev/deep/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o20666},
            ],
        ),
    ),
    "device rules": (
        "cat /dev/kmsg; mknod /dev/shm/mem c 1 1 && cat /dev/shm/mem; head -c1 /dev/zero | wc -c",
        lambda c: _linux(c, devices=[{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11}]),
    ),
    "resources": (
        LIMITS,
        lambda c: _resources(
            c,
            memory={"limit": 50 << 20, "swap": 80 << 20, "reservation": 20 << 20, "swappiness": 30},
            cpu={"shares": 512, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"},
            pids={"limit": 77},
        ),
    ),
    "rlimits": (
        "ulimit -n; ulimit -Hn; ulimit -c",
        lambda c: _process(
            c,
            rlimits=[
                {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
                {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
            ],
        ),
    ),
    "no new privileges": ("grep NoNew /proc/self/status", lambda c: _process(c, noNewPrivileges=True)),
    "no capabilities": ("grep Cap /proc/self/status", lambda c: c["process"].pop("capabilities")),
    "ambient capabilities": (
        "grep Cap /proc/self/status",
        lambda c: _process(
            c,
            user={"uid": 1000, "gid": 1000},
            capabilities={
                name: ["CAP_NET_RAW"]
                for name in ("bounding", "effective", "permitted", "inheritable", "ambient")
            },
        ),
    ),
    "sysctl": (
        "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax",
        lambda c: _linux(c, sysctl={"net.ipv4.ip_forward": "1", "kernel.msgmax": "9000"}),
    ),
    "oom score": ("cat /proc/self/oom_score_adj", lambda c: _process(c, oomScoreAdj=123)),
    "cgroup namespace": (
        "cat /proc/self/cgroup | sed 's/^[0-9]*//'",
        None,
    ),
    "cgroup view": ("ls -l /sys/fs/cgroup | sed 's/ [A-Z].*:.. / /'; ls /sys/fs/cgroup/pids", None),
    "host network": (
        "cat /proc/net/dev | wc -l",
        lambda c: c["linux"].update(namespaces=[{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]),
    ),
    "seccomp": (
        "chmod 777 /tmp; grep Seccomp: /proc/self/status",
        lambda c: _linux(
            c,
            seccomp={
                "defaultAction": "SCMP_ACT_ALLOW",
                "architectures": ["SCMP_ARCH_X86_64"],
                "syscalls": [{"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
            },
        ),
    ),
    "exit code": ("exit 42", None),
    "killed": ("kill -9 $$", None),
}

FAILURES: dict[str, Any] = {
    "not found": lambda c: _process(c, args=["nope"]),
    "no such path": lambda c: _process(c, args=["/nope"]),
    "a folder": lambda c: _process(c, args=["/etc"]),
    "not executable": lambda c: _process(c, args=["/etc/passwd"]),
    "not a program": lambda c: _process(c, args=["/etc/junk"]),
    "no interpreter": lambda c: _process(c, args=["/etc/script"]),
    "relative": lambda c: _process(c, args=["./nope"]),
    "no PATH": lambda c: _process(c, args=["sh"], env=[]),
    "working folder is a file": lambda c: _process(c, cwd="/etc/passwd"),
    "sysctl of the host": lambda c: _linux(c, sysctl={"kernel.core_pattern": "x"}),
    "hostname without uts": lambda c: c["linux"].update(namespaces=[{"type": "mount"}, {"type": "pid"}]),
}


def _by_both(bundle: Bundle, config: Config) -> tuple[subprocess.CompletedProcess[str], ...]:
    bundle.write(config)
    (bundle.folder / "shared").mkdir(exist_ok=True)
    (bundle.folder / "shared/file").write_text("shared\n")
    (bundle.rootfs / "etc/junk").write_text("junk")
    (bundle.rootfs / "etc/script").write_text("#!/nointerpreter\n")
    for name in ("junk", "script"):
        (bundle.rootfs / "etc" / name).chmod(0o755)
    theirs = subprocess.run(
        ["runc", "--root", str(bundle.folder / "runc"), "run", "c"],
        capture_output=True,
        text=True,
        cwd=bundle.folder,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    for made in ("/mnt/deep", "/a/b"):
        shutil.rmtree(Path(f"{bundle.rootfs}{made}").parent, ignore_errors=True)
    return theirs, bundle.sampan("run", "c")


def _normalised(text: str) -> str:
    """Without what differs from run to run: ids of mounts, devices and namespaces, and times."""
    text = re.sub(r"^\d+ \d+ (\d+:\d+) ", "", text, flags=re.M)
    # With a cgroup namespace runc leaves the folder with the hierarchies writable, and names a source so.
    text = re.sub(r"(/sys/fs/cgroup (?:tmpfs )?)rw", r"\1ro", text)
    text = text.replace("cgroup systemd rw", "cgroup cgroup rw").replace("systemd /sys/fs", "cgroup /sys/fs")
    # The null device that covers masked files is the container's own there, and the host's here.
    text = re.sub(r"^/null (/proc/\S+) .*$", r"/null \1", text, flags=re.M)
    text = re.sub(r"^\w+ (/proc/\S+) (dev)?tmpfs rw.*$", r"null \1", text, flags=re.M)
    text = text.replace("c 10:200 rwm\n", "")  # runc allows /dev/net/tun as well, and has dropped that once
    text = re.sub(r"(\w{3} +\d+ +\d\d:\d\d)", "DATE", text)
    return re.sub(r'time="[^"]*" ', "", text).replace("sampan-runtime", "runc")


def _lines(text: str) -> list[str]:
    """In no order: mounts and device rules are made in another one."""
    return sorted(_normalised(text).splitlines())


@pytest.mark.parametrize("case", CASES)
def test_same_container(bundle: Bundle, case: str) -> None:
    script, change = CASES[case]
    config = bundle.config("sh", "-c", script)
    if change is not None:
        change(config)
    theirs, ours = _by_both(bundle, config)
    assert _lines(ours.stdout) == _lines(theirs.stdout)
    assert _normalised(ours.stderr) == _normalised(theirs.stderr)
    assert ours.returncode == theirs.returncode


@pytest.mark.parametrize("case", FAILURES)
def test_same_failure(bundle: Bundle, case: str) -> None:
    config = bundle.config("true")
    FAILURES[case](config)
    theirs, ours = _by_both(bundle, config)
    assert _normalised(ours.stderr) == _normalised(theirs.stderr)
    assert ours.returncode == theirs.returncode
    assert not bundle.cgroup_folders()
