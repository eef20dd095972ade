"""Id-mapped mounts, and options that change what a bind or a remount does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sampan.linux import mounts
from tests.runtime.bundles import Bundle

pytestmark = pytest.mark.root

Config = dict[str, Any]


def _mount(**fields: Any) -> Any:
    return lambda config: config["mounts"].append(fields)


def _skip_unless_mappable(path: Path) -> None:
    """A tmpfs can be mapped since Linux 6.3."""
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    fd = os.open(path, os.O_RDONLY)
    try:
        if release < (6, 3) and mounts.filesystem_magic(fd) == mounts.TMPFS_MAGIC:
            pytest.skip("this kernel cannot map a tmpfs")
    finally:
        os.close(fd)


def _owned(bundle: Bundle) -> Path:
    _skip_unless_mappable(bundle.folder)
    source = bundle.folder / "source"
    (source / "below").mkdir(parents=True)
    for name, owner in (("zero", 0), ("one", 1), ("many", 70000)):
        (source / name).write_text("")
        os.chown(source / name, owner, owner + 1)
    return source


def test_id_mapped_mount(bundle: Bundle) -> None:
    """The files of 0 to 9 appear as those of 1000 to 1009; others as nobody's."""
    source = _owned(bundle)
    uids = [{"containerID": 0, "hostID": 1000, "size": 10}]
    gids = [{"containerID": 0, "hostID": 2000, "size": 10}]
    change = _mount(
        destination="/m",
        type="bind",
        source=str(source),
        options=["bind", "idmap"],
        uidMappings=uids,
        gidMappings=gids,
    )
    output = bundle.shell("cd /m; stat -c '%n %u %g' zero one many", change)
    assert output.splitlines() == ["zero 1000 2001", "one 1001 2002", "many 65534 65534"]


@pytest.mark.parametrize(("word", "below"), [("idmap", "0"), ("ridmap", "1000")])
def test_mounts_below_an_id_mapped_mount(bundle: Bundle, word: str, below: str) -> None:
    source = _owned(bundle)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(source / "below")], check=True)
    try:
        _skip_unless_mappable(source / "below")
        mappings = [{"containerID": 0, "hostID": 1000, "size": 10}]
        change = _mount(
            destination="/m",
            type="bind",
            source=str(source),
            options=["rbind", word],
            uidMappings=mappings,
            gidMappings=mappings,
        )
        output = bundle.shell("stat -c %u /m/zero /m/below", change)
    finally:
        subprocess.run(["umount", str(source / "below")], check=True)
    assert output.split() == ["1000", below]


def test_id_mapped_mount_in_a_user_namespace(bundle: Bundle) -> None:
    """Without mappings, those of the container: what root owns outside, root owns inside."""
    source = _owned(bundle)

    def change(config: Config) -> None:
        in_user_namespace(config)
        _mount(destination="/tmp", type="bind", source=str(source), options=["bind", "idmap"])(config)

    give_away(bundle)
    output = bundle.shell("cd /tmp; stat -c '%n %u %g' zero one; touch new; stat -c %u new", change)
    assert output.splitlines() == ["zero 0 1", "one 1 2", "0"]
    assert (source / "new").stat().st_uid == 0


def in_user_namespace(config: Config) -> None:
    config["linux"]["namespaces"].append({"type": "user"})
    for key in ("uidMappings", "gidMappings"):
        config["linux"][key] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    # cgroup v1 cannot be mounted from a user namespace
    config["mounts"] = [mount for mount in config["mounts"] if mount["type"] != "cgroup"]


def give_away(bundle: Bundle) -> None:
    bundle.folder.parent.chmod(0o755)
    for folder, names, _ in os.walk(bundle.rootfs):
        for path in (folder, *(f"{folder}/{name}" for name in names)):
            os.chown(path, 100000, 100000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _mount(destination="/x", type="bind", source="/tmp", options=["bind", "idmap"]),
            "nor a user namespace",
        ),
        (_mount(destination="/x", type="tmpfs", options=["ridmap"]), "only supported for bind-mounts"),
        (_mount(destination="/x", type="bind", source="/tmp", uidMappings=[]), None),
        (
            _mount(
                destination="/x",
                type="bind",
                source="/tmp",
                uidMappings=[{"containerID": 0, "hostID": 0, "size": 1}],
            ),
            "must be specified together",
        ),
        (
            _mount(destination="/x", type="bind", source="/tmp", options=["bind", "size=1"]),
            "bind mounts cannot have any filesystem-specific options applied",
        ),
    ],
)
def test_mounts_that_are_refused(bundle: Bundle, change: Any, message: str | None) -> None:
    done = bundle.run("true", change=change)
    assert done.returncode == (0 if message is None else 1)
    assert (message or "") in done.stderr


def test_remount_changes_the_file_system_unless_it_is_a_bind(bundle: Bundle) -> None:
    def change(config: Config) -> None:
        mounts = config["mounts"]
        mounts += [
            {"destination": "/m", "type": "tmpfs", "source": "m", "options": ["size=1m"]},
            {"destination": "/m", "type": "tmpfs", "options": ["remount", "size=64k", "noexec"]},
            {"destination": "/tmp", "type": "bind", "source": "/tmp", "options": ["bind"]},
            {"destination": "/tmp", "type": "bind", "options": ["bind", "remount", "ro"]},
        ]

    [made, bound] = (bundle.shell(f"grep ' {path} ' /proc/mounts", change) for path in ("/m", "/tmp"))
    assert "size=64k" in made and "noexec" in made
    assert " ro," in bound


def test_devices_in_a_user_namespace(bundle: Bundle) -> None:
    def change(config: Config) -> None:
        in_user_namespace(config)
        config["linux"]["devices"] = [
            {"path": "/dev/full", "type": "c", "major": 1, "minor": 7, "fileMode": 438},
            {"path": "/dev/pipe", "type": "p", "fileMode": 384},
        ]
        # Rules in the devices cgroup are another matter.
        config["linux"]["resources"] = {}

    give_away(bundle)
    output = bundle.shell(
        "stat -c '%n %F %t %T' /dev/full /dev/pipe; (echo x > /dev/full) 2>&- || echo full", change
    )
    assert "/dev/full character special file 1 7" in output
    assert "/dev/pipe fifo 0 0" in output
    assert output.endswith("full\n")
