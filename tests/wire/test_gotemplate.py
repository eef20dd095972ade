"""Go templates: recorded results of the docker CLI, rules that it does not show, and random input."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.wire.gotemplate import TemplateError, execute, parse
from sampan.wire.gotemplate.docker import FUNCTIONS, HEADER_FUNCTIONS
from sampan.wire.gotemplate.lexer import quote
from sampan.wire.gotemplate.literals import LiteralError, parse_number, unquote
from sampan.wire.gotemplate.values import (
    Duration,
    Function,
    Map,
    Methods,
    NilPointer,
    Number,
    Slice,
    StringSlice,
    Struct,
    Time,
)


class Container(Methods):
    """What the recorded templates were run over."""

    go_type = "*formatter.ContainerContext"
    go_methods = {
        "ID": lambda self: "912e2beeb91a",
        "Names": lambda self: "ft",
        "Label": lambda self, name: "",
    }
    go_parameters = {"Label": ("string",)}


def run(text: str, data: object = None, missing_key_fails: bool = False) -> str:
    return execute(parse(text, FUNCTIONS), data, FUNCTIONS, missing_key_fails)


def recorded() -> list[tuple[str, str]]:
    lines = (Path(__file__).parent / "gotemplate_cases.txt").read_text().split("\n")
    texts = [line[2:].replace("␤", "\n") for line in lines if line.startswith(("> ", "< "))]
    return list(zip(texts[::2], texts[1::2], strict=True))


@pytest.mark.parametrize(("template", "expected"), recorded())
def test_as_docker(template: str, expected: str) -> None:
    if expected.startswith("! "):
        with pytest.raises(TemplateError) as error:
            run(template, Container())
        assert str(error.value) == expected[2:]
    else:
        assert run(template, Container()) == expected


STATE = Struct(
    "container.State", {"Status": "running", "Pid": 7}, (("Status", False), ("Pid", False)), pointer=True
)
LABELS = Map({"b": "2", "a": "<1>"})
LABELS.go_type = "map[string]string"
LABELS.missing = ""
NIL_MAP = Map()
NIL_MAP.is_nil = True
NIL_SLICE = StringSlice()
NIL_SLICE.is_nil = True
DATA = Struct(
    "container.InspectResponse",
    {
        "State": STATE,
        "Health": NilPointer("container.Health", ["Status"]),
        "Labels": LABELS,
        "Nothing": NIL_MAP,
        "Cmd": NIL_SLICE,
        "Env": StringSlice(["A=1", "B=2"]),
        "Interval": Duration(90_000_000_000),
        "Created": Time(1_700_000_000_120_000_000),
        "Raw": {"n": Number("5"), "none": None, "list": [1, "x"]},
    },
    pointer=True,
)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{.State}} {{.State.Status}}", "{running 7} running"),
        ('{{printf "%+v %#v" .State .Env}}', '{Status:running Pid:7} []string{"A=1", "B=2"}'),
        ("{{.Health}} {{if .Health}}a{{else}}b{{end}}", "<nil> b"),
        ("{{.Labels}} {{.Labels.a}} {{.Labels.c}}", "map[a:<1> b:2] <1> <no value>"),
        ('{{index .Labels "c"}}|{{len .Labels}}', "|2"),
        ("{{.Nothing}}{{.Cmd}} {{json .Nothing}} {{json .Cmd}}", "map[][] null null"),
        ('{{join .Env ","}} {{json .Env}} {{json .Labels}}', 'A=1,B=2 ["A=1","B=2"] {"a":"<1>","b":"2"}'),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a=<1>;b=2;"),
        ("{{.Interval}} {{json .Interval}}", "1m30s 90000000000"),
        ("{{.Created}}", "2023-11-14 22:13:20.12 +0000 UTC"),
        ("{{json .Created}} {{.Created.Unix}}", '"2023-11-14T22:13:20.12Z" 1700000000'),
        ("{{json .State}} {{json .Health}}", '{"Status":"running","Pid":7} null'),
        ("{{.Raw.n}} {{json .Raw}}", '5 {"list":[1,"x"],"n":5,"none":null}'),
        ("{{.Raw.none}} {{.Raw.gone}}", "<no value> <no value>"),
        ("{{with .State}}{{.Pid}}{{$.State.Pid}}{{end}}", "77"),
        ('{{printf "%T %T %T %T" .State .Env .Interval .Raw}}',
         "*container.State []string time.Duration map[string]interface {}"),
        ("{{eq .State.Pid 7}}{{eq .State.Status `running` `x`}}{{lt .State.Pid 8}}", "truetruetrue"),
        ("{{- range .Env -}} [{{.}}] {{- end -}}", "[A=1][B=2]"),
        ("{{define `t`}}{{.}};{{end}}{{range .Env}}{{template `t` .}}{{end}}", "A=1;B=2;"),
    ],
)  # fmt: skip
def test_typed_values(template: str, expected: str) -> None:
    assert run(template, DATA) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{.Health.Status}}", "nil pointer evaluating *container.Health.Status"),
        ("{{.State.Nope}}", "can't evaluate field Nope in type *container.State"),
        ("{{.State.Pid 1}}", "Pid has arguments but cannot be invoked as function"),
        ("{{.Raw.none.x}}", "nil pointer evaluating interface {}.x"),
        ("{{.Raw.n.x}}", "can't evaluate field x in type interface {}"),
        ("{{lower .Interval}}", "wrong type for value; expected string; got time.Duration"),
        ("{{eq .Raw 1}}", "error calling eq: incompatible types for comparison"),
        ("{{index .Labels 1}}", "error calling index: value has type int; should be string"),
    ],
)
def test_typed_errors(template: str, expected: str) -> None:
    with pytest.raises(TemplateError) as error:
        run(template, DATA)
    assert str(error.value).endswith(f": {expected}")


def test_a_missing_key_fails_when_asked() -> None:
    with pytest.raises(TemplateError, match='map has no entry for key "a"'):
        run("{{.a}}", {}, missing_key_fails=True)
    with pytest.raises(TemplateError, match='nil data; no entry for key "a"'):
        run("{{$x := .x}}{{$x.a}}", {"x": None}, missing_key_fails=True)


def test_an_error_keeps_what_was_written() -> None:
    with pytest.raises(TemplateError) as error:
        run("{{.a}} {{.b.c}}", {"a": 1, "b": 2})
    assert error.value.output == "1 "


def test_endless_recursion_ends() -> None:
    with pytest.raises(TemplateError, match="exceeded maximum template depth"):
        run('{{define "x"}}{{template "x"}}{{end}}{{template "x"}}')


def test_headers_keep_functions_from_touching_the_text() -> None:
    template = parse("{{.Names | upper}} {{truncate .ID 3}}", HEADER_FUNCTIONS)
    assert execute(template, Container(), HEADER_FUNCTIONS) == "ft 912e2beeb91a"


def test_functions_are_values_that_do_not_print() -> None:
    data = {"f": Function(lambda: "called")}
    assert run("{{call .f}}", data) == "called"
    with pytest.raises(TemplateError, match="can't print"):
        run("{{.f}}", data)


PIECES = st.sampled_from(
    [
        "{{",
        "}}",
        "{{-",
        "-}}",
        " ",
        ".",
        ".A",
        "$x",
        ":=",
        "=",
        "|",
        "(",
        ")",
        "if",
        "else",
        "end",
        "range",
        "with",
    ]
    + [
        "define",
        "template",
        "block",
        "break",
        '"s"',
        "`r`",
        "'c'",
        "1",
        "-2.5e3",
        "0x1",
        "nil",
        "true",
        "printf",
    ]
    + ['"%d %v"', "len", "index", "and", ",", "/*", "*/", "\n", "é", "\\", '"']
)


@given(st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=30))
def test_any_text_parses_or_is_refused(text: str) -> None:
    """Nothing but the answer or a TemplateError, whatever the text."""
    for data in (DATA, {"A": [1, 2, {"A": "x"}]}):
        try:
            run("{{$x := 1}}" + text, data)
        except TemplateError as error:
            assert str(error).startswith("template: ")


@given(st.text())
def test_quoting_is_read_back(text: str) -> None:
    assert unquote(quote(text)) == text


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_integers(number: int) -> None:
    assert parse_number(str(number)) == number
    assert parse_number(f"{number:#x}") == number
    assert run(f"{{{{{number}}}}}") == str(number)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_print_so_that_they_read_back(number: float) -> None:
    assert float(run("{{.}}", number)) == number


@pytest.mark.parametrize("text", ["0x", "1_", "_1", "1e", "0b2", "1__0x", "''", "'\\'", "1.5.5"])
def test_bad_numbers(text: str) -> None:
    with pytest.raises(LiteralError):
        parse_number(text)


def test_slices_of_values_have_their_type() -> None:
    ports = Slice([Struct("nat.PortBinding", {"HostIP": "0.0.0.0", "HostPort": "80"})])
    assert (
        run("{{.}} {{range .}}{{.HostPort}}{{end}} {{(index . 0).HostIP}}", ports)
        == "[{0.0.0.0 80}] 80 0.0.0.0"
    )
