"""Go's JSON: numbers, escapes and layout as encoding/json writes them; always JSON that means the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.wire import gojson

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), 1 << 64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.booleans())
def test_means_the_same(value: object, escape_html: bool) -> None:
    # Go writes a float such as 5.1e16 without exponent, so both sides are read as Go reads them: as floats.
    expected = json.loads(json.dumps(value), parse_int=float)
    for text in (
        gojson.encode(value, escape_html=escape_html),
        gojson.indent(value, escape_html=escape_html),
    ):
        assert json.loads(text, parse_int=float) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (-0.0, "-0"),
        (0.1, "0.1"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (-1.25e-9, "-1.25e-9"),
        (123456.789, "123456.789"),
        (5e-324, "5e-324"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert gojson.number(value) == text


def test_escapes() -> None:
    text = 'a<b>&"\\\n\t\b\x01\u2028é\x7f'
    assert gojson.quote(text) == '"a\\u003cb\\u003e\\u0026\\"\\\\\\n\\t\\b\\u0001\\u2028é\x7f"'
    assert gojson.quote(text, escape_html=False) == '"a<b>&\\"\\\\\\n\\t\\b\\u0001\\u2028é\x7f"'
    assert gojson.quote("a\udcff\udcfeb") == '"a\ufffd\ufffdb"'


def test_layout() -> None:
    document = {"b": [1, {"a": None}], "a": {}, "c": [], "d": True}
    assert gojson.encode(document) == '{"b":[1,{"a":null}],"a":{},"c":[],"d":true}'
    assert (
        gojson.indent({"b": [1, {}], "c": []}, step="  ") == '{\n  "b": [\n    1,\n    {}\n  ],\n  "c": []\n}'
    )


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="unsupported value"):
        gojson.encode([float("nan")])
    with pytest.raises(TypeError, match="unsupported type: bytes"):
        gojson.encode(b"x")
