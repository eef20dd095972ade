from __future__ import annotations

import errno
import os
import select
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from sampan.linux import mounts, processes
from tests.linux.children import in_child, status_field

# clone(2); together with a new mount namespace it is EINVAL.
CLONE_FS = 0x200


def _code(pidfd: int) -> int:
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    os.close(pidfd)
    assert result is not None
    return result.si_status


# --- clone3


@pytest.mark.root
def test_clone3_into_new_namespaces() -> None:
    def child() -> tuple[bool, bool, int]:
        reader, writer = os.pipe()
        pid, pidfd = processes.clone3(processes.CLONE_NEWPID | processes.CLONE_NEWUTS)
        if pid == 0:
            os.read(reader, 1)
            os._exit(os.getpid() if pidfd == -1 else 99)
        other_uts = os.stat(f"/proc/{pid}/ns/uts").st_ino != os.stat("/proc/self/ns/uts").st_ino
        inherited = os.get_inheritable(pidfd)
        os.write(writer, b"x")
        assert select.select([pidfd], [], [], 30)[0]
        return other_uts, inherited, _code(pidfd)

    assert in_child(child) == (True, False, 1)


def test_the_child_of_clone3_is_a_whole_python() -> None:
    """Imports, threads, signals and the hooks of os.register_at_fork work in it."""

    def child() -> int:
        hooked: list[str] = []
        os.register_at_fork(after_in_child=lambda: hooked.append("child"))
        pid, pidfd = processes.clone3(0)
        if pid == 0:
            import colorsys  # whatever is not loaded yet

            thread = threading.Thread(target=lambda: hooked.append("thread"))
            thread.start()
            thread.join()
            signal.signal(signal.SIGUSR1, lambda *_: hooked.append("signal"))
            os.kill(os.getpid(), signal.SIGUSR1)
            main = threading.current_thread() is threading.main_thread()
            native = threading.get_native_id() == os.getpid()
            os._exit(7 if hooked == ["child", "thread", "signal"] and main and native and colorsys else 1)
        return _code(pidfd)

    assert in_child(child) == 7


def test_a_refused_clone3_leaves_a_whole_python() -> None:
    def child() -> tuple[int | None, str]:
        number, text = None, ""
        try:
            processes.clone3(processes.CLONE_NEWNS | CLONE_FS)
        except OSError as error:
            number, text = error.errno, str(error.strerror)
        # The import lock must be free again, for other threads as well.
        thread = threading.Thread(target=__import__, args=("colorsys",))
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
        return number, text

    assert in_child(child) == (errno.EINVAL, "clone3: Invalid argument")


def test_clone3_is_refused_beside_other_threads() -> None:
    def child() -> None:
        stop = threading.Event()
        thread = threading.Thread(target=stop.wait)
        thread.start()
        try:
            with pytest.raises(RuntimeError, match="several threads"):
                processes.clone3(0)
        finally:
            stop.set()
            thread.join()

    in_child(child)


def test_a_child_with_clone_parent_is_a_sibling() -> None:
    def child() -> int:
        reader, writer = os.pipe()
        own = os.getpid()
        middle = os.fork()
        if middle == 0:
            pid, _ = processes.clone3(processes.CLONE_PARENT)
            if pid == 0:
                os._exit(5 if os.getppid() == own else 6)
            os.write(writer, str(pid).encode())
            os._exit(0)
        os.waitpid(middle, 0)
        sibling = int(os.read(reader, 20))
        return os.waitstatus_to_exitcode(os.waitpid(sibling, 0)[1])

    assert in_child(child) == 5


@pytest.fixture
def cgroup() -> Iterator[str]:
    found = [entry.mount_point for entry in mounts.read_mountinfo() if entry.filesystem == "cgroup2"]
    if not found:
        pytest.skip("no cgroup v2 here")
    path = f"{found[0]}/sampan-test-{os.getpid()}"
    os.mkdir(path)
    yield path
    os.rmdir(path)


@pytest.mark.root
def test_a_child_is_born_in_its_cgroup(cgroup: str) -> None:
    def child() -> str:
        reader, writer = os.pipe()
        fd = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
        pid, pidfd = processes.clone3(0, cgroup_fd=fd)
        if pid == 0:
            with open("/proc/self/cgroup", "rb") as file:
                os.write(writer, file.read())
            os._exit(0)
        assert _code(pidfd) == 0
        return os.read(reader, 65536).decode()

    lines = in_child(child).splitlines()
    unified = next(line for line in lines if line.startswith("0::"))
    assert unified.endswith(f"/{os.path.basename(cgroup)}")


# --- Namespaces


@pytest.mark.root
@pytest.mark.parametrize("by_pidfd", [False, True])
def test_unshare_and_setns(by_pidfd: bool) -> None:
    def child() -> tuple[str, str]:
        original = os.uname().nodename
        home = os.open("/proc/self/ns/uts", os.O_RDONLY)
        host = processes.pidfd_open(os.getppid())
        processes.unshare(processes.CLONE_NEWUTS)
        socket.sethostname("inside")
        inside = os.uname().nodename
        processes.setns(host if by_pidfd else home, processes.CLONE_NEWUTS)
        assert os.uname().nodename == original
        return inside, original

    inside, original = in_child(child)
    assert inside == "inside" != original


def test_wrong_namespaces_are_named() -> None:
    with pytest.raises(OSError, match="setns"):
        processes.setns(0, processes.CLONE_NEWUTS)
    with pytest.raises(OSError, match="unshare"):
        processes.unshare(1)
    with pytest.raises(ProcessLookupError, match=f"pidfd_open {2**22 + 1}"):
        processes.pidfd_open(2**22 + 1)


# --- execve's neighbours


def test_execveat_runs_an_open_file() -> None:
    def child() -> str:
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.dup2(writer, 1)
            program = os.open("/usr/bin/env", os.O_PATH | os.O_CLOEXEC)
            processes.execveat(program, ["env"], {"NAME": "välue"})
        os.close(writer)
        os.wait()
        return os.read(reader, 1000).decode()

    assert in_child(child) == "NAME=välue\n"


def test_execveat_of_what_is_no_program() -> None:
    fd = os.open("/etc/passwd", os.O_PATH | os.O_CLOEXEC)
    try:
        with pytest.raises(PermissionError, match="execveat"):
            processes.execveat(fd, ["passwd"], {})
    finally:
        os.close(fd)


def test_no_new_privileges() -> None:
    def child() -> str:
        processes.set_no_new_privileges()
        return status_field("NoNewPrivs")

    assert in_child(child) == "1"


def test_a_name_is_cut() -> None:
    def child() -> str:
        processes.set_name("more-than-fifteen-bytes")
        return status_field("Name")

    assert in_child(child) == "more-than-fifte"


@pytest.mark.root
def test_the_proc_files_of_an_undumpable_process_are_roots() -> None:
    def child() -> list[int]:
        os.setresuid(65534, 65534, 65534)
        owners = []
        for dumpable in (True, False):
            processes.set_dumpable(dumpable)
            owners.append(os.stat("/proc/self/maps").st_uid)
        return owners

    assert in_child(child) == [65534, 0]


def test_a_subreaper_inherits_orphans() -> None:
    def child() -> bool:
        processes.set_child_subreaper()
        reader, writer = os.pipe()
        middle = os.fork()
        if middle == 0:
            if os.fork() == 0:
                os.read(reader, 1)  # until the one between has gone
                os._exit(42)
            os._exit(0)
        os.waitpid(middle, 0)
        os.write(writer, b"x")
        return os.waitstatus_to_exitcode(os.wait()[1]) == 42

    assert in_child(child)


def test_the_parents_death_is_a_signal() -> None:
    def child() -> int:
        processes.set_child_subreaper()
        reader, writer = os.pipe()
        middle = os.fork()
        if middle == 0:
            if os.fork() == 0:
                processes.set_parent_death_signal(signal.SIGTERM)
                os.write(writer, b"x")
                signal.pause()
            os.read(reader, 1)
            os._exit(0)
        os.waitpid(middle, 0)
        return os.waitstatus_to_exitcode(os.wait()[1])

    assert in_child(child) == -signal.SIGTERM


def test_personality() -> None:
    def child() -> tuple[int, str]:
        previous = processes.personality(0x0008)  # PER_LINUX32
        return previous, os.uname().machine

    assert in_child(child) == (0, {"x86_64": "i686", "aarch64": "armv8l"}[os.uname().machine])


@pytest.mark.skipif(not os.path.exists("/proc/keys"), reason="a kernel without keyrings")
def test_session_keyrings() -> None:
    def child() -> tuple[int, int, str]:
        named = processes.join_session_keyring("_ses.sampan-test")
        with open("/proc/keys") as file:
            listed = file.read()
        return named, processes.join_session_keyring(), listed

    named, nameless, listed = in_child(child)
    assert 0 < named != nameless > 0
    assert any(f"{named:08x}" in line and "_ses.sampan-test" in line for line in listed.splitlines())
