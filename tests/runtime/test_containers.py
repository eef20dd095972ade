"""Real containers: what a program finds inside, and the life of a container from create to delete."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from sampan.records import replace
from sampan.runtime import spec
from sampan.runtime.cgroups import open_cgroups
from sampan.runtime.cgroups.v2 import V2Cgroup
from sampan.runtime.launch import Descriptors, Options, Stdio, launch, launch_exec
from sampan.runtime.plan import Joinable
from tests.runtime.bundles import Bundle, InFork, in_fork

pytestmark = pytest.mark.root


def test_new_namespaces_of_all_types(bundle: Bundle) -> None:
    def change(config: dict[str, Any]) -> None:
        config["linux"]["namespaces"].append({"type": "time"})
        config["linux"]["timeOffsets"] = {"boottime": {"secs": 1_000_000, "nanosecs": 0}}

    kinds = ("pid", "net", "ipc", "uts", "mnt", "cgroup", "time")
    script = f"for n in {' '.join(kinds)}; do readlink /proc/self/ns/$n; done; cut -d. -f1 /proc/uptime"
    *inside, uptime = bundle.shell(script, change).split()
    for kind, name in zip(kinds, inside, strict=True):
        assert name != os.readlink(f"/proc/self/ns/{kind}"), kind
    assert int(uptime) >= 1_000_000


def test_joined_namespaces(bundle: Bundle, tmp_path: Path) -> None:
    other = Bundle(tmp_path / "other")
    kinds = {"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup"}
    with bundle.running():
        pid = bundle.pid()

        def change(config: dict[str, Any]) -> None:
            config["linux"]["namespaces"] = [{"type": "mount"}] + [
                {"type": kind, "path": f"/proc/{pid}/ns/{name}"} for kind, name in kinds.items()
            ]
            del config["hostname"]

        try:
            names = other.shell(
                f"for n in {' '.join(kinds.values())}; do readlink /proc/self/ns/$n; done; ps", change
            )
        finally:
            other.clean_up()
        for kind in kinds.values():
            assert os.readlink(f"/proc/{pid}/ns/{kind}") in names
        assert "sleep 1000" in names


@pytest.mark.parametrize("kind", ["pid", "network", "ipc", "uts", "user", "cgroup", "time", "mount"])
def test_namespace_path_of_another_type_is_refused(bundle: Bundle, kind: str) -> None:
    def change(config: dict[str, Any]) -> None:
        wrong = "uts" if kind != "uts" else "ipc"
        others = [entry for entry in config["linux"]["namespaces"] if entry["type"] != kind]
        config["linux"]["namespaces"] = [*others, {"type": kind, "path": f"/proc/self/ns/{wrong}"}]

    done = bundle.run("true", change=change)
    assert done.returncode == 1
    assert f"failed to join the {kind} namespace: invalid argument" in done.stderr
    assert bundle.cgroup_folders() == []


def test_user_namespace(bundle: Bundle) -> None:
    def change(config: dict[str, Any]) -> None:
        config["linux"]["namespaces"].append({"type": "user"})
        for key in ("uidMappings", "gidMappings"):
            config["linux"][key] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        # cgroup v1 cannot be mounted from a user namespace
        config["mounts"] = [mount for mount in config["mounts"] if mount["type"] != "cgroup"]
        config["mounts"].append(
            {"destination": "/tmp", "type": "bind", "source": "secret", "options": ["bind"]}
        )

    bundle.folder.parent.chmod(0o755)
    secret = bundle.folder / "secret"
    secret.mkdir(mode=0o755)
    for folder, names, _ in os.walk(bundle.rootfs):
        for path in (folder, *(f"{folder}/{name}" for name in names)):
            os.chown(path, 100000, 100000)
    output = bundle.shell(
        "id -u; cat /proc/self/uid_map; echo > /dev/null; ls -ln /dev/null; ls -d /tmp", change
    )
    assert output.split()[:4] == ["0", "0", "100000", "65536"]
    assert "1,   3" in output


def test_terminal(bundle: Bundle) -> None:
    """Through --console-socket, as containerd does."""
    path = str(bundle.folder / "console.sock")
    config = bundle.config(
        "sh", "-c", "tty; stty size; ls -l /dev/console; cat /proc/mounts; read x; echo got $x"
    )
    config["process"].update(terminal=True, consoleSize={"height": 33, "width": 99})
    bundle.write(config)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        done = bundle.sampan("run", "--detach", "--console-socket", path, "c")
        assert done.returncode == 0, done.stderr
        connection, _ = listener.accept()
        with connection:
            _, [master], _, _ = socket.recv_fds(connection, 100, 1)
    os.write(master, b"word\n")
    output = _read_until_closed(master)
    # The terminal's echo comes whenever the word does.
    assert output.replace("word\r\n", "", 1).startswith("/dev/pts/0\r\n33 99\r\n")
    assert "devpts /dev/console devpts" in output
    assert "got word\r\n" in output


def _read_until_closed(master: int) -> str:
    parts = []
    with open(master, "rb", buffering=0) as file:
        try:
            while part := file.read(65536):
                parts.append(part)
        except OSError:
            pass  # EIO: the other end is closed
    return b"".join(parts).decode()


def test_lifecycle(bundle: Bundle) -> None:
    bundle.write(bundle.config("sh", "-c", "echo started > /tmp/started; exec sleep 1000"))
    null: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "cwd": bundle.folder}
    pid_file = bundle.folder / "pid"
    subprocess.run(bundle.command("create", "--pid-file", str(pid_file), "c"), check=True, **null)
    state = json.loads(bundle.sampan("state", "c").stdout)
    assert (state["status"], state["pid"]) == ("created", int(pid_file.read_text()))
    assert not (bundle.rootfs / "tmp/started").exists()
    # Later edits of config.json have no effect.
    bundle.write({})
    assert bundle.sampan("start", "c").returncode == 0
    _wait_for((bundle.rootfs / "tmp/started").exists)
    assert bundle.sampan("start", "c").returncode == 1
    assert bundle.sampan("exec", "c", "sh", "-c", "exit 3").returncode == 3
    assert bundle.sampan("pause", "c").returncode == 0
    assert json.loads(bundle.sampan("state", "c").stdout)["status"] == "paused"
    assert bundle.sampan("resume", "c").returncode == 0
    assert bundle.sampan("kill", "c", "KILL").returncode == 0
    _wait_for(lambda: json.loads(bundle.sampan("state", "c").stdout)["status"] == "stopped")
    assert bundle.sampan("delete", "c").returncode == 0
    assert not bundle.cgroup_folders()
    assert os.listdir(bundle.root) == []


def _wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_delete_of_a_created_container_kills_it(bundle: Bundle) -> None:
    bundle.write(bundle.config("sleep", "1000"))
    with open(os.devnull, "r+b") as null:
        subprocess.run(bundle.command("create", "c"), check=True, stdin=null, stdout=null, cwd=bundle.folder)
    assert bundle.sampan("delete", "c").returncode == 0
    assert not bundle.cgroup_folders()


def test_all_hooks_run_in_order(bundle: Bundle) -> None:
    log = bundle.folder / "log"
    script = bundle.folder / "hook"
    script.write_text(f'#!/bin/sh\nread -r state\necho "$1 $(hostname) $state" >> {log}\n')
    inner = bundle.rootfs / "hook"
    inner.write_text('#!/bin/sh\nread -r state\necho "$1 $(hostname) $state" >> /log\n')
    for path in (script, inner):
        path.chmod(0o755)

    def change(config: dict[str, Any]) -> None:
        config["hostname"] = "inside"
        outer = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
        config["hooks"] = {kind: [{"path": str(script), "args": ["hook", kind]}] for kind in outer}
        config["hooks"]["startContainer"] = [{"path": "/hook", "args": ["hook", "startContainer"]}]
        for hooks in config["hooks"].values():
            hooks[0]["env"] = ["PATH=/usr/bin:/bin"]

    assert bundle.run("true", change=change).returncode == 0
    lines = [line.split(" ", 2) for line in log.read_text().splitlines()]
    assert [line[0] for line in lines] == [
        "prestart",
        "createRuntime",
        "createContainer",
        "poststart",
        "poststop",
    ]
    assert [line[1] == "inside" for line in lines] == [False, False, True, False, False]
    states = [json.loads(line[2]) for line in lines]
    assert [state["status"] for state in states] == ["creating", "creating", "creating", "running", "stopped"]
    assert states[0]["id"] == "c" and states[0]["bundle"] == str(bundle.folder)
    assert (bundle.rootfs / "log").read_text().startswith("startContainer inside ")


@pytest.mark.parametrize("kind", ["prestart", "createContainer", "startContainer"])
def test_a_failing_hook_stops_the_start(bundle: Bundle, kind: str) -> None:
    def change(config: dict[str, Any]) -> None:
        config["hooks"] = {kind: [{"path": "/bin/sh", "args": ["sh", "-c", "echo why >&2; exit 3"]}]}

    done = bundle.run("touch", "/ran", change=change)
    assert done.returncode == 1
    assert f"error running {kind} hook #0: exit status 3, stdout: , stderr: why" in done.stderr
    assert not (bundle.rootfs / "ran").exists()
    assert not bundle.cgroup_folders()


def test_a_hook_that_hangs_is_killed(bundle: Bundle) -> None:
    def change(config: dict[str, Any]) -> None:
        config["hooks"] = {"prestart": [{"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]}

    assert "hook ran past specified timeout of 1.0s" in bundle.run("true", change=change).stderr


def test_read_only_tmpfs_takes_mount_points_and_devices(bundle: Bundle) -> None:
    def change(config: dict[str, Any]) -> None:
        for mount in config["mounts"]:
            if mount["destination"] == "/dev":
                mount["options"].append("ro")

    assert bundle.shell(
        "touch /dev/x 2>/dev/null || echo refused; touch /dev/shm/x; ls /dev/null", change
    ) == ("refused\n/dev/null\n")


def test_mount_point_behind_a_dangling_symlink(bundle: Bundle) -> None:
    """Images have /etc/resolv.conf -> /run/…/resolv.conf, and no /run."""
    (bundle.rootfs / "etc/resolv.conf").symlink_to("../run/deep/resolv.conf")
    (bundle.folder / "resolv.conf").write_text("nameserver ::1\n")

    def change(config: dict[str, Any]) -> None:
        config["mounts"].append(
            {"destination": "/etc/resolv.conf", "type": "bind", "source": "resolv.conf", "options": ["bind"]}
        )

    assert bundle.shell("cat /run/deep/resolv.conf", change) == "nameserver ::1\n"


def test_recursive_read_only_bind(bundle: Bundle) -> None:
    tree = bundle.folder / "tree"
    (tree / "deep").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", str(tree / "deep")], check=True)

    def change(options: list[str]) -> Any:
        return lambda config: config["mounts"].append(
            {"destination": "/mnt", "type": "bind", "source": str(tree), "options": options}
        )

    script = "for f in /mnt/x /mnt/deep/x; do touch $f 2>/dev/null && echo yes || echo no; done"
    try:
        assert bundle.shell(script, change(["rbind", "ro"])).split() == ["no", "yes"]
        assert bundle.shell(script, change(["rbind", "rro"])).split() == ["no", "no"]
    finally:
        subprocess.run(["umount", str(tree / "deep")], check=True)


def test_mounts_of_a_shared_bind_reach_the_host(bundle: Bundle) -> None:
    """Only with "rshared", and only below the bind; without it nothing leaves the container."""
    tree = bundle.folder / "tree"
    tree.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(tree)], check=True)
    subprocess.run(["mount", "--make-shared", str(tree)], check=True)

    def change(propagation: list[str]) -> Any:
        def edit(config: dict[str, Any]) -> None:
            if propagation:
                config["linux"]["rootfsPropagation"] = "shared"
            options = ["rbind", *propagation]
            config["mounts"].append(
                {"destination": "/mnt", "type": "bind", "source": str(tree), "options": options}
            )
            for sets in config["process"]["capabilities"].values():
                sets.append("CAP_SYS_ADMIN")

        return edit

    def below() -> list[str]:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return [path for path in (line.split()[4] for line in lines) if path.startswith(f"{bundle.folder}/")]

    script = "mkdir -p /mnt/inner; mount -t tmpfs none /mnt/inner"
    try:
        before = below()
        bundle.shell(script, change([]))
        assert below() == before
        bundle.shell(script, change(["rshared"]))
        assert below() == [*before, str(tree / "inner")]
        subprocess.run(["umount", str(tree / "inner")], check=True)
    finally:
        subprocess.run(["umount", str(tree)], check=True)


def test_update(bundle: Bundle) -> None:
    with bundle.running():
        done = bundle.sampan(
            "update", "--memory", str(64 << 20), "--pids-limit", "33", "--cpu-quota", "20000", "c"
        )
        assert done.returncode == 0, done.stderr
        done = bundle.sampan("update", "-r", "-", "c", stdin=None, input='{"cpu": {"shares": 300}}')
        assert done.returncode == 0, done.stderr
        files = {path.name: path for folder in bundle.cgroup_folders() for path in folder.iterdir()}
        if "memory.limit_in_bytes" in files:
            assert files["memory.limit_in_bytes"].read_text() == f"{64 << 20}\n"
            assert files["cpu.shares"].read_text() == "300\n"
        else:
            assert files["memory.max"].read_text() == f"{64 << 20}\n"
        assert files["pids.max"].read_text() == "33\n"


def test_pids_limit_and_out_of_memory(bundle: Bundle) -> None:
    def change(config: dict[str, Any]) -> None:
        config["linux"]["resources"].update(pids={"limit": 5}, memory={"limit": 16 << 20, "swap": 16 << 20})

    script = "for i in 1 2 3 4 5 6 7 8; do sleep 0.1 & done; wait"
    assert "fork" in bundle.run("sh", "-c", script, change=change).stderr
    assert (
        bundle.run("sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=40", change=change).returncode
        == 137
    )


def test_kill_all_reaches_what_forks(bundle: Bundle) -> None:
    def change(config: dict[str, Any]) -> None:
        config["linux"]["namespaces"] = [{"type": "mount"}]
        del config["hostname"]

    bomb = "i=0; while true; do sleep 1000 & i=$((i+1)); [ $i -gt 200 ] && sleep 1000; done"
    with bundle.running("sh", "-c", bomb, change=change):
        assert bundle.sampan("kill", "--all", "c", "KILL").returncode == 0
        cgroup = open_cgroups().cgroup(bundle.cgroup_path)
        _wait_for(lambda: not cgroup.pids())


def _launch(bundle: Bundle, change: Any = None, **arguments: Any) -> Any:
    """Launch with the library, in a process of its own, and return what `follow` computes there."""
    config = bundle.config("sh", "-c", arguments.pop("script"))
    if change is not None:
        change(config)

    def run() -> dict[str, Any]:
        reader, writer = os.pipe()
        null = os.open(os.devnull, os.O_RDWR)
        given = {
            name: value() if callable(value) and name == "descriptors" else value
            for name, value in arguments.items()
        }
        launched = launch(
            spec.parse(config),
            str(bundle.folder),
            container_id="c",
            cgroup=open_cgroups().cgroup(bundle.cgroup_path),
            stdio=Stdio(null, writer, writer),
            options=Options(seccomp_cache=str(bundle.folder / "seccomp")),
            **given,
        )
        os.close(writer)
        with open(reader, encoding="utf-8") as output:
            text = output.read()
        status = os.waitstatus_to_exitcode(os.waitpid(launched.pid, 0)[1])
        open_cgroups().cgroup(bundle.cgroup_path).delete()
        return {"output": text, "status": status, "warnings": launched.warnings}

    return in_fork(run)


def test_given_descriptors(bundle: Bundle) -> None:
    """A detached root, a detached source, and a network namespace, as the shim gets them from the engine."""
    from sampan.linux import mounts

    (bundle.folder / "given").write_text("given\n")

    def change(config: dict[str, Any]) -> None:
        config["root"]["path"] = "/nonexistent"
        [network] = [entry for entry in config["linux"]["namespaces"] if entry["type"] == "network"]
        network["path"] = "/nonexistent"
        config["mounts"].append(
            {"destination": "/given", "type": "bind", "source": "/nonexistent", "options": ["bind", "ro"]}
        )

    def descriptors() -> Descriptors:
        return Descriptors(
            rootfs=mounts.open_tree(str(bundle.rootfs), mounts.OPEN_TREE_CLONE),
            mounts={"/given": mounts.open_tree(str(bundle.folder / "given"), mounts.OPEN_TREE_CLONE)},
            namespaces={"network": os.open("/proc/self/ns/net", os.O_RDONLY)},
        )

    result = _launch(bundle, change, script="cat /given; readlink /proc/self/ns/net", descriptors=descriptors)
    assert result["output"] == f"given\n{os.readlink('/proc/self/ns/net')}\n"


def test_a_given_namespace_is_one_to_join(bundle: Bundle) -> None:
    """Without a path in config.json it would neither be joined nor made: the host's would stay."""
    with pytest.raises(InFork, match=r"the one in linux\.namespaces has no path"):
        _launch(
            bundle,
            script="true",
            descriptors=lambda: Descriptors(
                namespaces={"network": os.open("/proc/self/ns/net", os.O_RDONLY)}
            ),
        )


def test_prepare_and_inside(bundle: Bundle) -> None:
    """`prepare` runs here, with the new process's pid; then `inside` there, in its network namespace."""
    log = bundle.folder / "log"

    def prepare(pid: int) -> None:
        log.write_text(f"prepare {os.readlink(f'/proc/{pid}/ns/net')}\n")

    def inside() -> None:
        with log.open("a") as file:
            file.write(f"inside {os.readlink('/proc/thread-self/ns/net')}\n")

    result = _launch(bundle, script="readlink /proc/self/ns/net", prepare=prepare, inside=inside)
    namespace = result["output"].strip()
    assert log.read_text() == f"prepare {namespace}\ninside {namespace}\n"


@pytest.mark.parametrize("where", ["prepare", "inside"])
def test_a_failing_network_leaves_nothing(bundle: Bundle, where: str) -> None:
    def fail(*_: int) -> None:
        raise OSError(16, "busy", "veth0")

    with pytest.raises(InFork) as failed:
        _launch(bundle, script="true", **{where: fail})
    assert failed.value.message.endswith("error setting up the network: veth0: device or resource busy")
    assert not bundle.cgroup_folders()


@pytest.mark.parametrize(
    ("user", "groups", "expected"),
    [
        ("", (), "0 0 0"),
        ("bob", (), "1000 1000 1000 29"),
        ("1000", (), "1000 1000 1000 29"),
        ("bob:audio", (), "1000 29 29"),
        ("77", ("audio",), "77 0 0 29"),
        (":29", (), "0 29 29"),
    ],
)
def test_user_by_name(bundle: Bundle, user: str, groups: tuple[str, ...], expected: str) -> None:
    result = _launch(bundle, script="echo $(id -u) $(id -g) $(id -G)", user=user, groups=groups)
    assert result["output"].strip() == expected


def test_unknown_user(bundle: Bundle) -> None:
    with pytest.raises(InFork, match="unable to find user nope: no matching entries in passwd file"):
        _launch(bundle, script="true", user="nope")
    assert not bundle.cgroup_folders()


def test_limits_that_the_host_does_not_allow_are_warned_of(bundle: Bundle) -> None:
    """Even root may lack CAP_SYS_RESOURCE."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def change(config: dict[str, Any]) -> None:
        config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1 << 40, "hard": 1 << 40}]

    result = _launch(bundle, change, script="ulimit -Hn")
    assert int(result["output"]) == hard
    assert "RLIMIT_NOFILE" in result["warnings"][0]


def test_exec_sees_the_container_and_its_user(bundle: Bundle) -> None:
    def change(config: dict[str, Any]) -> None:
        config["process"]["env"] += ["FROM=config"]

    with bundle.running(change=change):
        done = bundle.sampan(
            "exec",
            "--user",
            "bob",
            "--env",
            "A=1",
            "--cwd",
            "/tmp",
            "c",
            "sh",
            "-c",
            "id -un; pwd; echo $A $FROM $HOME",
        )
        assert done.stdout == "bob\n/tmp\n1 config /home/bob\n"
        assert bundle.sampan("exec", "c", "hostname").stdout == "sampan\n"
        same = bundle.sampan(
            "exec",
            "c",
            "sh",
            "-c",
            "for n in /proc/1/ns/*; do readlink $n; readlink /proc/self/ns/${n##*/}; done",
        )
        names = same.stdout.split()
        assert names[::2] == names[1::2] and len(names) >= 16
        inside = bundle.sampan("exec", "c", "cat", "/proc/self/cgroup", "/proc/1/cgroup").stdout.splitlines()
        assert inside[: len(inside) // 2] == inside[len(inside) // 2 :]


def test_exec_with_a_terminal(bundle: Bundle) -> None:
    path = str(bundle.folder / "console.sock")
    with bundle.running(), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        done = bundle.sampan(
            "exec",
            "--detach",
            "--tty",
            "--console-socket",
            path,
            "c",
            "sh",
            "-c",
            "tty; test -t 1 && echo yes",
        )
        assert done.returncode == 0, done.stderr
        connection, _ = listener.accept()
        with connection:
            _, [master], _, _ = socket.recv_fds(connection, 100, 1)
        assert _read_until_closed(master) == "/dev/pts/0\r\nyes\r\n"


def test_terminal_in_the_foreground(bundle: Bundle) -> None:
    """`run` stands between its own terminal and the container's: size, input, output, exit code."""
    config = bundle.config("sh", "-c", "stty size; read x; echo got $x; exit 5")
    config["process"]["terminal"] = True
    bundle.write(config)
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, (41, 107))
    with subprocess.Popen(
        bundle.command("run", "c"), stdin=slave, stdout=slave, stderr=slave, cwd=bundle.folder
    ) as process:
        os.close(slave)
        os.write(master, b"typed\n")
        output = _read_until_closed(master)
        assert process.wait(30) == 5
    assert "got typed" in output
    assert "41 107" in output


def test_a_console_socket_that_nobody_listens_to(bundle: Bundle) -> None:
    config = bundle.config("sleep", "1000")
    config["process"]["terminal"] = True
    bundle.write(config)
    done = bundle.sampan("create", "--console-socket", str(bundle.folder / "none"), "c")
    assert done.returncode == 1
    assert "console socket: no such file or directory" in done.stderr
    assert not bundle.cgroup_folders()
    assert os.listdir(bundle.root) == []


def test_capabilities_that_cannot_be_granted_are_warned_of(bundle: Bundle) -> None:
    def change(config: dict[str, Any]) -> None:
        for names in config["process"]["capabilities"].values():
            names.append("CAP_NEW")

    result = _launch(bundle, change, script="true")
    assert result["warnings"] == ["cannot grant capabilities: CAP_NEW"]
    assert result["status"] == 0


def test_born_in_a_v2_cgroup(bundle: Bundle) -> None:
    """CLONE_INTO_CGROUP and a cgroup2 mount, on the v2 tree that a hybrid host has beside the others."""
    unified = open_cgroups().unified
    if unified is None:
        pytest.skip("this host has no cgroup v2")
    cgroup = V2Cgroup(bundle.cgroup_path, unified.mount_point, bundle.cgroup_path)
    parsed = spec.parse(
        bundle.config("sh", "-c", "grep ^0: /proc/self/cgroup; ls /sys/fs/cgroup; echo .; sleep 99")
    )

    def run() -> list[str]:
        reader, writer = os.pipe()
        null = os.open(os.devnull, os.O_RDWR)
        stdio = Stdio(null, writer, writer)
        launched = launch(parsed, str(bundle.folder), container_id="c", cgroup=cgroup, stdio=stdio)
        output = b""
        while not output.endswith(b".\n"):
            output += os.read(reader, 65536)
        again = parsed.process
        assert again is not None
        again = replace(again, args=("grep", "^0:", "/proc/self/cgroup"))
        os.waitpid(
            launch_exec(
                launched.pid, again, joinable=Joinable.of(parsed), compiled=None, cgroup=cgroup, stdio=stdio
            ).pid,
            0,
        )
        with open(f"/proc/{launched.pid}/cgroup", encoding="ascii") as file:
            outside = next(line for line in file if line.startswith("0:"))
        cgroup.kill()
        os.waitpid(launched.pid, 0)
        cgroup.delete()
        os.close(writer)
        return [outside.strip(), *(output + os.read(reader, 65536)).decode().split()]

    try:
        outside, *inside = in_fork(run)
    finally:
        V2Cgroup("", unified.mount_point, bundle.cgroup_parent).delete()
    assert outside == f"0::{bundle.cgroup_path}"
    assert inside[0] == "0::/" and inside[-1] == "0::/"
    assert "cgroup.procs" in inside


def test_preserved_descriptors(bundle: Bundle) -> None:
    bundle.write(bundle.config("sh", "-c", "cat <&3; ls /proc/self/fd"))
    reader, writer = os.pipe()
    os.write(writer, b"preserved\n")
    os.close(writer)
    command = [
        "bash",
        "-c",
        f'exec "$@" 3<&{reader}',
        "bash",
        *bundle.command("run", "--preserve-fds", "1", "c"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=bundle.folder, pass_fds=[reader])
    os.close(reader)
    assert done.stdout.split() == ["preserved", "0", "1", "2", "3", "4"], done


def test_seccomp_filter_is_compiled_once(bundle: Bundle) -> None:
    def change(config: dict[str, Any]) -> None:
        config["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
        }

    for _ in range(2):
        result = _launch(bundle, change, script="mkdir /tmp/x 2>&1; grep Seccomp: /proc/self/status")
        assert "Not supported" in result["output"] or "not supported" in result["output"]
        assert "Seccomp:\t2" in result["output"]
        assert len(os.listdir(bundle.folder / "seccomp")) == 1
