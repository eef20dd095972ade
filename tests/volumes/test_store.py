"""The volume store: names, what it holds, and what a sudden death leaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan import errors
from sampan.volumes.store import ANONYMOUS, VolumeStore, new_name


@pytest.fixture
def store(tmp_path: Path) -> VolumeStore:
    return VolumeStore(str(tmp_path / "volumes"))


def test_a_volume_outlives_the_store(store: VolumeStore, tmp_path: Path) -> None:
    made, is_new = store.create("data", {"a": "b"})
    assert is_new and store.create("data", {"other": "labels"}) == (made, False)
    unnamed, _ = store.create(new_name(), anonymous=True)
    Path(store.path("data"), "file").write_text("kept")
    again = VolumeStore(str(tmp_path / "volumes"))
    assert again.all() == sorted([made, unnamed], key=lambda volume: volume.name)
    assert Path(again.path("data"), "file").read_text() == "kept"
    assert (made.is_anonymous, unnamed.is_anonymous) == (False, True)
    assert unnamed.labels == {ANONYMOUS: ""}
    again.remove("data")
    with pytest.raises(errors.NotFound, match="get data: no such volume"):
        again.get("data")
    with pytest.raises(errors.NotFound):
        again.remove("data")
    assert os.listdir(tmp_path / "volumes") == [unnamed.name]


def test_what_is_half_made_or_half_removed_goes(store: VolumeStore, tmp_path: Path) -> None:
    store.create("data")
    for name in (".new-1", ".old-2"):
        (tmp_path / "volumes" / name / "_data" / "x").mkdir(parents=True)
    assert [volume.name for volume in VolumeStore(str(tmp_path / "volumes")).all()] == ["data"]
    assert os.listdir(tmp_path / "volumes") == ["data"]


@pytest.mark.parametrize("name", ["a b", "/etc", "..", ".hidden", "a/b", "-x", "é", "_x"])
def test_names_that_docker_does_not_take(store: VolumeStore, name: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="includes invalid characters"):
        store.create(name)


def test_a_name_of_one_letter(store: VolumeStore) -> None:
    with pytest.raises(errors.InvalidArgument, match="too short"):
        store.create("x")


@given(name=st.text(min_size=2, max_size=20))
def test_any_name_stays_in_the_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    root = tmp_path_factory.mktemp("any")
    try:
        VolumeStore(str(root / "volumes")).create(name)
    except errors.InvalidArgument:
        pass
    assert os.listdir(root) == ["volumes"]
    assert os.listdir(root / "volumes") in ([], [name])


@pytest.mark.root
def test_filling(store: VolumeStore, tmp_path: Path) -> None:
    source = tmp_path / "image"
    (source / "folder").mkdir(parents=True)
    (source / "folder/file").write_text("content")
    os.chown(source / "folder/file", 12, 34)
    os.chmod(source / "folder/file", 0o4750)
    os.link(source / "folder/file", source / "link")
    os.symlink("/etc/shadow", source / "out")
    os.setxattr(source / "folder", "user.note", b"kept")
    os.chmod(source, 0o1777)
    store.create("data")
    fd = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    try:
        store.fill("data", fd)
        path = Path(store.path("data"))
        found = os.stat(path / "folder/file")
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (12, 34, 0o4750)
        assert found.st_nlink == 2 and os.stat(path / "link").st_ino == found.st_ino
        assert os.readlink(path / "out") == "/etc/shadow"
        assert os.getxattr(path / "folder", "user.note") == b"kept"
        assert os.stat(path).st_mode & 0o7777 == 0o1777
        assert store.size("data") == len("content/etc/shadow")
        (path / "folder/file").write_text("changed")
        store.fill("data", fd)
        assert (path / "folder/file").read_text() == "changed", "it was not empty"
    finally:
        os.close(fd)
