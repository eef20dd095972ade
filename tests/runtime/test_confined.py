from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.runtime.confined import Root


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def root(top: Path) -> Iterator[Root]:
    fd = os.open(top, os.O_PATH)
    yield Root(fd)
    os.close(fd)


def where(fd: int) -> str:
    path = os.readlink(f"/proc/self/fd/{fd}")
    os.close(fd)
    return path


@pytest.mark.parametrize("path", ["/a/b/c", "a/b/c", "/../../a/./b//c/", "/x/../a/b/c"])
def test_makes_missing_folders(root: Root, top: Path, path: str) -> None:
    (top / "x").mkdir()
    assert where(root.make_directory(path)) == f"{top}/a/b/c"
    assert where(root.make_directory(path)) == f"{top}/a/b/c"


@pytest.mark.parametrize("target", ["/deep/er", "deep/er", "../../../deep/er", "/link2/er"])
def test_follows_dangling_symlinks_inside(root: Root, top: Path, target: str) -> None:
    (top / "link").symlink_to(target)
    (top / "link2").symlink_to("deep")
    assert where(root.make_directory("/link/x")) == f"{top}/deep/er/x"
    assert where(root.make_file("/link/y")) == f"{top}/deep/er/y"


def test_makes_files_and_keeps_what_is_there(root: Root, top: Path) -> None:
    assert where(root.make_file("/etc/hosts")) == f"{top}/etc/hosts"
    (top / "etc/hosts").write_text("kept")
    os.close(root.make_file("/etc/hosts"))
    assert (top / "etc/hosts").read_text() == "kept"


def test_the_outside_is_out_of_reach(root: Root, top: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (top / "up").symlink_to("../secret")
    (top / "absolute").symlink_to(tmp_path / "secret")
    for path in ("/../secret", "/up", "/absolute", "/up/../secret"):
        made = where(root.make_directory(f"{path}/x"))
        assert made.startswith(f"{top}/"), path
    assert os.listdir(tmp_path / "secret") == []


@pytest.mark.parametrize("path", ["/loop", "/loop/x", "/loop/../loop/y"])
def test_loops_end(root: Root, top: Path, path: str) -> None:
    (top / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        root.make_directory(path)
    with pytest.raises(OSError, match="symbolic links"):
        root.make_file(path)


def test_files_are_no_folders(root: Root, top: Path) -> None:
    (top / "file").touch()
    with pytest.raises(NotADirectoryError):
        root.make_directory("/file")
    with pytest.raises(NotADirectoryError):
        root.make_directory("/file/x/y")
    with pytest.raises(IsADirectoryError):
        root.make_file("/")


def test_plain_directory_refuses_symlinks(root: Root, top: Path) -> None:
    (top / "real").mkdir()
    (top / "link").symlink_to("real")
    assert where(root.open_plain_directory("/new")) == f"{top}/new"
    for path in ("/link", "/link/x"):
        with pytest.raises(OSError, match="symbolic links"):
            root.open_plain_directory(path)
    assert os.listdir(top / "real") == []


@pytest.mark.parametrize("path", ["/", "/a/..", "/a/."])
def test_parent_of_no_name(root: Root, path: str) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        root.make_parent(path)


def test_no_descriptor_is_left_open(root: Root, top: Path) -> None:
    (top / "loop").symlink_to("loop")
    before = os.listdir("/proc/self/fd")
    for path in ("/loop/x", "/a/b", "/"):
        try:
            os.close(root.make_directory(path))
        except OSError:
            pass
    assert os.listdir("/proc/self/fd") == before
