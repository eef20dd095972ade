"""The driver `overlay2`: the suite of all drivers, and its folders, fallbacks, crashes and full disks."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sampan import errors
from sampan.images import overlay
from sampan.images.layers import LayerDriver
from sampan.images.overlay2 import Overlay2
from sampan.linux import mounts
from tests.images.driver_suite import ONE, LayerDriverSuite, apply, container
from tests.images.small_disk import small_disk
from tests.images.tars import file, folder, tar

pytestmark = pytest.mark.root


def leftovers(root: Path) -> list[str]:
    return os.listdir(root / "tmp")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "overlay2"


@pytest.fixture
def driver(root: Path) -> Iterator[LayerDriver]:
    # Waiting for the disk has a test of its own: here it would be the disk's speed that is tested.
    yield Overlay2(str(root), durable=False)
    assert leftovers(root) == []


class TestOverlay2(LayerDriverSuite):
    """Overlay2 is a layer driver."""


def test_nobody_else_looks_into_the_layers(driver: LayerDriver, root: Path) -> None:
    layer = apply(driver, None, file("su", mode=0o4755))
    for path in (root, root / "layers", root / "layers" / layer.chain_id[7:], root / "containers"):
        assert path.stat().st_mode & 0o077 == 0


def test_the_folders_have_dockers_names(driver: LayerDriver, root: Path) -> None:
    base = apply(driver, None, file("a"))
    top = apply(driver, base, file("b"))
    assert "LowerDir" not in driver.layer_metadata(base.chain_id)
    data = driver.layer_metadata(top.chain_id)
    assert data["LowerDir"] == driver.layer_metadata(base.chain_id)["UpperDir"]
    driver.create_writable(ONE, top.chain_id)
    data = driver.metadata(ONE)
    assert list(data) == ["LowerDir", "MergedDir", "UpperDir", "WorkDir"]
    assert data["UpperDir"] == f"{root}/containers/{ONE}/diff"
    assert [os.listdir(path) != [] for path in data["LowerDir"].split(":")] == [True] * 3


def test_a_part_of_an_image_on_older_kernels(
    driver: LayerDriver, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Linux 6.15 a part of a detached mount cannot be cloned."""
    layer = apply(driver, None, folder("a"), file("a/f", b"1"))
    clone, attempts = mounts.clone_beneath, []

    def clone_beneath(fd: int, path: str) -> int:
        attempts.append(path)
        if len(attempts) == 1:
            raise OSError(errno.EINVAL, "open_tree: Invalid argument")
        return clone(fd, path)

    monkeypatch.setattr(mounts, "clone_beneath", clone_beneath)
    fd = driver.open_layer(layer.chain_id, "a")
    try:
        assert Path(f"/proc/self/fd/{fd}/f").read_bytes() == b"1"
    finally:
        os.close(fd)
    assert attempts == ["a", "a"]


def test_a_durable_driver_makes_the_same(root: Path) -> None:
    driver = Overlay2(str(root))
    with container(driver, apply(driver, None, file("a", b"1"))) as mounted:
        assert (mounted / "a").read_bytes() == b"1"
    # A second driver on the same folder: all that matters is on the disk.
    with container(Overlay2(str(root)), apply(driver, None, file("a", b"1")), "2" * 64) as mounted:
        assert (mounted / "a").read_bytes() == b"1"


def test_mounting_with_the_options_of_older_kernels(driver: LayerDriver, root: Path) -> None:
    layer = None
    for number in range(60):
        layer = apply(driver, layer, file(f"f{number}"))
    with container(driver, layer) as mounted:
        expected = sorted(os.listdir(mounted))
    data = driver.metadata(ONE)
    with ExitStack() as stack:
        lowers = data["LowerDir"].split(":")
        fd = overlay._mount_by_page(stack, lowers, data["UpperDir"], data["WorkDir"], f"{root}/tmp")
    try:
        assert sorted(os.listdir(f"/proc/self/fd/{fd}")) == expected
    finally:
        os.close(fd)


def test_paths_longer_than_fsconfig_takes(tmp_path: Path) -> None:
    root = tmp_path / ("x" * 200)
    root.mkdir()
    driver = Overlay2(str(root / ("y" * 100)), durable=False)
    with container(driver, apply(driver, None, file("a", b"1"))) as mounted:
        assert (mounted / "a").read_bytes() == b"1"


def test_what_a_killed_process_left_is_removed(driver: LayerDriver, root: Path) -> None:
    (root / "tmp/layer-1/diff/deep").mkdir(parents=True)
    (root / "tmp/layer-1/record").write_text("half")
    assert driver.recover((), ()) == ["unfinished work layer-1"]


def test_a_layer_that_changed_on_the_disk_is_an_error(driver: LayerDriver, root: Path) -> None:
    layer = apply(driver, None, file("a", b"12345"), file("b", b"1"))
    diff = root / "layers" / layer.chain_id[7:] / "diff"
    (diff / "a").write_bytes(b"54321")
    with pytest.raises(errors.SampanError, match="is damaged on the disk"):
        list(driver.tar(layer.chain_id))
    (diff / "a").write_bytes(b"1")
    with pytest.raises(errors.SampanError, match="cut short: a"):
        list(driver.tar(layer.chain_id))
    (diff / "a").unlink()
    (diff / "a").symlink_to("b")
    with pytest.raises(errors.SampanError, match="cannot read a layer"):
        list(driver.tar(layer.chain_id))


def test_a_source_that_fails_leaves_nothing(driver: LayerDriver) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            if not data:
                raise ConnectionResetError
            return data

    with pytest.raises((ConnectionResetError, errors.SampanError)):
        driver.apply(None, Failing(tar(file("a", b"1" * 300_000))[:200_000]))
    assert driver.recover((), ()) == []


def test_a_full_disk_is_said_in_one_line_and_nothing_stays(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        driver = Overlay2(str(disk / "overlay2"))
        with pytest.raises(errors.SampanError) as failure:
            apply(driver, None, folder("d"), file("d/small", b"1"), file("d/big", b"x" * (2 << 20)))
        assert failure.value.message == "cannot write the layer: No space left on device"
        assert not isinstance(failure.value, errors.InvalidArgument)
        assert leftovers(disk / "overlay2") == []
        # And there is room again.
        apply(driver, None, file("fits", b"x" * (512 << 10)))


def test_a_mount_that_a_killed_process_left_is_removed(driver: LayerDriver, root: Path) -> None:
    with small_disk(root / "tmp/mount-1", "1m"):
        assert driver.recover((), ()) == ["unfinished work mount-1"]
