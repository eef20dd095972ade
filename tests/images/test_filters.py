"""Filters of lists and prunes, and Go's path.Match."""

from __future__ import annotations

import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan import errors
from sampan.images.filters import ListFilter, PruneFilter, familiar_match, path_match
from sampan.images.image import Image
from sampan.wire import gotime


def image(created: str = "2024-01-02T00:00:00Z", labels: dict[str, str] | None = None) -> Image:
    return Image("sha256:" + "a" * 64, {"created": created, "config": {"Labels": labels}}, ())


def listed(filters: dict[str, list[str]], one: Image) -> bool:
    return ListFilter.parse(filters, lambda name: image(name)).matches(one)


def test_before_since_and_until() -> None:
    one = image("2024-01-02T00:00:00Z")
    assert listed({"before": ["2024-01-03T00:00:00Z"]}, one)
    assert not listed({"before": ["2024-01-02T00:00:00Z"]}, one)
    assert listed({"since": ["2024-01-01T00:00:00Z"]}, one)
    assert not listed({"since": ["2024-01-02T00:00:00Z"]}, one)
    assert listed({"until": ["24h"]}, one)
    assert not listed({"until": ["24h"]}, image(gotime.format_rfc3339(time.time_ns())))


def test_labels() -> None:
    one = image(labels={"a": "1", "b": ""})
    assert listed({"label": ["a"]}, one)
    assert listed({"label": ["a=1", "b="]}, one)
    assert not listed({"label": ["a=2"]}, one)
    assert not listed({"label": ["c"]}, one)
    assert not listed({"label": ["a"]}, image())


def test_dangling_and_references() -> None:
    def wants(filters: dict[str, list[str]], names: list[str]) -> bool:
        return ListFilter.parse(filters, lambda name: image()).wants_names(names)

    name = "docker.io/library/x:1"
    assert wants({}, [])
    assert wants({}, [name])
    assert wants({"dangling": ["true"]}, [])
    assert not wants({"dangling": ["true"]}, [name])
    assert not wants({"dangling": ["0"]}, [])
    assert wants({"dangling": ["0"]}, [name])
    assert not wants({"reference": ["x"]}, [])
    assert wants({"reference": ["x"]}, [name])
    assert not wants({"reference": ["y", "z*"]}, [name])


def test_only_the_names_that_were_asked_for_are_shown() -> None:
    chosen = ListFilter.parse({"reference": ["x:*"]}, lambda name: image())
    assert chosen.shown_names(["docker.io/library/x:1", "docker.io/library/y:1"]) == ["docker.io/library/x:1"]


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"nonsense": ["1"]}, "invalid filter 'nonsense'"),
        ({"label!": ["1"]}, "invalid filter 'label!'"),
        ({"dangling": ["2"]}, "invalid filter 'dangling=[2]'"),
        ({"dangling": ["true", "false"]}, "invalid filter 'dangling=[true false]'"),
        ({"until": ["soon"]}, 'failed to parse value as time or duration: "soon"'),
    ],
)
def test_wrong_filters_are_refused(filters: dict[str, list[str]], words: str) -> None:
    with pytest.raises(errors.InvalidArgument) as failure:
        ListFilter.parse(filters, lambda name: image())
    assert failure.value.message == words


def test_prune_filters() -> None:
    assert PruneFilter.parse({}).dangling_only
    assert not PruneFilter.parse({"dangling": ["false"]}).dangling_only
    assert PruneFilter.parse({"label": ["a"]}).matches(image(labels={"a": "1"}))
    assert not PruneFilter.parse({"label!": ["a"]}).matches(image(labels={"a": "1"}))
    assert PruneFilter.parse({"label!": ["a=2"]}).matches(image(labels={"a": "1"}))
    assert PruneFilter.parse({"until": ["1h"]}).matches(image())
    with pytest.raises(errors.InvalidArgument, match="more than one until filter specified"):
        PruneFilter.parse({"until": ["1h", "2h"]})


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("abc", "abc", True),
        ("*", "abc", True),
        ("*c", "abc", True),
        ("a*", "ab/c", False),
        ("a*/b", "abc/b", True),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", True),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", False),
        ("ab[c]", "abc", True),
        ("ab[b-d]", "abc", True),
        ("ab[^b-d]", "abc", False),
        ("ab[^e-g]", "abc", True),
        ("a\\*b", "a*b", True),
        ("a?b", "a/b", False),
        ("[\\]a]", "]", True),
        ("[x\\-]", "-", True),
        ("", "", True),
        ("", "a", False),
        ("a[", "b", None),
        ("[]a]", "]", None),
        ("[-]", "-", None),
        ("[a-b-c]", "a", None),
        ("[", "a", None),
        ("\\", "a", None),
    ],
)
def test_path_match_is_gos(pattern: str, name: str, matches: bool | None) -> None:
    if matches is None:
        with pytest.raises(errors.InvalidArgument, match="syntax error in pattern"):
            path_match(pattern, name)
    else:
        assert path_match(pattern, name) is matches


@given(st.text("ab*?", max_size=12), st.text("ab", max_size=12))
def test_path_match_agrees_with_fnmatch_where_both_speak(pattern: str, name: str) -> None:
    assert path_match(pattern, name) == fnmatch.fnmatchcase(name, pattern)


def test_a_pattern_meets_the_name_with_and_without_its_tag() -> None:
    for pattern in ("busybox", "busybox:1", "busy*:1", "busy*"):
        assert familiar_match(pattern, "docker.io/library/busybox:1")
    assert not familiar_match("busybox:2", "docker.io/library/busybox:1")
    assert not familiar_match("*", "example.com/busybox:1")
    assert familiar_match("example.com/*", "example.com/busybox:1")
