from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.linux import files
from tests.linux.children import in_child


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[int]:
    """A root with a way out of every kind, as a descriptor."""
    (tmp_path / "secret").write_text("outside")
    inside = tmp_path / "root"
    (inside / "etc").mkdir(parents=True)
    (inside / "etc" / "name").write_text("inside")
    (inside / "secret").write_text("inside")
    (inside / "absolute").symlink_to("/etc")
    (inside / "climbing").symlink_to("../../../../../secret")
    (inside / "etc" / "loop").symlink_to("loop")
    fd = os.open(inside, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    yield fd
    os.close(fd)


def _read(fd: int) -> str:
    with open(fd) as file:
        return file.read()


@pytest.mark.parametrize("path", ["/secret", "../secret", "etc/../../../secret", "climbing", "/climbing"])
def test_nothing_leads_out_of_the_root(tree: int, path: str) -> None:
    assert _read(files.open_in_root(tree, path, os.O_RDONLY)) == "inside"


def test_an_absolute_link_means_the_root(tree: int) -> None:
    assert _read(files.open_in_root(tree, "absolute/name", os.O_RDONLY)) == "inside"


@pytest.mark.parametrize(
    ("path", "resolve", "number"),
    [
        ("../secret", files.RESOLVE_BENEATH, errno.EXDEV),
        ("climbing", files.RESOLVE_BENEATH, errno.EXDEV),
        ("/secret", files.RESOLVE_BENEATH, errno.EXDEV),
        ("absolute/name", files.RESOLVE_NO_SYMLINKS, errno.ELOOP),
        ("etc/loop", files.RESOLVE_IN_ROOT, errno.ELOOP),
        ("etc/none", files.RESOLVE_IN_ROOT, errno.ENOENT),
    ],
)
def test_a_refused_path(tree: int, path: str, resolve: int, number: int) -> None:
    with pytest.raises(OSError) as caught:
        files.openat2(path, os.O_RDONLY, dir_fd=tree, resolve=resolve)
    assert (caught.value.errno, caught.value.filename) == (number, path)
    assert "openat2" in str(caught.value)


def test_magic_links_are_not_followed() -> None:
    with pytest.raises(OSError) as caught:
        files.openat2("/proc/self/exe", os.O_RDONLY, resolve=files.RESOLVE_NO_MAGICLINKS)
    assert caught.value.errno == errno.ELOOP


def test_a_new_file_has_its_mode_and_is_not_inherited(tree: int) -> None:
    fd = files.open_in_root(tree, "new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600)
    try:
        assert os.fstat(fd).st_mode & 0o777 == 0o600
        assert not os.get_inheritable(fd)
    finally:
        os.close(fd)


def test_close_range() -> None:
    def child() -> tuple[list[bool], list[bool]]:
        # Above all others, so that the child's pipe to the test stays open.
        fds = [fcntl.fcntl(0, fcntl.F_DUPFD, 1000 + number) for number in range(4)]
        files.close_range(fds[0], fds[-1], files.CLOSE_RANGE_CLOEXEC)
        inheritable = [os.get_inheritable(fd) for fd in fds]
        files.close_range(fds[1])
        return inheritable, [_is_open(fd) for fd in fds]

    assert in_child(child) == ([False] * 4, [True, False, False, False])


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_a_sealed_memfd_cannot_be_changed() -> None:
    fd = os.memfd_create("sealed", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, b"content")
        files.memfd_seal(fd)
        for change in (lambda: os.pwrite(fd, b"x", 0), lambda: os.ftruncate(fd, 0)):
            with pytest.raises(PermissionError):
                change()
        with pytest.raises(PermissionError, match="F_ADD_SEALS"):
            files.memfd_seal(fd)
        assert os.pread(fd, 10, 0) == b"content"
        assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SEAL
    finally:
        os.close(fd)
