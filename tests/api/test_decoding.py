"""Queries and JSON bodies: Docker's values, and Go's words for what is wrong."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan import errors
from sampan.api import decoding, gosyntax
from sampan.api.query import Query, unquote


def query(text: str) -> Query:
    parsed = Query(text)
    parsed.parse()
    return parsed


@given(st.text(max_size=30))
def test_unquote_reverses_quoting(text: str) -> None:
    quoted = "".join(f"%{byte:02X}" for byte in text.encode())
    assert unquote(quoted) == text
    assert query(f"a={quoted}").text("a") == text


@pytest.mark.parametrize("text", ["%", "%4", "%zz", "a%2", "%-1", "%+1", "% 1", "%\u06611"])
def test_broken_escapes(text: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="invalid URL escape"):
        unquote(text)


def test_query_values() -> None:
    values = query("a=1&b=0&c=&d=False&e=x+y&a=2&f=none&g&=h")
    assert [values.flag(name) for name in "abcdefg"] == [True, False, False, False, True, False, False]
    assert values.texts("a") == ("1", "2")
    assert values.text("e") == "x y"
    assert values.integer("a") == 1 and values.integer("z", 7) == 7 and values.optional_integer("c") is None
    assert values.flag("z", True)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("x", 'strconv.Atoi: parsing "x": invalid syntax'),
        ("1.5", 'strconv.Atoi: parsing "1.5": invalid syntax'),
        ("99999999999999999999", 'strconv.Atoi: parsing "99999999999999999999": value out of range'),
    ],
)
def test_bad_numbers(value: str, message: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        query(f"n={value}").integer("n")
    assert str(caught.value) == message


def test_filters_in_both_forms() -> None:
    assert decoding.filters('{"label":{"a=b":true,"c":true},"status":["up"],"id":null}') == {
        "label": ["a=b", "c"],
        "status": ["up"],
        "id": [],
    }


@pytest.mark.parametrize("text", ["xx", "[1]", '{"a":1}', '{"a":[1]}', '"a"', '{"a":["\ud800"]}'])
def test_bad_filters(text: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="invalid filter"):
        decoding.filters(text)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        # Every one of these was asked of Go's encoding/json.
        (b"", "EOF"),
        (b" \n", "EOF"),
        (b"hello", "invalid character 'h' looking for beginning of value"),
        (b'{"a":', "unexpected EOF"),
        (b'{"a"', "unexpected EOF"),
        (b"{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"[1,]", "invalid character ']' looking for beginning of value"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b'"a\nb"', "invalid character '\\n' in string literal"),
        (b'"\\x"', "invalid character 'x' in string escape code"),
        (b'"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape"),
        (b"trux", "invalid character 'x' in literal true (expecting 'e')"),
        (b"-a", "invalid character 'a' in numeric literal"),
        (b"[1.]", "invalid character ']' after decimal point in numeric literal"),
        (b"[1e]", "invalid character ']' in exponent of numeric literal"),
        (b"{} x", gosyntax.TRAILING),
        (b"[01]", "invalid character '1' after array element"),
    ],
)
def test_syntax_errors_in_go_words(document: bytes, message: str) -> None:
    assert gosyntax.explain(document) == message


@given(
    st.binary(max_size=40) | st.text(alphabet='{}[]",:\\ut0123eE-.ruefalsn \n', max_size=40).map(str.encode)
)
def test_whatever_is_refused_has_an_explanation(document: bytes) -> None:
    assert gosyntax.explain(document)
    try:
        json.loads(document)
    except ValueError:
        with pytest.raises(errors.InvalidArgument):
            decoding.decode(document, dict)


class Inner(msgspec.Struct):
    size: int = msgspec.field(name="Size", default=0)


class Outer(msgspec.Struct):
    image: str = msgspec.field(name="Image", default="")
    command: list[str] | None = msgspec.field(name="Cmd", default=None)
    inner: Inner | None = msgspec.field(name="Inner", default=None)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b'{"Image":5}', "cannot unmarshal number into Go struct field Outer.Image of type string"),
        (b'{"Cmd":"x"}', "cannot unmarshal string into Go struct field Outer.Cmd of type []string"),
        (b'{"Cmd":[1]}', "cannot unmarshal number into Go struct field Outer.Cmd of type string"),
        (
            b'{"Inner":{"Size":"x"}}',
            "cannot unmarshal string into Go struct field Outer.Inner.Size of type int64",
        ),
        (b"[]", "cannot unmarshal array into Go value of type Outer"),
    ],
)
def test_mismatches_in_go_words(document: bytes, message: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        decoding.decode(document, Outer)
    assert str(caught.value) == f"invalid JSON: json: {message}"


def test_null_is_the_zero_value() -> None:
    assert decoding.decode(b" null\n", Outer) == Outer()


def test_a_second_value_is_refused() -> None:
    with pytest.raises(errors.InvalidArgument, match="unexpected content after JSON"):
        decoding.decode(b"{} {}", Outer)
