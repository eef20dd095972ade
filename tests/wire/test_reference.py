"""References: the cases of distribution/reference's and Docker's own tests, written as tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan import errors
from sampan.wire import reference

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("busybox", "docker.io/library/busybox", "busybox"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("library/busybox", "docker.io/library/busybox", "busybox"),
        ("docker.io/busybox", "docker.io/library/busybox", "busybox"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox", "busybox"),
        ("index.docker.io/me/x", "docker.io/me/x", "me/x"),
        ("library/foo/bar", "docker.io/library/foo/bar", "library/foo/bar"),
        ("me/app:v1", "docker.io/me/app:v1", "me/app:v1"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("localhost:5000/app:x", "localhost:5000/app:x", "localhost:5000/app:x"),
        ("registry.example.com/a/b/c", "registry.example.com/a/b/c", "registry.example.com/a/b/c"),
        ("HOST/app", "HOST/app", "HOST/app"),
        ("[2001:db8::1]:5000/app", "[2001:db8::1]:5000/app", "[2001:db8::1]:5000/app"),
        ("a.b_c__d---e", "docker.io/library/a.b_c__d---e", "a.b_c__d---e"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}", f"busybox@{DIGEST}"),
        (f"busybox:t@{DIGEST}", f"docker.io/library/busybox:t@{DIGEST}", f"busybox:t@{DIGEST}"),
        ("x:_Tag-1.2", "docker.io/library/x:_Tag-1.2", "x:_Tag-1.2"),
        ("sha256:abc", "docker.io/library/sha256:abc", "sha256:abc"),
    ],
)
def test_names_are_normalised_and_made_familiar_again(text: str, full: str, familiar: str) -> None:
    parsed = reference.parse(text)
    assert str(parsed) == full
    assert parsed.familiar == familiar
    assert reference.parse(full) == parsed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "invalid reference format"),
        ("Busybox", "invalid reference format: repository name (library/Busybox) must be lowercase"),
        ("me/App:v1", "invalid reference format: repository name (me/App) must be lowercase"),
        ("a b", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("-a", "invalid reference format"),
        ("a-", "invalid reference format"),
        ("a..b", "invalid reference format"),
        ("a___b", "invalid reference format"),
        ("a:", "invalid reference format"),
        ("a:-x", "invalid reference format"),
        ("a:" + "x" * 129, "invalid reference format"),
        ("a@", "invalid reference format"),
        ("a@sha256:abc", "invalid reference format"),
        ("a@sha256:" + "a" * 40, "invalid checksum digest length"),
        ("host:port/app", "invalid reference format"),
        ("/app", "invalid reference format"),
        ("../etc", "invalid reference format"),
        ("a" * 260, "repository name must not be more than 255 characters"),
        (HEX, f"invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings"),
    ],
)
def test_bad_names_are_refused_in_dockers_words(text: str, words: str) -> None:
    with pytest.raises(errors.InvalidArgument) as failure:
        reference.parse(text)
    assert failure.value.message == words


def test_ids_and_names_are_told_apart() -> None:
    assert reference.parse_any(HEX) == DIGEST
    assert reference.parse_any(DIGEST) == DIGEST
    assert str(reference.parse_any("abc")) == "docker.io/library/abc"


def test_a_bare_name_means_latest_and_nothing_else_does() -> None:
    assert reference.parse("x").with_default_tag().familiar == "x:latest"
    assert reference.parse("x:1").with_default_tag().familiar == "x:1"
    assert reference.parse(f"x@{DIGEST}").with_default_tag().familiar == f"x@{DIGEST}"
    with pytest.raises(errors.InvalidArgument, match="invalid tag format"):
        reference.parse("x").with_tag("..")


@given(st.text(alphabet="abAB01._-/:@[] \n\0é", max_size=40))
def test_any_text_is_a_reference_that_reads_back_or_is_refused(text: str) -> None:
    try:
        parsed = reference.parse(text)
    except errors.InvalidArgument:
        return
    assert reference.parse(str(parsed)) == parsed
    assert reference.parse(parsed.familiar) == parsed
