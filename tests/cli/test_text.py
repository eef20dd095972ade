"""Tables, cut texts, JSON in and out, ports: what the commands make their output of."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.cli.commands.port import natural
from sampan.cli.containers.fields import split_fields
from sampan.cli.formatting import ellipsis, short_id
from sampan.cli.inspecting import indent
from sampan.cli.portlists import displayable_ports
from sampan.cli.tables import align
from sampan.cli.usage import wrap
from sampan.wire.jsontext import decode, decode_stream, encode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A\tB\nlonger than ten\tx", "A                 B\nlonger than ten   x"),
        ("A\tB", "A         B"),
        ("A\t\tC", "A                   C"),
        # A column ends where a line has no cell in it.
        ("wide cell here\tx\nalone\na\tb", "wide cell here   x\nalone\na         b"),
        ("é\tx", "é         x"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_columns(text: str, expected: str) -> None:
    assert align(text) == expected


@given(st.lists(st.lists(st.text("ab é", max_size=20), min_size=3, max_size=3), min_size=1, max_size=6))
def test_columns_line_up(rows: list[list[str]]) -> None:
    lines = align("\n".join("\t".join(row) for row in rows)).split("\n")
    width = max(10, max(len(row[0]) for row in rows) + 3)
    for line, row in zip(lines, rows, strict=True):
        assert line[:width] == row[0].ljust(width)
        assert line[width:].startswith(row[1])
        assert line.endswith(row[2])


def test_cut_texts() -> None:
    assert ellipsis("x" * 20, 20) == "x" * 20
    assert ellipsis("x" * 21, 20) == "x" * 19 + "…"
    assert ellipsis("日本語日本語", 8) == "日本語…"
    assert ellipsis("日本語日", 8) == "日本語日"
    assert short_id("sha256:" + "a" * 64) == "a" * 12
    assert short_id("<missing>") == "<missing>"


@given(JSON)
def test_json_goes_both_ways(value: object) -> None:
    assert json.loads(encode(value).decode(errors="surrogatepass")) == value
    assert decode(json.dumps(value)) == value


@given(JSON)
def test_indentation_is_that_of_go(value: object) -> None:
    """Which is Python's, but for what is empty: that stays on one line in both."""
    compact = json.dumps(value, separators=(",", ":"))
    assert indent(compact) == json.dumps(value, indent=4)


@pytest.mark.parametrize("text", ["", "{", "[1,", "x", "1 2", '"a', "{'a': 1}"])
def test_what_is_not_json(text: str) -> None:
    with pytest.raises(ValueError):
        decode(text)


@given(st.lists(st.dictionaries(st.text(), st.integers(), max_size=3), max_size=5), st.integers(0, 200))
def test_documents_one_behind_the_other(documents: list[dict[str, int]], cut: int) -> None:
    text = "\n".join(map(json.dumps, documents))
    first, rest = decode_stream(text[:cut])
    second, rest = decode_stream(rest + text[cut:])
    assert (first + second, rest) == (documents, "")


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ([(80, 0, "")], "80/tcp"),
        ([(80, 8080, "0.0.0.0")], "0.0.0.0:8080->80/tcp"),
        ([(80, 8080, "::")], "[::]:8080->80/tcp"),
        ([(82, 0, ""), (80, 0, ""), (81, 0, "")], "80-82/tcp"),
        ([(80, 80, "0.0.0.0"), (81, 81, "0.0.0.0"), (85, 85, "0.0.0.0")],
         "0.0.0.0:80-81->80-81/tcp, 0.0.0.0:85->85/tcp"),
        ([(80, 8080, "0.0.0.0"), (80, 8080, "::"), (443, 0, "")],
         "443/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"),
    ],
)  # fmt: skip
def test_displayed_ports(ports: list[tuple[int, int, str]], expected: str) -> None:
    documents = [
        {"PrivatePort": private, "PublicPort": public, "IP": address, "Type": "tcp"}
        for private, public, address in ports
    ]
    assert displayable_ports(documents) == expected


def test_natural_order() -> None:
    assert sorted(["80/tcp", "443/tcp", "9/tcp", "a10", "a9"], key=natural) == [
        "9/tcp",
        "80/tcp",
        "443/tcp",
        "a9",
        "a10",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b,c", ["a=b", "c"]),
        ('"a,b",c', ["a,b", "c"]),
        ('"a""b",', ['a"b', ""]),
        (",", ["", ""]),
        ("a\nb", ["a"]),
    ],
)
def test_fields(text: str, expected: list[str]) -> None:
    assert split_fields(text) == expected


@pytest.mark.parametrize("text", ["", 'a"b', '"a', '"a"b'])
def test_bad_fields(text: str) -> None:
    with pytest.raises(ValueError):
        split_fields(text)


def test_help_is_wrapped() -> None:
    assert wrap(30, 79, "short") == "short"
    text = wrap(30, 79, "one two three four five six seven eight nine ten eleven twelve")
    assert text == "one two three four five six seven eight\n" + " " * 30 + "nine ten eleven twelve"
    assert wrap(70, 79, "one two three four five six seven eight nine ten eleven twelve").startswith(
        "\n" + " " * 16
    )
    assert wrap(10, 79, "a\nb") == "a\n" + " " * 10 + "b"
