"""Cache and memory bandwidth: the rules about resctrl's files, since few machines have any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sampan import errors
from sampan.runtime.resctrl import ResctrlGroup, find_resctrl
from sampan.runtime.spec.intel_rdt import IntelRdt
from tests.runtime.bundles import Bundle

pytestmark = pytest.mark.root


def linux(**fields: Any) -> Any:
    return lambda config: config["linux"].update(fields)


class FakeResctrl:
    """A folder with the files that the kernel would make."""

    def __init__(self, top: Path) -> None:
        self.top = top

    def group(self, name: str, schemata: str = "") -> Path:
        folder = self.top / name
        folder.mkdir()
        (folder / "schemata").write_text(schemata)
        (folder / "tasks").write_text("")
        (folder / "mon_groups").mkdir()
        return folder


def test_resctrl_is_refused_where_it_is_not_mounted(bundle: Bundle) -> None:
    try:
        find_resctrl()
    except errors.InvalidArgument:
        done = bundle.run("true", change=linux(intelRdt={"l3CacheSchema": "L3:0=f"}))
        assert "intelRdt is specified in config, but Intel RDT is not enabled" in done.stderr
        assert bundle.cgroup_folders() == []


def test_an_existing_class_of_service_must_be_as_asked_for(tmp_path: Path) -> None:
    folder = FakeResctrl(tmp_path).group("gold", "    L3:0=0ff;1=00f\n    MB:0= 50;1= 70\n")
    group = ResctrlGroup(str(tmp_path), IntelRdt("gold", ("L3:0=ff", "MB:1=70")), "c")
    group.prepare()
    group.add(123)
    assert (folder / "tasks").read_text() == "123"
    with pytest.raises(errors.StartFailed, match='"MB:0=60" does not match the schemata'):
        ResctrlGroup(str(tmp_path), IntelRdt("gold", ("MB:0=60",)), "c").prepare()
    group.remove()
    assert folder.is_dir()


def test_a_class_of_service_without_schemata_must_exist(tmp_path: Path) -> None:
    with pytest.raises(errors.StartFailed, match="does not exist"):
        ResctrlGroup(str(tmp_path), IntelRdt("gold"), "c").prepare()
    assert not (tmp_path / "gold").exists()
    ResctrlGroup(str(tmp_path), IntelRdt(), "c").prepare()
    assert (tmp_path / "c").is_dir()


def test_a_group_for_monitoring_is_removed_with_the_container(tmp_path: Path) -> None:
    folder = FakeResctrl(tmp_path).group("gold")
    group = ResctrlGroup(str(tmp_path), IntelRdt("gold", (), monitoring=True), "c")
    group.prepare()
    assert (folder / "mon_groups/c").is_dir()
    group.remove()
    assert not (folder / "mon_groups/c").exists() and folder.is_dir()


def test_a_failed_start_leaves_no_group(tmp_path: Path) -> None:
    group = ResctrlGroup(str(tmp_path), IntelRdt(), "c")
    group.prepare()
    group.undo()
    assert list(tmp_path.iterdir()) == []
