from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampan import errors
from sampan.runtime import users
from sampan.runtime.confined import Root
from sampan.runtime.users import ResolvedUser

PASSWD = """root:x:0:0:root:/root:/bin/sh
bob:x:1000:100:Bob:/home/bob:/bin/sh

1001:x:0:0:a name that looks like a number:/evil:/bin/sh
broken:x:zero:0::/:/bin/sh
big:x:4294967295:0::/:/bin/sh
nohome:x:1002:1002
"""
GROUP = "root:x:0:\naudio:x:29:bob,eve\nvideo:x:44:bob\n77:x:0:\nbad:x:-1:bob\n"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text(GROUP)
    fd = os.open(tmp_path, os.O_PATH)
    yield Root(fd)
    os.close(fd)


@pytest.mark.parametrize(
    ("user", "added", "expected"),
    [
        ("", (), ResolvedUser(0, 0, (0,), "/root")),
        ("root", (), ResolvedUser(0, 0, (0,), "/root")),
        ("bob", (), ResolvedUser(1000, 100, (100, 29, 44), "/home/bob")),
        ("bob:", (), ResolvedUser(1000, 100, (100, 29, 44), "/home/bob")),
        ("1000", (), ResolvedUser(1000, 100, (100, 29, 44), "/home/bob")),
        ("+1000", (), ResolvedUser(1000, 100, (100, 29, 44), "/home/bob")),
        ("01000", (), ResolvedUser(1000, 100, (100, 29, 44), "/home/bob")),
        ("bob:video", (), ResolvedUser(1000, 44, (44,), "/home/bob")),
        ("bob:5", (), ResolvedUser(1000, 5, (5,), "/home/bob")),
        (":video", (), ResolvedUser(0, 44, (44,), "/root")),
        ("5:6", (), ResolvedUser(5, 6, (6,), "/")),
        ("1001", (), ResolvedUser(1001, 0, (0,), "/")),  # CVE-2026-46680: a number is no name
        ("5:77", (), ResolvedUser(5, 77, (77,), "/")),
        ("nohome", (), ResolvedUser(1002, 1002, (1002,), "/")),
        ("5", ("audio", "9"), ResolvedUser(5, 0, (0, 29, 9), "/")),
        ("2147483647", (), ResolvedUser(2147483647, 0, (0,), "/")),
    ],
)
def test_resolved(root: Root, user: str, added: tuple[str, ...], expected: ResolvedUser) -> None:
    assert users.resolve(root, user, added) == expected


@pytest.mark.parametrize(
    ("user", "added", "message"),
    [
        ("eve", (), "unable to find user eve: no matching entries in passwd file"),
        ("broken", (), "unable to find user broken: no matching entries in passwd file"),
        ("bob:nope", (), "unable to find group nope: no matching entries in group file"),
        ("bob", ("nope",), "Unable to find group nope"),
        ("2147483648", (), "uids and gids must be in range 0-2147483647"),
        ("-1", (), "uids and gids must be in range 0-2147483647"),
        ("big", (), "uids and gids must be in range 0-2147483647"),
        ("0:4294967296", (), "uids and gids must be in range 0-2147483647"),
        ("18446744073709551616", (), "unable to find user 18446744073709551616"),
        ("1_000", (), "unable to find user 1_000"),
        ("٣", (), "unable to find user"),
    ],
)
def test_refused(root: Root, user: str, added: tuple[str, ...], message: str) -> None:
    with pytest.raises(errors.StartFailed) as refused:
        users.resolve(root, user, added)
    assert refused.value.message.startswith(message)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.sampled_from("01+-:_ abobrot\n\0"), max_size=12))
def test_never_another_user_than_was_asked_for(root: Root, user: str) -> None:
    try:
        found = users.resolve(root, user)
    except errors.StartFailed:
        return
    name = user.partition(":")[0]
    names = {"": 0, "root": 0, "bob": 1000}
    assert found.uid == (names[name] if name in names else int(name))


def test_without_files(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_PATH)
    root = Root(fd)
    assert users.resolve(root, "7") == ResolvedUser(7, 0, (0,), "/")
    assert users.home_of(root, 7) == "/"
    with pytest.raises(errors.StartFailed):
        users.resolve(root, "bob")
    os.close(fd)


def test_files_are_found_inside_only(tmp_path: Path, root: Root) -> None:
    """CVE-2024-9676: /etc/passwd as a symlink to a file of the host."""
    (tmp_path / "etc/passwd").unlink()
    (tmp_path / "etc/passwd").symlink_to("../../../../../../../etc/passwd")
    # The kernel gives a path with so many ".." up (EAGAIN) when much is renamed or mounted meanwhile.
    with pytest.raises(
        errors.StartFailed, match=r"^open /etc/passwd: (too many levels|resource temporarily)"
    ):
        users.resolve(root, "root")


def test_huge_files_are_refused(tmp_path: Path, root: Root) -> None:
    with (tmp_path / "etc/passwd").open("ab") as file:
        file.truncate(1 << 32)
    with pytest.raises(errors.StartFailed, match=r"/etc/passwd is larger than"):
        users.resolve(root, "bob")
