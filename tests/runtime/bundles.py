"""Bundles with busybox as their root file system, and the command that runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sampan.runtime
from sampan.runtime.cgroups import open_cgroups
from sampan.runtime.commands.spec import starter

MAIN = Path(sampan.runtime.__file__).with_name("__main__.py")
BUSYBOX = "/usr/bin/busybox"

# Docker's default set.
CAPABILITIES = [
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID"),
    *("CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL"),
    "CAP_AUDIT_WRITE",
]

Change = Callable[[dict[str, Any]], None]


class Bundle:
    """A folder with config.json and rootfs, a `--root` beside it, and a cgroup of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rootfs = folder / "rootfs"
        self.root = folder / "state"
        self.cgroup_parent = f"/sampan-runtime-test-{uuid.uuid4().hex[:12]}"
        self.cgroup_path = f"{self.cgroup_parent}/container"
        for name in ("bin", "proc", "sys", "dev", "etc", "tmp"):
            (self.rootfs / name).mkdir(parents=True)
        (self.rootfs / "tmp").chmod(0o1777)
        shutil.copy(BUSYBOX, self.rootfs / "bin/busybox")
        for applet in subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True).stdout.split():
            if applet != "busybox":
                (self.rootfs / "bin" / applet).symlink_to("busybox")
        (self.rootfs / "etc/passwd").write_text(
            "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n"
        )
        (self.rootfs / "etc/group").write_text("root:x:0:\nbob:x:1000:\naudio:x:29:bob\n")

    def config(self, *args: str) -> dict[str, Any]:
        """A config.json much like Docker's."""
        config: dict[str, Any] = json.loads(json.dumps(starter()))
        process = config["process"]
        process.update(terminal=False, args=list(args), noNewPrivileges=False)
        process["capabilities"] = {key: list(CAPABILITIES) for key in ("bounding", "effective", "permitted")}
        config["root"]["readonly"] = False
        config["linux"]["cgroupsPath"] = self.cgroup_path
        return config

    def write(self, config: dict[str, Any]) -> None:
        (self.folder / "config.json").write_text(json.dumps(config))

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-I", "-S", str(MAIN), "--root", str(self.root), *words]

    def sampan(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        options = {"stdin": subprocess.DEVNULL, "timeout": 60} | options
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, cwd=self.folder, **options
        )

    def run(
        self, *args: str, change: Change | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a container to its end; `change` edits its config.json first."""
        config = self.config(*args)
        if change is not None:
            change(config)
        self.write(config)
        return self.sampan("run", "c", **options)

    def shell(self, script: str, change: Change | None = None) -> str:
        """The output of a shell script in a container that has to succeed."""
        done = self.run("sh", "-ec", script, change=change)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    @contextmanager
    def running(self, *args: str, change: Change | None = None) -> Iterator[None]:
        """A container "c" that runs in the background, and is deleted afterwards."""
        config = self.config(*(args or ("sleep", "1000")))
        if change is not None:
            change(config)
        self.write(config)
        # Its streams must not be our pipes: who reads them to their end would wait for the container's.
        with open(os.devnull, "r+b") as null:
            subprocess.run(
                self.command("run", "--detach", "c"),
                check=True,
                stdin=null,
                stdout=null,
                stderr=null,
                cwd=self.folder,
            )
        try:
            yield
        finally:
            self.sampan("delete", "--force", "c")

    def pid(self) -> int:
        return int(json.loads(self.sampan("state", "c").stdout)["pid"])

    def cgroup_folders(self) -> list[Path]:
        """What is there of the container's cgroup."""
        top = Path("/sys/fs/cgroup")
        hierarchies = [top, *(top / name for name in os.listdir(top))]
        return [
            path for path in (Path(f"{folder}{self.cgroup_path}") for folder in hierarchies) if path.is_dir()
        ]

    def clean_up(self) -> None:
        for name in os.listdir(self.root) if self.root.is_dir() else ():
            self.sampan("delete", "--force", name)
        open_cgroups().cgroup(self.cgroup_parent).delete()


def in_fork(function: Callable[[], object]) -> Any:
    """Call a function in a process with one thread, where clone3 may be used; its result comes as JSON."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reader)
            try:
                result: object = {"result": function()}
            except BaseException as error:
                code = getattr(error, "exit_code", None)
                result = {"error": [type(error).__name__, str(error.args[0]) if error.args else "", code]}
            os.write(writer, json.dumps(result).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as file:
        answer = json.loads(file.read() or b"{}")
    os.waitpid(pid, 0)
    if "error" in answer:
        raise InFork(*answer["error"])
    return answer["result"]


class InFork(Exception):
    """An error of the forked process: its type's name, its message and its exit code."""

    def __init__(self, kind: str, message: str, exit_code: int | None) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind, self.message, self.exit_code = kind, message, exit_code
