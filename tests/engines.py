"""Private engines for tests and benchmarks: Sampan's, and Debian's dockerd as the oracle.

Each engine gets a folder, a network namespace, a bridge and a cgroup parent of its own, so any number run
side by side. A watchdog process holds the other end of a pipe: when the test process goes away, however it
goes, the watchdog ends everything that the engine left (containers outlive a daemon by design) and removes
its folder.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
BIP = "172.30.0.1/16"
START_SECONDS = 60


@dataclass
class EngineProcess:
    """A running engine: its folder, its socket and its processes. `kill` is for tests of sudden death."""

    name: str
    directory: Path
    command: list[str]
    cgroup_parent: str
    process: subprocess.Popen[bytes] | None = None
    watchdog: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def socket(self) -> Path:
        return self.directory / "engine.sock"

    @property
    def host(self) -> str:
        return f"unix://{self.socket}"

    @property
    def data_root(self) -> Path:
        return self.directory / "data"

    @property
    def exec_root(self) -> Path:
        return self.directory / "exec"

    @property
    def netns(self) -> str:
        return f"/proc/{self.anchor}/ns/net"

    @property
    def anchor(self) -> int:
        assert self.watchdog is not None
        return self.watchdog.pid

    def launch(self) -> None:
        """Start the daemon in the engine's network namespace and wait until it answers `_ping`."""
        with (self.directory / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["nsenter", f"--net={self.netns}", *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | self.environment,
            )
        self.wait_ready()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process is not None and self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended at start: {self.log()}")
            if ping(self.socket):
                return
            time.sleep(0.005)
        raise RuntimeError(f"{self.name} does not answer: {self.log()}")

    def log(self) -> str:
        return (self.directory / "daemon.log").read_text(errors="replace")[-4000:]

    def terminate(self) -> int:
        """End the daemon with SIGTERM, as an init system does. Returns its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def docker(self, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        """Run the real `docker` CLI against this engine."""
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            ["docker", "-H", self.host, *arguments],
            **({"capture_output": True, "text": True, "timeout": 120} | options),
        )

    def sampan(self, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        """Run Sampan's own CLI against this engine, as its launcher does."""
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            [*SAMPAN_CLI, "-H", self.host, *arguments],
            **({"capture_output": True, "text": True, "timeout": 120} | options),
        )

    def in_netns(self, *command: str) -> list[str]:
        """`command` as it has to be started to run in the engine's network namespace."""
        return ["nsenter", f"--net={self.netns}", *command]

    def close(self) -> None:
        """End the daemon and all that it started, then remove the folder."""
        if self.process is not None and self.process.poll() is None:
            command = self.sampan if self.name == "sampan" else self.docker
            for container in command("ps", "-aq").stdout.split():
                command("rm", "-f", container)
            self.terminate()
        if self.watchdog is not None:
            assert self.watchdog.stdin is not None and self.watchdog.stdout is not None
            self.watchdog.stdin.close()
            self.watchdog.stdout.close()
            self.watchdog.wait(60)
            if self.watchdog.stdout is not None:
                self.watchdog.stdout.close()


SAMPAN_CLI = [PYTHON, "-I", "-S", str(ROOT / "src/sampan/cli/__main__.py")]


def ping(socket_path: Path) -> bool:
    import socket

    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        try:
            client.connect(str(socket_path))
            client.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return b" 200 " in client.recv(64)
        except OSError:
            return False


def _guard(engine: EngineProcess) -> None:
    """Start the watchdog; its network namespace is the engine's 'host'."""
    engine.watchdog = subprocess.Popen(
        ["unshare", "--net", PYTHON, "-I", __file__, str(engine.directory), engine.cgroup_parent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert engine.watchdog.stdout is not None
    assert engine.watchdog.stdout.readline() == b"ready\n"


def sampan_engine(directory: Path, *options: str, bip: str = BIP) -> EngineProcess:
    """A Sampan engine in `directory` (made if missing), not yet launched."""
    directory.mkdir(parents=True, exist_ok=True)
    parent = f"sampan-test-{secrets.token_hex(4)}"
    command = [PYTHON, "-I", "-m", "sampan.daemon"]
    command += ["--config-file", str(_config(directory, {}))]
    command += ["--data-root", f"{directory}/data", "--exec-root", f"{directory}/exec"]
    command += ["-H", f"unix://{directory}/engine.sock", "--pidfile", f"{directory}/pid"]
    command += ["--bip", bip, "--cgroup-parent", parent, *options]
    engine = EngineProcess("sampan", directory, command, parent)
    _guard(engine)
    return engine


def dockerd_engine(directory: Path, *, bip: str = BIP) -> EngineProcess:
    """Debian's dockerd in `directory`, not yet launched."""
    directory.mkdir(parents=True, exist_ok=True)
    parent = f"docker-test-{secrets.token_hex(4)}"
    config = {
        "data-root": f"{directory}/data",
        "exec-root": f"{directory}/exec",
        "hosts": [f"unix://{directory}/engine.sock"],
        "pidfile": f"{directory}/pid",
        "bip": bip,
        "storage-driver": "overlay2",
        "cgroup-parent": f"/{parent}",
    }
    engine = EngineProcess(
        "dockerd", directory, ["dockerd", "--config-file", str(_config(directory, config))], parent
    )
    _guard(engine)
    return engine


def have_dockerd() -> bool:
    return os.geteuid() == 0 and shutil.which("dockerd") is not None and shutil.which("docker") is not None


def _config(directory: Path, content: dict[str, object]) -> Path:
    path = directory / "daemon.json"
    path.write_text(json.dumps(content))
    return path


# The watchdog: `python engines.py DIRECTORY CGROUP_PARENT`, standard library only.


def _watch(directory: str, cgroup_parent: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    print("ready", flush=True)
    sys.stdin.buffer.read()
    for _ in range(50):
        victims = {
            pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _belongs(pid, cgroup_parent)
        }
        victims.discard(os.getpid())
        if not victims:
            break
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.1)
    _unmount_below(directory)
    _remove_cgroups(cgroup_parent)
    shutil.rmtree(directory, ignore_errors=True)


def _belongs(pid: int, cgroup_parent: str) -> bool:
    """Whether `pid` lives in the engine's network namespace, as daemon and shims do, or in its cgroups."""
    try:
        if f"/{cgroup_parent}" in Path(f"/proc/{pid}/cgroup").read_text():
            return True
        return os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino
    except OSError:
        return False


def _unmount_below(directory: str) -> None:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((p for p in points if p.startswith(f"{directory}/")), reverse=True):
        subprocess.run(["umount", "-l", point], check=False)


def _remove_cgroups(parent: str) -> None:
    for root, directories, _ in os.walk("/sys/fs/cgroup"):
        if parent in directories:
            for inner, _, _ in os.walk(os.path.join(root, parent), topdown=False):
                try:
                    os.rmdir(inner)
                except OSError:
                    pass
            directories.remove(parent)


if __name__ == "__main__":
    _watch(sys.argv[1], sys.argv[2])
