"""The conformance suite of layer drivers: what `sampan.images.layers.LayerDriver` promises, for any driver.

A test class of a driver inherits from `LayerDriverSuite` and has a fixture `driver`. Trees are looked at
through mounts only: a driver need not keep files as files.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from sampan import errors
from sampan.images.layers import Layer, LayerDriver, WrongDiffID
from sampan.records import replace
from sampan.wire import digest
from sampan.wire.tarstream import Entry, Kind
from tests.images.tars import Member, device, fifo, file, folder, hardlink, symlink, tar

ONE, TWO = "1" * 64, "2" * 64
NAMELESS = 65_000


def apply(driver: LayerDriver, parent: Layer | None, *members: Member) -> Layer:
    return driver.apply(parent.chain_id if parent else None, io.BytesIO(tar(*members)))


@contextmanager
def mounted(driver: LayerDriver, container_id: str = ONE) -> Iterator[Path]:
    fd = driver.mount(container_id)
    try:
        yield Path(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


@contextmanager
def container(driver: LayerDriver, layer: Layer | None, container_id: str = ONE) -> Iterator[Path]:
    driver.create_writable(container_id, layer.chain_id if layer else None)
    with mounted(driver, container_id) as root:
        yield root


class LayerDriverSuite:
    """Every test takes the driver, empty, from the fixture of the class that inherits."""

    def test_it_is_a_driver(self, driver: LayerDriver) -> None:
        assert isinstance(driver, LayerDriver)
        assert driver.name

    # Layers

    def test_a_layer_has_the_ids_and_sizes_of_its_tar(self, driver: LayerDriver) -> None:
        archive = tar(file("a", b"12345"), symlink("l", "target"), hardlink("b", "a"), folder("d"))
        layer = driver.apply(None, io.BytesIO(archive))
        assert layer.diff_id == layer.chain_id == digest.of_bytes(archive)
        assert layer.parent is None
        assert (layer.size, layer.tar_size) == (5 + len("target"), len(archive))
        assert driver.has(layer.chain_id)
        upper = apply(driver, layer, file("x", b"1"))
        assert upper.parent == layer.chain_id
        assert upper.chain_id == digest.chain_id(layer.chain_id, upper.diff_id)

    def test_the_tar_comes_back_byte_for_byte(self, driver: LayerDriver) -> None:
        archive = tar(
            folder("./"),
            file("a", b"x" * 700_000, xattrs={"user.note": b"n"}),
            file("empty"),
            file("d" * 120 + "/f", b"y"),
            hardlink("b", "a"),
            file(".wh.gone"),
            file("weird\udcff", b"z"),
        )
        archive += bytes(10240) + b"whatever follows"
        layer = driver.apply(None, io.BytesIO(archive))
        assert b"".join(driver.tar(layer.chain_id)) == archive

    def test_the_tar_comes_back_when_members_hide_each_other(self, driver: LayerDriver) -> None:
        archive = tar(
            file("a", b"first"),
            hardlink("link", "a"),
            file("a", b"second"),
            file("d/deep/f", b"third"),
            file("d/deep/f", b"fourth"),
            file("d", b"no folder any more"),
            file("e/f", b"fifth"),
            symlink("e", "d"),
            folder("a"),
        )
        layer = driver.apply(None, io.BytesIO(archive))
        assert b"".join(driver.tar(layer.chain_id)) == archive
        with container(driver, layer) as root:
            assert (root / "link").read_bytes() == b"first"
            assert (root / "d").read_bytes() == b"no folder any more"
            assert (root / "a").is_dir()
            assert os.readlink(root / "e") == "d"
        assert layer.size == len(b"first") + len(b"no folder any more") + len("d")

    def test_an_empty_tar_is_a_layer(self, driver: LayerDriver) -> None:
        layer = driver.apply(None, io.BytesIO(b""))
        assert layer.diff_id == digest.of_bytes(b"")
        assert list(driver.tar(layer.chain_id)) == []

    def test_a_layer_twice_is_one_layer(self, driver: LayerDriver) -> None:
        assert apply(driver, None, file("a", b"1")) == apply(driver, None, file("a", b"1"))

    def test_the_same_layer_from_many_threads_is_one_layer(self, driver: LayerDriver) -> None:
        members = [file(f"d{number}/f", b"x" * 1000) for number in range(50)]
        with ThreadPoolExecutor(8) as executor:
            layers = set(executor.map(lambda _: apply(driver, None, *members), range(8)))
        assert len(layers) == 1
        assert driver.recover({layer.chain_id for layer in layers}, ()) == []

    def test_another_tar_than_expected_is_refused(self, driver: LayerDriver) -> None:
        expected = "sha256:" + "0" * 64
        with pytest.raises(WrongDiffID) as failure:
            driver.apply(None, io.BytesIO(tar(file("a"))), expected_diff_id=expected)
        assert failure.value.expected == expected
        assert not driver.has(expected)

    def test_a_removed_layer_is_gone_and_may_be_removed_again(self, driver: LayerDriver) -> None:
        layer = apply(driver, None, file("a"))
        for _ in range(2):
            driver.remove(layer.chain_id)
            driver.sweep()
        assert not driver.has(layer.chain_id)
        assert apply(driver, None, file("a")) == layer

    def test_a_layer_on_one_that_is_not_there_is_refused(self, driver: LayerDriver) -> None:
        with pytest.raises(errors.NotFound):
            driver.apply("sha256:" + "0" * 64, io.BytesIO(tar(file("a"))))

    # What a member means

    def test_members_become_what_they_say(self, driver: LayerDriver) -> None:
        layer = apply(
            driver,
            None,
            folder("d", mode=0o1777, uid=NAMELESS, gid=NAMELESS + 1, mtime=1000),
            file("d/f", b"text", mode=0o4755, uid=NAMELESS, gid=3, mtime_ns=1_500_000_001),
            symlink("l", "/nowhere/at/all"),
            device("null", 1, 3),
            device("disk", 8, 300, "4"),
            fifo("fifo"),
            file("noted", xattrs={"user.note": b"hi\0", "trusted.mark": b"y"}),
        )
        with container(driver, layer) as root:
            status = (root / "d").stat()
            assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (
                0o1777,
                NAMELESS,
                NAMELESS + 1,
            )
            assert status.st_mtime == 1000
            status = (root / "d/f").stat()
            assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o4755, NAMELESS, 3)
            assert status.st_mtime_ns == 1_500_000_001
            assert (root / "d/f").read_bytes() == b"text"
            assert os.readlink(root / "l") == "/nowhere/at/all"
            status = (root / "null").stat()
            assert stat.S_ISCHR(status.st_mode)
            assert status.st_rdev == os.makedev(1, 3)
            status = (root / "disk").stat()
            assert stat.S_ISBLK(status.st_mode)
            assert status.st_rdev == os.makedev(8, 300)
            assert (root / "fifo").is_fifo()
            assert os.getxattr(root / "noted", "user.note") == b"hi\0"
            assert os.getxattr(root / "noted", "trusted.mark") == b"y"

    def test_hard_links_are_one_file(self, driver: LayerDriver) -> None:
        layer = apply(
            driver, None, file("a", b"1", mode=0o600), hardlink("d/b", "./a"), hardlink("c", "/d/b")
        )
        with container(driver, layer) as root:
            assert (root / "a").stat().st_nlink == 3
            assert (root / "a").stat().st_ino == (root / "d/b").stat().st_ino == (root / "c").stat().st_ino

    def test_links_within_the_layer_are_followed(self, driver: LayerDriver) -> None:
        archive = tar(
            file("usr/lib/x", b"1"), symlink("lib", "usr/lib"), file("lib/y", b"2"), file("lib/y", b"3")
        )
        layer = driver.apply(None, io.BytesIO(archive))
        assert b"".join(driver.tar(layer.chain_id)) == archive
        with container(driver, layer) as root:
            assert os.readlink(root / "lib") == "usr/lib"
            assert (root / "usr/lib/y").read_bytes() == b"3"

    def test_absolute_names_are_below_the_root(self, driver: LayerDriver) -> None:
        with container(driver, apply(driver, None, file("/a/./b/../c", b"1"))) as root:
            assert (root / "a/c").read_bytes() == b"1"

    def test_sparse_files_stay_sparse(self, driver: LayerDriver, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        with open(tmp_path / "in/sparse", "wb") as sparse:
            sparse.truncate(8 << 20)
            sparse.seek(5 << 20)
            sparse.write(b"data")
        archive = subprocess.run(
            ["tar", "-S", "-C", tmp_path / "in", "-cf", "-", "sparse"], check=True, capture_output=True
        ).stdout
        layer = driver.apply(None, io.BytesIO(archive))
        assert b"".join(driver.tar(layer.chain_id)) == archive
        assert layer.size == 8 << 20
        with container(driver, layer) as root:
            content = (root / "sparse").read_bytes()
            assert (
                hashlib.sha256(content).digest()
                == hashlib.sha256((tmp_path / "in/sparse").read_bytes()).digest()
            )
            assert (root / "sparse").stat().st_blocks * 512 < 1 << 20

    # Layers on layers

    def test_upper_layers_hide_and_replace(self, driver: LayerDriver) -> None:
        base = apply(
            driver,
            None,
            file("keep", b"base"),
            file("change", b"base"),
            file("gone", b"base"),
            file("tree/a", b"base"),
            file("opaque/below", b"base"),
            file("again/below", b"base"),
            file("file-to-folder", b"base"),
        )
        top = apply(
            driver,
            base,
            file("change", b"top"),
            file(".wh.gone"),
            file(".wh.tree"),
            folder("opaque"),
            file("opaque/.wh..wh..opq"),
            file("opaque/above", b"top"),
            # Removed and made anew in one layer: what was below must not shine through.
            file(".wh.again"),
            file("again/above", b"top"),
            file("file-to-folder/x", b"top"),
        )
        with container(driver, top) as root:
            assert (root / "keep").read_bytes() == b"base"
            assert (root / "change").read_bytes() == b"top"
            assert not (root / "gone").exists()
            assert not (root / "tree").exists()
            assert os.listdir(root / "opaque") == ["above"]
            assert os.listdir(root / "again") == ["above"]
            assert (root / "file-to-folder/x").read_bytes() == b"top"

    def test_a_whiteout_never_hides_its_own_layer(self, driver: LayerDriver) -> None:
        base = apply(driver, None, file("a", b"base"), file("d/below", b"base"))
        top = apply(driver, base, file("a", b"top"), file(".wh.a"), file("d/above", b"top"), file(".wh.d"))
        with container(driver, top) as root:
            assert (root / "a").read_bytes() == b"top"
            assert os.listdir(root / "d") == ["above"]

    def test_an_opaque_root_hides_all_below(self, driver: LayerDriver) -> None:
        base = apply(driver, None, file("a"), file("d/below"), folder("e"))
        top = apply(driver, base, file("d/above"), file(".wh..wh..opq"))
        with container(driver, top) as root:
            assert not (root / "a").exists()
            assert not (root / "e").exists()
            assert os.listdir(root / "d") == ["above"]

    def test_a_folder_that_is_only_implied_keeps_its_looks(self, driver: LayerDriver) -> None:
        base = apply(driver, None, folder("d", mode=0o700, uid=7, gid=8, mtime=1000), file("d/a"))
        top = apply(driver, base, file("d/b"))
        with container(driver, top) as root:
            status = (root / "d").stat()
            assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o700, 7, 8)
            assert status.st_mtime == 1000
            assert sorted(os.listdir(root / "d")) == ["a", "b"]

    def test_aufs_books_are_no_files(self, driver: LayerDriver) -> None:
        layer = apply(driver, None, file(".wh..wh.plnk/1.2", b"x"), file(".wh..wh.aufs"), file("a"))
        with container(driver, layer) as root:
            assert not (root / ".wh..wh.plnk").exists()
            assert not (root / ".wh..wh.aufs").exists()

    def test_a_tar_does_not_speak_to_the_driver(self, driver: LayerDriver) -> None:
        base = apply(driver, None, file("d/below"))
        top = apply(
            driver,
            base,
            (Entry(name="d", kind=Kind.DIRECTORY, xattrs={"trusted.overlay.opaque": b"y"}), b""),
        )
        with container(driver, top) as root:
            assert os.listdir(root / "d") == ["below"]

    def test_many_layers(self, driver: LayerDriver) -> None:
        layer = None
        for number in range(120):
            layer = apply(driver, layer, file(f"f{number}"))
        with container(driver, layer) as root:
            assert sum(name.startswith("f") for name in os.listdir(root)) == 120

    # Hostile tars

    @pytest.mark.parametrize(
        "members",
        [
            pytest.param([file("../evil")], id="up"),
            pytest.param([file("a/../../evil")], id="up from below"),
            pytest.param([symlink("a", "{outside}"), file("a/evil")], id="absolute link"),
            pytest.param([symlink("a", "../../../../../../../tmp"), file("a/evil")], id="link that climbs"),
            pytest.param([symlink("a", "b"), symlink("b", "{outside}"), file("a/evil")], id="link to a link"),
            pytest.param([symlink("a", "{outside}"), folder("a/evil")], id="folder through a link"),
            pytest.param([symlink("a", "{outside}"), file("a/.wh.victim")], id="whiteout through a link"),
            pytest.param([symlink("a", "{outside}"), file("a/.wh..wh..opq")], id="opaque through a link"),
            pytest.param(
                [symlink("a", "{outside}"), hardlink("x", "a/victim")], id="hard link through a link"
            ),
            pytest.param([hardlink("x", "../../../../../etc/passwd")], id="hard link up"),
            pytest.param([hardlink("x", "{outside}/victim")], id="hard link to an absolute name"),
            pytest.param([hardlink("x", "nowhere")], id="hard link to nothing"),
            pytest.param([folder("d"), hardlink("x", "d")], id="hard link to a folder"),
            pytest.param([symlink("a", "a"), file("a/x")], id="link to itself"),
            pytest.param([symlink("a", "/proc/self/root"), file("a/tmp/evil")], id="magic link"),
            pytest.param([file("a"), file("a/b")], id="below a file"),
            pytest.param([file(".wh...")], id="whiteout of the parent"),
            pytest.param([file(".wh.")], id="whiteout of nothing"),
            pytest.param([device("d", 5000, 0)], id="device number out of range"),
            pytest.param([symlink(".", "x")], id="root is a link"),
            pytest.param([file("x" * 300)], id="name too long"),
            pytest.param([file("a/" * 2100 + "x")], id="path too long"),
            pytest.param([(Entry(name="v", kind="V"), b"")], id="volume label"),
        ],
    )
    def test_hostile_tars_are_refused_and_leave_nothing(
        self, driver: LayerDriver, members: list[Member], tmp_path: Path
    ) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "victim").write_text("untouched")
        aimed = [
            (replace(entry, linkname=entry.linkname.replace("{outside}", str(outside))), data)
            for entry, data in [file("first", b"1"), *members]
        ]
        with pytest.raises(errors.InvalidArgument) as failure:
            apply(driver, None, *aimed)
        assert "\n" not in failure.value.message
        assert os.listdir(outside) == ["victim"]
        assert (outside / "victim").read_text() == "untouched"
        assert (outside / "victim").stat().st_nlink == 1
        assert not Path("/tmp/evil").exists()
        assert driver.recover((), ()) == []

    def test_a_link_in_the_place_of_a_file_is_replaced_and_not_written_through(
        self, driver: LayerDriver, tmp_path: Path
    ) -> None:
        (tmp_path / "victim").write_text("untouched")
        victim = str(tmp_path / "victim")
        layer = apply(driver, None, symlink("a", victim), file("a", b"evil", mode=0o777, uid=5))
        assert (tmp_path / "victim").read_text() == "untouched"
        assert (tmp_path / "victim").stat().st_uid == os.getuid()
        with container(driver, layer) as root:
            assert (root / "a").read_bytes() == b"evil"

    def test_a_tree_of_any_depth_is_unpacked_and_removed(self, driver: LayerDriver) -> None:
        # Deeper than Python recurses, and nearly as deep as a path can name.
        deep = "d/" * 1900
        members = [folder(deep), file(deep + "f", b"1"), symlink("a", deep), file("a/g", b"2")]
        layer = apply(driver, None, *members)
        assert b"".join(driver.tar(layer.chain_id)) == tar(*members)
        driver.remove(layer.chain_id)
        driver.sweep()
        assert driver.recover((), ()) == []

    # Containers

    def test_what_a_container_writes_is_its_own(self, driver: LayerDriver) -> None:
        layer = apply(driver, None, file("a", b"image"), file("b", b"image"))
        with container(driver, layer, ONE) as root, container(driver, layer, TWO) as other:
            (root / "a").write_bytes(b"container")
            (root / "b").unlink()
            (root / "new").write_bytes(b"12345")
            assert (other / "a").read_bytes() == b"image"
            assert (other / "b").exists()
            assert not (other / "new").exists()
        assert driver.writable_size(ONE) == len(b"container") + 5
        assert driver.writable_size(TWO) == 0
        with mounted(driver, ONE) as root:
            assert (root / "a").read_bytes() == b"container"
            assert not (root / "b").exists()

    def test_the_root_of_a_container_is_open_to_all(self, driver: LayerDriver) -> None:
        layer = apply(driver, None, folder("./", mode=0o700, uid=5))
        with container(driver, layer) as root:
            assert stat.S_IMODE(root.stat().st_mode) == 0o755
            assert root.stat().st_uid == 0

    def test_mount_points_are_made(self, driver: LayerDriver) -> None:
        layer = apply(
            driver, None, file("etc/hosts", b"own"), symlink("etc/resolv.conf", "../run/resolv.conf")
        )
        with container(driver, layer) as root:
            for name in ("proc", "sys", "dev/pts", "dev/shm"):
                assert (root / name).is_dir()
            for name in (".dockerenv", "etc/hostname", "etc/resolv.conf", "dev/console"):
                assert (root / name).is_file()
                assert not (root / name).is_symlink()
            assert (root / "etc/hosts").read_bytes() == b"own"
            assert os.readlink(root / "etc/mtab") == "/proc/mounts"
        assert driver.writable_size(ONE) == 0

    def test_mount_points_are_never_made_outside(self, driver: LayerDriver, tmp_path: Path) -> None:
        (tmp_path / "outside").mkdir()
        outside = str(tmp_path / "outside")
        layer = apply(
            driver,
            None,
            symlink("etc", outside),
            symlink("dev", "../../../../../.." + outside),
            symlink("proc", "/proc/self/cwd"),
            file("sys", b"a file"),
        )
        with container(driver, layer) as root:
            assert os.listdir(outside) == []
            assert (root / "sys").is_dir()

    def test_a_container_without_an_image(self, driver: LayerDriver) -> None:
        with container(driver, None) as root:
            assert sorted(os.listdir(root)) == [".dockerenv", "dev", "etc", "proc", "sys"]
            (root / "a").write_text("x")

    def test_a_read_only_look_into_a_container(self, driver: LayerDriver) -> None:
        layer = apply(driver, None, file("a", b"image"))
        with container(driver, layer) as root:
            (root / "b").write_bytes(b"container")
        fd = driver.open_root(ONE)
        try:
            root = Path(f"/proc/self/fd/{fd}")
            assert ((root / "a").read_bytes(), (root / "b").read_bytes()) == (b"image", b"container")
            with pytest.raises(OSError) as failure:
                (root / "c").touch()
            assert failure.value.errno == errno.EROFS
        finally:
            os.close(fd)

    def test_an_image_is_mounted_as_it_is(self, driver: LayerDriver) -> None:
        below = apply(driver, None, folder("a"), file("a/f", b"below"), symlink("out", "/etc"))
        above = apply(driver, below, file("a/f", b"above"), file("a/g", b"new"))

        def look(layer: Layer | None, subpath: str = "") -> list[str]:
            fd = driver.open_layer(layer.chain_id if layer else None, subpath)
            try:
                with pytest.raises(OSError) as refused:
                    os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
                assert refused.value.errno == errno.EROFS
                reading = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
                try:
                    return sorted(os.listdir(reading))
                finally:
                    os.close(reading)
            finally:
                os.close(fd)

        assert look(None) == []
        assert look(below) == look(above) == ["a", "out"]
        assert (look(below, "a"), look(above, "a")) == (["f"], ["f", "g"])
        for path, number in (("b", errno.ENOENT), ("out", errno.EXDEV), ("../a", errno.EXDEV)):
            with pytest.raises(OSError) as wrong:
                driver.open_layer(above.chain_id, path)
            assert wrong.value.errno == number

    def test_a_removed_container_is_gone_and_may_be_removed_again(self, driver: LayerDriver) -> None:
        with container(driver, apply(driver, None, file("a"))) as root:
            (root / "d").mkdir()
        for _ in range(2):
            driver.remove_writable(ONE)
        with pytest.raises(errors.NotFound):
            driver.mount(ONE)
        assert driver.writable_size(ONE) == 0

    def test_mounts_leave_no_trace_in_the_mount_table(self, driver: LayerDriver) -> None:
        before = Path("/proc/self/mountinfo").read_text()
        with container(driver, apply(driver, None, file("a"))):
            assert Path("/proc/self/mountinfo").read_text() == before

    def test_metadata_names_the_folders(self, driver: LayerDriver) -> None:
        base = apply(driver, None, file("a"))
        top = apply(driver, base, file("b"))
        driver.create_writable(ONE, top.chain_id)
        for data in (driver.metadata(ONE), driver.layer_metadata(top.chain_id)):
            assert data
            assert all(isinstance(value, str) for value in data.values())

    def test_ids_are_no_paths(self, driver: LayerDriver) -> None:
        for container_id in ("../x", "", "a/b", "x" * 10):
            with pytest.raises(errors.InvalidArgument):
                driver.create_writable(container_id, None)

    # After a crash

    def test_recovery_removes_what_has_no_owner(self, driver: LayerDriver) -> None:
        base = apply(driver, None, file("a"))
        top = apply(driver, base, file("b"))
        lost = apply(driver, base, file("c"))
        driver.create_writable(ONE, top.chain_id)
        driver.create_writable(TWO, top.chain_id)
        removed = driver.recover({base.chain_id, top.chain_id}, {ONE})
        assert len(removed) == 2
        assert driver.has(top.chain_id)
        assert not driver.has(lost.chain_id)
        with mounted(driver, ONE) as root:
            assert (root / "b").exists()
        with pytest.raises(errors.NotFound):
            driver.mount(TWO)
        assert driver.recover({base.chain_id, top.chain_id}, {ONE}) == []
