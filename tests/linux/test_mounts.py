from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.linux import files, mounts, processes
from tests.linux.children import in_child

KERNEL = tuple(int(number) for number in os.uname().release.split(".")[:2])


def in_private_mounts(body: Callable[[], Any]) -> Any:
    """Run in a child whose mounts nobody else sees, and that are gone with it."""

    def child() -> Any:
        processes.unshare(processes.CLONE_NEWNS)
        mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_PRIVATE)
        return body()

    return in_child(child)


def _tmpfs(**options: str) -> int:
    context = mounts.fsopen("tmpfs")
    for key, value in options.items():
        mounts.fsconfig_string(context, key, value)
    mounts.fsconfig_create(context)
    return mounts.fsmount(context)


def _write(path: str, text: str = "") -> None:
    with open(path, "w") as file:
        file.write(text)


def _errno(body: Callable[[], object]) -> int | None:
    try:
        body()
    except OSError as error:
        return error.errno
    return None


@pytest.mark.root
def test_a_detached_tmpfs_is_attached(tmp_path: Path) -> None:
    def child() -> None:
        fd = _tmpfs(size="64k", mode="0700")
        assert mounts.filesystem_magic(fd) == mounts.TMPFS_MAGIC
        before = len(mounts.read_mountinfo())
        mounts.move_mount(fd, str(tmp_path))
        (entry,) = [entry for entry in mounts.read_mountinfo() if entry.mount_point == str(tmp_path)]
        assert len(mounts.read_mountinfo()) == before + 1
        assert entry.filesystem == "tmpfs"
        assert {"size=64k", "mode=700"} <= set(entry.super_options.split(","))
        assert entry.mount_id == mounts.mount_id(fd)
        assert entry.device == os.stat(tmp_path).st_dev
        mounts.umount2(str(tmp_path), mounts.MNT_DETACH)
        assert len(mounts.read_mountinfo()) == before

    in_private_mounts(child)


@pytest.mark.root
@pytest.mark.skipif(KERNEL < (6, 7), reason="overlay has no lowerdir+ before Linux 6.7")
def test_an_overlay_of_layers_added_one_by_one(tmp_path: Path) -> None:
    def child() -> tuple[str, list[str]]:
        mounts.mount("tmpfs", str(tmp_path), "tmpfs")
        for name in ("top", "bottom", "upper", "work", "merged"):
            (tmp_path / name).mkdir()
        (tmp_path / "bottom" / "file").write_text("bottom")
        (tmp_path / "bottom" / "other").write_text("bottom")
        (tmp_path / "top" / "file").write_text("top")
        context = mounts.fsopen("overlay")
        for key, name in (
            ("lowerdir+", "top"),
            ("lowerdir+", "bottom"),
            ("upperdir", "upper"),
            ("workdir", "work"),
        ):
            mounts.fsconfig_string(context, key, str(tmp_path / name))
        mounts.fsconfig_create(context)
        fd = mounts.fsmount(context, mounts.MOUNT_ATTR_NODEV)
        with open(files.openat2("file", os.O_RDONLY, dir_fd=fd)) as file:
            text = file.read()
        # The mount's own descriptor is an O_PATH one.
        return text, sorted(os.listdir(files.openat2(".", os.O_RDONLY, dir_fd=fd)))

    assert in_private_mounts(child) == ("top", ["file", "other"])


@pytest.mark.root
def test_the_file_systems_words_are_in_the_error() -> None:
    def child() -> str:
        context = mounts.fsopen("tmpfs")
        try:
            mounts.fsconfig_string(context, "size", "huge")
        except OSError as error:
            return str(error)
        return "no error"

    text = in_private_mounts(child)
    assert "fsconfig size=huge: Invalid argument (tmpfs: Bad value for 'size')" in text

    with pytest.raises(OSError, match="fsopen nosuchfs"):
        mounts.fsopen("nosuchfs")


@pytest.mark.root
def test_a_clone_can_be_read_only_while_the_original_is_not(tmp_path: Path) -> None:
    (tmp_path / "source" / "below").mkdir(parents=True)
    (tmp_path / "target").mkdir()

    def child() -> None:
        source, target = str(tmp_path / "source"), str(tmp_path / "target")
        mounts.mount(source, source, None, mounts.MS_BIND)
        mounts.mount("tmpfs", f"{source}/below", "tmpfs")
        fd = mounts.open_tree(source, mounts.OPEN_TREE_CLONE | files.AT_RECURSIVE)
        mounts.mount_setattr(
            "",
            dir_fd=fd,
            flags=files.AT_EMPTY_PATH | files.AT_RECURSIVE,
            attr_set=mounts.MOUNT_ATTR_RDONLY | mounts.MOUNT_ATTR_NOSUID | mounts.MOUNT_ATTR_NOATIME,
            attr_clr=mounts.MOUNT_ATTR__ATIME,
        )
        mounts.move_mount(fd, target)
        for folder in (target, f"{target}/below"):
            assert _errno(lambda folder=folder: _write(f"{folder}/file")) == errno.EROFS
            (entry,) = [entry for entry in mounts.read_mountinfo() if entry.mount_point == folder]
            assert {"ro", "nosuid", "noatime"} <= set(entry.options)
        _write(f"{source}/file")
        mounts.mount_setattr(target, attr_clr=mounts.MOUNT_ATTR_RDONLY)
        _write(f"{target}/file")

    in_private_mounts(child)


@pytest.mark.root
def test_propagation(tmp_path: Path) -> None:
    def child() -> list[tuple[str, ...]]:
        path = str(tmp_path)
        mounts.mount(path, path, None, mounts.MS_BIND)

        def entry() -> mounts.MountInfo:
            return next(entry for entry in mounts.read_mountinfo() if entry.mount_point == path)

        seen = []
        mounts.mount(None, path, None, mounts.MS_SHARED)
        assert entry().is_shared
        clone = mounts.open_tree(path, mounts.OPEN_TREE_CLONE)
        mounts.mount_setattr("", dir_fd=clone, flags=files.AT_EMPTY_PATH, propagation=mounts.MS_SLAVE)
        for kind in (mounts.MS_PRIVATE, mounts.MS_UNBINDABLE):
            mounts.mount_setattr(path, propagation=kind)
            assert not entry().is_shared
            seen.append(entry().propagation)
        return seen

    assert in_private_mounts(child) == [(), ("unbindable",)]


@pytest.mark.root
def test_pivot_root_onto_itself(tmp_path: Path) -> None:
    def child() -> tuple[list[str], int]:
        fd = _tmpfs()
        mounts.move_mount(fd, str(tmp_path))
        os.mkdir("only", dir_fd=fd)
        os.fchdir(fd)
        mounts.pivot_root(".", ".")
        mounts.umount2(".", mounts.MNT_DETACH)
        os.chdir("/")
        return os.listdir("/"), len(os.listdir("/.."))

    assert in_private_mounts(child) == (["only"], 1)


@pytest.mark.root
@pytest.mark.skipif(KERNEL < (6, 3), reason="tmpfs takes no mapping before Linux 6.3")
def test_an_id_mapped_mount(tmp_path: Path) -> None:
    def child() -> tuple[int, int]:
        fd = _tmpfs()
        os.mkdir("file", dir_fd=fd)
        pid, pidfd = processes.clone3(processes.CLONE_NEWUSER)
        if pid == 0:
            while True:
                os.read(os.pipe()[0], 1)
        for name in ("uid_map", "gid_map"):
            _write(f"/proc/{pid}/{name}", "0 100000 1")
        user_namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
        os.kill(pid, 9)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        mounts.mount_setattr(
            "",
            dir_fd=fd,
            flags=files.AT_EMPTY_PATH,
            attr_set=mounts.MOUNT_ATTR_IDMAP,
            userns_fd=user_namespace,
        )
        found = os.stat("file", dir_fd=fd)
        return found.st_uid, found.st_gid

    assert in_private_mounts(child) == (100000, 100000)


@pytest.mark.root
def test_errors_name_the_path() -> None:
    for body in (
        lambda: mounts.mount("x", "/no/such", "tmpfs"),
        lambda: mounts.umount2("/no/such"),
        lambda: mounts.open_tree("/no/such", 0),
        lambda: mounts.pivot_root("/no/such", "/"),
        lambda: mounts.mount_setattr("/no/such", attr_set=mounts.MOUNT_ATTR_RDONLY),
    ):
        with pytest.raises(FileNotFoundError) as caught:
            body()
        assert caught.value.filename == "/no/such"


@pytest.mark.root
def test_a_mount_point_of_any_name(tmp_path: Path) -> None:
    path = tmp_path / "a b\tc\nd\\e-\udcff,ü"
    path.mkdir()

    def child() -> bool:
        mounts.mount("a source", str(path), "tmpfs")
        entry = mounts.read_mountinfo()[-1]
        return (entry.mount_point, entry.source) == (str(path), "a source")

    assert in_private_mounts(child)


_ESCAPED = {" ": "\\040", "\t": "\\011", "\n": "\\012", "\\": "\\134"}
_PATHS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1)
_TAGS = st.lists(st.sampled_from(["shared:1", "master:22", "propagate_from:3", "unbindable"]), unique=True)


@given(_PATHS, _PATHS, _TAGS)
def test_mountinfo_lines(point: str, source: str, tags: list[str]) -> None:
    def escaped(text: str) -> str:
        return "".join(_ESCAPED.get(letter, letter) for letter in text)

    line = " ".join(
        ["36", "35", "98:0", "/", escaped(point), "rw,noatime", *tags, "-", "ext3", escaped(source), "rw"]
    )
    entry = mounts.parse_mountinfo_line(os.fsencode(line))
    assert (entry.mount_point, entry.source, entry.propagation) == (point, source, tuple(tags))
    assert (entry.mount_id, entry.parent_id, entry.device) == (36, 35, os.makedev(98, 0))
