"""The attacks that have broken container runtimes, each tried on ours. Named by CVE."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import sampan
from sampan.runtime import spec
from sampan.runtime.cgroups import open_cgroups
from sampan.runtime.launch import Stdio, launch
from tests.runtime.bundles import Bundle, InFork, in_fork

pytestmark = pytest.mark.root


def _attempt(bundle: Bundle, config: dict[str, Any], times: int = 1) -> list[int]:
    """Start a container again and again; returns the exit codes, -1 for each start that was refused."""

    def run() -> list[int]:
        codes = []
        null = os.open(os.devnull, os.O_RDWR)
        for _ in range(times):
            cgroup = open_cgroups().cgroup(bundle.cgroup_path)
            try:
                launched = launch(
                    spec.parse(config),
                    str(bundle.folder),
                    container_id="c",
                    cgroup=cgroup,
                    stdio=Stdio(null, null, null),
                )
            except sampan.errors.StartFailed:
                codes.append(-1)
                continue
            codes.append(os.waitstatus_to_exitcode(os.waitpid(launched.pid, 0)[1]))
            os.close(launched.pidfd)
            cgroup.delete()
        return codes

    result: list[int] = in_fork(run)
    return result


def _tree(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder of the host in which nothing may ever appear."""
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "file").write_text("host\n")
    return folder


def test_cve_2019_5736_the_interpreter_cannot_be_written(tmp_path: Path) -> None:
    """A container that gets hold of our /proc/self/exe finds a read-only mount, even after we have ended."""
    script = tmp_path / "script.py"
    source = Path(sampan.__file__).parent.parent
    script.write_text(
        f"import sys, time\nsys.path.insert(0, {str(source)!r})\n"
        "from sampan.runtime import sealed\nsealed.seal(sys.argv)\n"
        "print('sealed', flush=True)\ntime.sleep(100)\n"
    )
    command = [sys.executable, "-I", "-S", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "sealed\n"
        held = os.open(f"/proc/{process.pid}/exe", os.O_PATH)
        assert os.fstat(held).st_ino == os.stat(os.path.realpath(sys.executable)).st_ino
        try:
            assert os.fstatvfs(held).f_flag & os.ST_RDONLY
            process.kill()
            process.wait()
            # Nobody runs it from there any more, and it is still the mount that protects it.
            with pytest.raises(OSError) as refused:
                os.chmod(f"/proc/self/fd/{held}", 0o777)
            assert refused.value.errno == errno.EROFS
        finally:
            os.close(held)


def test_cve_2019_5736_exec_of_our_own_interpreter(bundle: Bundle) -> None:
    script = bundle.rootfs / "evil"
    script.write_text("#!/proc/self/exe\n")
    script.chmod(0o755)
    before = Path(os.path.realpath(sys.executable)).read_bytes()

    def change(config: dict[str, Any]) -> None:
        for names in config["process"]["capabilities"].values():
            names.append("CAP_SYS_PTRACE")

    loop = "while true; do for p in /proc/[0-9]*; do (echo x >> $p/exe) 2>/dev/null; done; done"
    with bundle.running("sh", "-c", loop, change=change):
        for _ in range(5):
            bundle.sampan("exec", "c", "/evil")
    assert Path(os.path.realpath(sys.executable)).read_bytes() == before


def test_cve_2016_9962_a_starting_process_cannot_be_looked_into(bundle: Bundle, tmp_path: Path) -> None:
    other = Bundle(tmp_path / "other")
    with bundle.running():
        config = other.config("sleep", "1000")
        for namespace in config["linux"]["namespaces"]:
            if namespace["type"] == "pid":
                namespace["path"] = f"/proc/{bundle.pid()}/ns/pid"
        other.write(config)
        with open(os.devnull, "r+b") as null:
            command = other.command("create", "c")
            subprocess.run(command, check=True, stdin=null, stdout=null, stderr=null, cwd=other.folder)
        try:
            # It waits at its gate, as root, in the pid namespace of the first container.
            script = (
                "for p in /proc/[0-9]*; do grep -q run[t]ime $p/cmdline && cd $p && break; done;"
                " for f in fd/3 fd/4 cwd root exe maps environ mem; do"
                " cat $f >/dev/null 2>&1 && echo $f; readlink $f; ls $f/ 2>/dev/null; done; true"
            )
            done = bundle.sampan("exec", "c", "sh", "-c", script)
            assert (done.returncode, done.stdout) == (0, "")
        finally:
            other.clean_up()


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_cve_2019_16884_no_other_file_system_on_proc(bundle: Bundle, kind: str) -> None:
    def change(config: dict[str, Any]) -> None:
        options = ["rbind"] if kind == "bind" else []
        config["mounts"].append(
            {"destination": "/proc/../proc/.", "type": kind, "source": "/tmp", "options": options}
        )

    done = bundle.run("true", change=change)
    assert done.returncode == 1
    assert "cannot be mounted because it is not of type proc" in done.stderr


def test_cve_2019_16884_proc_through_a_symlink(bundle: Bundle) -> None:
    (bundle.rootfs / "link").symlink_to("proc/tty")

    def change(config: dict[str, Any]) -> None:
        config["mounts"].append({"destination": "/link", "type": "tmpfs", "source": "tmpfs"})

    assert "cannot be mounted because it is inside /proc" in bundle.run("true", change=change).stderr


@contextmanager
def _exchanging(first: Path, second: Path) -> Iterator[None]:
    """Swap two paths, atomically, as fast as it goes: renameat2(2), RENAME_EXCHANGE."""
    libc = ctypes.CDLL(None, use_errno=True)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            libc.renameat2(-100, os.fsencode(first), -100, os.fsencode(second), 2)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("target", ["swap", "swap/deep", "swap/deep/deeper"])
def test_cve_2021_30465_and_2024_45310_swapped_mount_target(
    bundle: Bundle, victim: Path, target: str
) -> None:
    """A mount point whose folder becomes a symlink to the host, and back, while it is looked up and made."""
    before = _tree(victim)
    volume = bundle.folder / "volume"
    (volume / "swap").mkdir(parents=True)
    (volume / "link").symlink_to(victim)
    config = bundle.config("grep", "-q", " /volume/", "/proc/self/mountinfo")
    config["mounts"] += [
        {"destination": "/volume", "type": "bind", "source": str(volume), "options": ["rbind"]},
        {"destination": f"/volume/{target}", "type": "tmpfs", "source": "tmpfs"},
        {
            "destination": f"/volume/{target}-file",
            "type": "bind",
            "source": "config.json",
            "options": ["bind"],
        },
    ]
    bundle.write(config)
    with _exchanging(volume / "swap", volume / "link"):
        codes = _attempt(bundle, config, 60)
    assert _tree(victim) == before
    assert 0 in codes


def test_cve_2019_19921_swapped_proc(bundle: Bundle) -> None:
    """The folder of /proc is exchanged during the start: there is a masked procfs then, or no start."""
    (bundle.rootfs / "fake/sys/kernel").mkdir(parents=True)
    config = bundle.config("grep", "-q", "/keys ", "/proc/self/mounts")
    with _exchanging(bundle.rootfs / "proc", bundle.rootfs / "fake"):
        codes = _attempt(bundle, config, 60)
    # 1: there was a procfs, and no mask on it. 2: the folder was exchanged again after the start.
    assert 1 not in codes


def test_cve_2022_29162_no_inheritable_capabilities(bundle: Bundle) -> None:
    assert bundle.shell("grep CapInh /proc/self/status").split() == ["CapInh:", "0000000000000000"]
    with bundle.running():
        done = bundle.sampan("exec", "--cap", "CAP_SYS_ADMIN", "c", "grep", "CapInh", "/proc/self/status")
        assert done.stdout.split() == ["CapInh:", "0000000000000000"]


def test_cve_2022_0492_no_release_agent(bundle: Bundle) -> None:
    script = (
        "mkdir /tmp/c; mount -t cgroup -o memory cgroup /tmp/c 2>/dev/null && echo mounted;"
        " for f in $(find /sys/fs/cgroup -name release_agent); do (: > $f) 2>/dev/null && echo $f; done; :"
    )
    assert bundle.shell(script) == ""


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
@pytest.mark.parametrize("mounted", [True, False])
def test_cve_2023_27561_and_2026_41579_symlinks_at_the_top(
    bundle: Bundle, victim: Path, name: str, mounted: bool
) -> None:
    """An image in which /proc, /sys or /dev leads elsewhere is not started, nor is anything made there."""
    before = _tree(victim)
    (bundle.rootfs / name).rmdir()
    (bundle.rootfs / name).symlink_to(f"../../../../../../../..{victim}")
    inner = bundle.rootfs / str(victim).lstrip("/")
    inner.mkdir(parents=True)

    def change(config: dict[str, Any]) -> None:
        if not mounted:
            config["mounts"] = [m for m in config["mounts"] if not m["destination"].startswith(f"/{name}")]

    done = bundle.run("true", change=change)
    if mounted or name == "dev":
        assert done.returncode == 1
        assert "ordinary directory" in done.stderr
    assert _tree(victim) == before
    assert _tree(inner) == []
    assert not bundle.cgroup_folders()


def test_cve_2024_21626_no_leaked_descriptor_as_working_folder(bundle: Bundle) -> None:
    for number in range(3, 20):
        for path in (f"/proc/self/fd/{number}", f"/proc/1/fd/{number}/../..", "/proc/self/cwd/../.."):
            config = bundle.config("true")
            config["process"]["cwd"] = path
            assert _attempt(bundle, config) == [-1], path
    assert bundle.shell("ls /proc/self/fd").split() == ["0", "1", "2", "3"]  # 3 is the folder that ls reads
    with bundle.running():
        for number in range(3, 9, 2):
            assert bundle.sampan("exec", "--cwd", f"/proc/self/fd/{number}", "c", "pwd").returncode == 255
        assert bundle.sampan("exec", "c", "ls", "/proc/self/fd").stdout.split() == ["0", "1", "2", "3"]


def test_cve_2024_21626_descriptors_of_the_caller_are_not_inherited(bundle: Bundle) -> None:
    bundle.write(bundle.config("ls", "/proc/self/fd"))
    with open("/etc/hostname") as leaked:
        done = bundle.sampan("run", "c", pass_fds=[leaked.fileno()])
    assert done.stdout.split() == ["0", "1", "2", "3"]


def test_cve_2025_31133_null_device_of_the_image(bundle: Bundle) -> None:
    """Masks are the host's null device; an image's own /dev/null, if it is none, is refused."""
    target = bundle.rootfs / "target"
    target.write_text("untouched")
    (bundle.rootfs / "dev/null").symlink_to("/target")

    def change(config: dict[str, Any]) -> None:
        config["mounts"] = [m for m in config["mounts"] if not m["destination"].startswith("/dev")]

    assert "error creating device nodes" in bundle.run("true", change=change).stderr
    assert target.read_text() == "untouched"


def test_cve_2025_52565_console_of_the_image(bundle: Bundle, victim: Path) -> None:
    """With a /dev of its own, an image decides where /dev/console is; but nothing outside is touched."""
    (bundle.rootfs / "dev/console").symlink_to(f"../../../../../..{victim}/console")
    (bundle.rootfs / "dev/pts").mkdir()
    before = _tree(victim)

    def change(config: dict[str, Any]) -> None:
        config["process"]["terminal"] = True
        keep = ("/proc", "/sys", "/dev/pts")
        config["mounts"] = [m for m in config["mounts"] if m["destination"] in keep]

    bundle.run("true", change=change)
    assert _tree(victim) == before


def test_cve_2025_52565_fake_devpts(bundle: Bundle) -> None:
    (bundle.rootfs / "dev/pts").mkdir()
    (bundle.rootfs / "dev/pts/ptmx").write_text("")

    def change(config: dict[str, Any]) -> None:
        config["process"]["terminal"] = True
        config["mounts"] = [m for m in config["mounts"] if not m["destination"].startswith("/dev")]

    assert (
        "error opening the console: inappropriate ioctl for device"
        in bundle.run("true", change=change).stderr
    )


def test_cve_2025_52881_sysctls_go_to_the_real_procfs(bundle: Bundle) -> None:
    fake = bundle.rootfs / "proc/sys/net/ipv4/ip_forward"
    fake.parent.mkdir(parents=True)
    fake.write_text("fake")

    def change(config: dict[str, Any]) -> None:
        config["mounts"] = [m for m in config["mounts"] if m["destination"] != "/proc"]
        config["linux"].update(sysctl={"net.ipv4.ip_forward": "1"}, maskedPaths=[], readonlyPaths=[])

    assert bundle.run("true", change=change).returncode == 0
    assert fake.read_text() == "fake"


@pytest.mark.parametrize(
    "name", ["net/../kernel/core_pattern", "net.../kernel", "kernel.core_pattern", "net//x"]
)
def test_sysctls_of_the_host_are_refused(bundle: Bundle, name: str) -> None:
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    assert bundle.run("true", change=lambda c: c["linux"].update(sysctl={name: "x"})).returncode == 1
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


@pytest.mark.parametrize(
    "user", ["4294967296", "2147483648", "-1", "99999999999999999999999", "0x0", "1e1", "++1"]
)
def test_cve_2024_40635_and_2026_30892_user_numbers(bundle: Bundle, user: str) -> None:
    with bundle.running():
        done = bundle.sampan("exec", "--user", user, "c", "id")
        assert done.returncode == 255 and done.stdout == ""


def test_hostile_user_files(bundle: Bundle) -> None:
    passwd = bundle.rootfs / "etc/passwd"
    with bundle.running():
        for hostile in ("fifo", "/dev/zero", "passwd", "huge"):
            passwd.unlink()
            if hostile == "fifo":
                os.mkfifo(passwd)
            elif hostile == "huge":
                passwd.touch()
                os.truncate(passwd, 1 << 30)
            else:
                passwd.symlink_to(hostile)
            done = bundle.sampan("exec", "--user", "bob", "c", "id", timeout=20)
            assert done.returncode == 255 and done.stdout == ""


def test_long_configurations_are_not_truncated(bundle: Bundle) -> None:
    """CVE-2021-43784: lengths beyond 64 KiB, in what travels to the new process."""
    text = "x" * 100_000
    done = bundle.run(
        "sh", "-c", "echo ${#LONG}", change=lambda c: c["process"]["env"].append(f"LONG={text}")
    )
    assert done.stdout == "100000\n"


def test_a_killed_start_leaves_no_container_running(bundle: Bundle) -> None:
    """The process that starts a container is killed half-way: the new process ends by itself."""
    config = bundle.config("sleep", "1000")
    config["hooks"] = {"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", "kill -9 $PPID"]}]}
    bundle.write(config)
    done = bundle.sampan("run", "c")
    assert done.returncode == -signal.SIGKILL
    cgroup = open_cgroups().cgroup(bundle.cgroup_path)
    for _ in range(1000):
        if not cgroup.pids():
            break
        threading.Event().wait(0.01)
    assert not cgroup.pids()
    assert json.loads(bundle.sampan("list", "-f", "json").stdout) == []


def test_refused_start_reports_and_leaves_nothing(bundle: Bundle) -> None:
    config = bundle.config("nope")

    def run() -> None:
        launch(
            spec.parse(config),
            str(bundle.folder),
            container_id="c",
            cgroup=open_cgroups().cgroup(bundle.cgroup_path),
        )

    before = os.listdir("/proc/self/fd")
    with pytest.raises(InFork) as failed:
        in_fork(run)
    assert failed.value.message == (
        'unable to start container process: exec: "nope": executable file not found in $PATH'
    )
    assert failed.value.exit_code == 127
    assert os.listdir("/proc/self/fd") == before
    assert not bundle.cgroup_folders()
