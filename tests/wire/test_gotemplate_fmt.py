"""fmt's verbs. The expected texts are Go's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.wire.gotemplate.gofmt import float_text, sprint, sprintf, sprintln
from sampan.wire.gotemplate.values import Struct, Unsigned


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        ("%d|%5d|%-5d|%05d|%+d|% d", [3, 3, 3, -3, 3, 3], "3|    3|3    |-0003|+3| 3"),
        ("%x %X %#x %o %#o %O %b %c %q %U %#U", [255, 255, 255, 8, 8, 8, 5, 65, 65, 65, 65],
         "ff FF 0xff 10 010 0o10 101 A 'A' U+0041 U+0041 'A'"),
        ("%.3d|%8.3d|%-8.3d|%.0d", [5, 5, 5, 0], "005|     005|005     |"),
        ("%s|%10s|%-10s|%.2s|%q|%x|% X|%#x", ["héy", "a", "a", "abc", 'a"b', "hi", "hi", "hi"],
         'héy|         a|a         |ab|"a\\"b"|6869|68 69|0x6869'),
        ("%e %E %f %F %g %G", [1.5, 1.5, 1.5, 1.5, 1e20, 1e-7],
         "1.500000e+00 1.500000E+00 1.500000 1.500000 1e+20 1E-07"),
        ("%.2f %8.2f|%-8.1f|%+.1f|%06.1f", [2.375, 2.5, 2.5, 2.5, -2.5], "2.38     2.50|2.5     |+2.5|-002.5"),  # noqa: E501
        ("%v %v %v %v", [True, None, [1, "a"], {"b": 1, "a": [2]}], "true <nil> [1 a] map[a:[2] b:1]"),
        ("%t %t", [True, 1], "true %!t(int=1)"),
        ("%d %s %z", ["x", 5, 1], "%!d(string=x) %!s(int=5) %!z(int=1)"),
        ("%d %d", [1], "1 %!d(MISSING)"),
        ("%d", [1, 2, "x"], "1%!(EXTRA int=2, string=x)"),
        ("%[2]d %[1]d", [1, 2], "2 1"),
        ("%[3]d %[x]d", [1, 2], "%!d(BADINDEX) %!d(BADINDEX)"),
        ("%*d|%-*d|%.*f", [4, 7, 4, 7, 2, 1.5], "   7|7   |1.50"),
        ("%*d", ["x", 7], "%!(BADWIDTH)7"),
        ("100%% %", [], "100% %!(NOVERB)"),
        ("%T %T %T %T", [1, "a", [1], None], "int string []interface {} <nil>"),
        ("%v %+v %#v", [Struct("x.Y", {"A": 1, "B": "c"})] * 3, '{1 c} {A:1 B:c} x.Y{A:1, B:"c"}'),
        ("%#v %v", [Unsigned(255), Unsigned(255)], "0xff 255"),
        ("%d %s", [[1, 2], ["a", 1]], "[1 2] [a %!s(int=1)]"),
        ("%5t|%-7v|%6v", [True, False, "é"], " true|false  |     é"),
        ("%+q %#q", ["é", "a"], '"\\u00e9" `a`'),
    ],
)  # fmt: skip
def test_verbs(template: str, values: list[object], expected: str) -> None:
    assert sprintf(template, values) == expected


def test_sprint_puts_blanks_between_operands_that_are_no_strings() -> None:
    assert sprint([1, 2, "a", 3, 4.5, True, "b", "c"]) == "1 2a3 4.5 trueb" + "c"
    assert sprintln([1, "a", None]) == "1 a <nil>\n"


@given(st.text(), st.lists(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), max_size=4))
def test_any_format_gives_a_text(template: str, values: list[object]) -> None:
    assert isinstance(sprintf(template, values), str)


@given(st.integers(), st.integers(0, 30), st.sampled_from(["", "-", "0", "+", " "]))
def test_integers_are_padded_as_by_printf(number: int, width: int, flag: str) -> None:
    """C's rules, which Python's % operator has too."""
    directive = f"%{flag}{width or ''}d"
    assert sprintf(directive, [number]) == directive % number


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 12), st.sampled_from("eEfgG"))
def test_floats_with_a_precision_are_those_of_c(number: float, precision: int, verb: str) -> None:
    assert float_text(number, verb, precision) == f"%.{precision}{verb}" % number
