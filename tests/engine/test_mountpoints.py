"""`-v`, `--mount` and `--tmpfs`: what they mean, and dockerd's words for what they cannot mean."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan import errors
from sampan.engine import mountpoints
from sampan.engine.mountpoints import MountPoint
from sampan.engine.schema import HostConfig
from tests.engine.bodies import host_config

DATA_ROOT = "/var/lib/sampan"


def bind(text: str) -> MountPoint:
    return mountpoints.parse_bind(text, DATA_ROOT)


def collect(**fields: Any) -> tuple[MountPoint, ...]:
    return mountpoints.collect(host_config(**fields), DATA_ROOT)


def test_a_bind() -> None:
    point = bind("/host/./dir/:/in/side/")
    assert (point.source, point.destination) == ("/host/dir", "/in/side")
    assert point.writable and point.recursive and point.create_source
    assert point.propagation == "rprivate" and point.mode == ""


def test_modes() -> None:
    point = bind("/a:/b:ro,rslave,z")
    assert not point.writable and point.propagation == "rslave" and point.mode == "ro,rslave,z"


@pytest.mark.parametrize("source", ["/var/lib/sampan", "/var/lib", "/", "/var/lib/sampan/containers"])
def test_the_data_root_is_bound_as_a_slave(source: str) -> None:
    assert bind(f"{source}:/x").propagation == "rslave"
    with pytest.raises(errors.InvalidArgument, match="must use either propagation mode"):
        bind(f"{source}:/x:private")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/a:/b:foo", "invalid mode: foo"),
        ("/a:/b:ro,rw", "invalid mode: ro,rw"),
        ("/a:/b:ro:z", "invalid volume specification: '/a:/b:ro:z'"),
        (":/b", "invalid volume specification: ':/b'"),
        ("/a:ro", "invalid volume specification: '/a:ro'"),
        (
            "/tmp:relative",
            "invalid volume specification: '/tmp:relative': invalid mount config for type \"bind\": "
            "invalid mount path: 'relative' mount path must be absolute",
        ),
        (
            "/tmp:/",
            "invalid volume specification: '/tmp:/': invalid mount config for type \"bind\": "
            "invalid specification: destination can't be '/'",
        ),
    ],
)
def test_wrong_binds(text: str, message: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        bind(text)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ({"Type": "foo", "Target": "/x"}, 'invalid mount config for type "foo": mount type unknown'),
        (
            {"Type": "tmpfs", "Target": "x"},
            "invalid mount config for type \"tmpfs\": invalid mount path: 'x' mount path must be absolute",
        ),
        (
            {"Type": "bind", "Target": "/x"},
            'invalid mount config for type "bind": field Source must not be empty',
        ),
        (
            {"Type": "bind", "Source": "/no/such/dir", "Target": "/x"},
            'invalid mount config for type "bind": bind source path does not exist: /no/such/dir',
        ),
        (
            {"Type": "bind", "Source": "/tmp", "Target": "/x", "VolumeOptions": {}},
            'invalid mount config for type "bind": field VolumeOptions must not be specified',
        ),
        (
            {"Type": "bind", "Source": "/tmp", "Target": "/x", "BindOptions": {"Propagation": "odd"}},
            'invalid mount config for type "bind": invalid propagation mode: odd',
        ),
        (
            {"Type": "bind", "Source": "/tmp"},
            'invalid mount config for type "bind": field Target must not be empty',
        ),
    ],
)
def test_wrong_mounts(mount: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        collect(Mounts=[mount])
    assert caught.value.message == message


def test_mounts(tmp_path: Path) -> None:
    options = {"NonRecursive": True, "ReadOnlyNonRecursive": True, "Propagation": "rshared"}
    bound, memory = collect(
        Mounts=[
            {
                "Type": "bind",
                "Source": str(tmp_path),
                "Target": "/b",
                "ReadOnly": True,
                "BindOptions": options,
            },
            {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o1777}},
        ]
    )
    assert not (bound.writable or bound.recursive or bound.read_only_recursive or bound.create_source)
    assert bound.propagation == "rshared" and bound.mode == ""
    assert memory.tmpfs_options == ("mode=1777", f"size={1 << 20}")


def test_one_destination_twice() -> None:
    for fields in (
        {"Binds": ["/a:/x", "/b:/x/"]},
        {"Binds": ["/a:/x"], "Tmpfs": {"/x": ""}},
        {"Binds": ["/a:/x"], "Mounts": [{"Type": "tmpfs", "Target": "/x"}]},
    ):
        with pytest.raises(errors.InvalidArgument, match="Duplicate mount point: /x"):
            collect(**fields)


def test_the_last_of_contradicting_tmpfs_options_wins() -> None:
    merged = mountpoints.merge_tmpfs_options
    assert merged(["noexec", "nosuid", "exec", "size=1m", "size=2m"]) == ["nosuid", "exec", "size=2m"]
    assert merged(["rprivate", "rshared", "defaults"]) == ["rshared"]
    with pytest.raises(errors.InvalidArgument, match=r'^invalid tmpfs option \["foo"\]$'):
        merged(["foo"])


def test_volumes() -> None:
    named, anonymous, plain = bind("data:/x:ro,nocopy"), bind("/x"), bind("data:/x")
    assert (named.type, named.name, named.is_named, named.writable, named.copies, named.mode) == (
        "volume",
        "data",
        True,
        False,
        False,
        "ro,nocopy",
    )
    assert (anonymous.type, anonymous.name, anonymous.is_named) == ("volume", "", False)
    assert (plain.mode, plain.copies, plain.writable) == ("z", True, True)
    borrowed = mountpoints.borrow([named, plain], "ro")
    assert [(point.writable, point.copies, point.mode) for point in borrowed] == [(False, False, "ro")] * 2
    made = mountpoints.with_anonymous([named], HostConfig(tmpfs={"/t": ""}), ["/x", "/y/", "/t"])
    assert [(point.destination, point.name) for point in made] == [("/x", "data"), ("/y", "")]


@given(st.text(alphabet=string.ascii_lowercase + "/:.,", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        point = bind(text)
    except errors.InvalidArgument:
        return
    assert point.destination.startswith("/") and point.destination != "/"
    assert point.source.startswith("/") if point.type == "bind" else "/" not in point.source
    assert ".." not in point.destination.split("/")
