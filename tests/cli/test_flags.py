"""The parser of flags: pflag's rules and texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.cli.failure import Failure
from sampan.cli.flags import (
    Command,
    FlagError,
    HelpWanted,
    Options,
    check_arguments,
    filters,
    parse,
    parse_integer,
)

FLAGS = (
    ("all", "a", "bool", "All"),
    ("interactive", "i", "bool", "Input"),
    ("tty", "t", "bool", "Terminal"),
    ("proxy", "", "bool", "Proxy (default true)", True),
    ("name", "", "string", "Name"),
    ("publish", "p", "list", "Ports"),
    ("count", "n", "int", "Count", -1),
    ("weight", "", "uint16", "Weight"),
    ("filter", "f", "filter", "Filter"),
    ("platform", "", "strings", "Platforms"),
    ("upper", "", "string", "Converted"),
)
COMMAND = Command("[OPTIONS]", "Test", lambda *_: 0, flags=FLAGS, convert={"upper": str.upper})
RUN = Command("[OPTIONS] IMAGE", "Test", lambda *_: 0, flags=FLAGS, interspersed=False)


def parsed(*words: str, command: Command = COMMAND) -> tuple[Options, list[str]]:
    return parse(command, list(words))


def test_ways_to_write_a_flag() -> None:
    options, rest = parsed(
        "-it", "-p8080:80", "-p", "1", "--publish=2", "--publish", "3", "x", "-p=4", "--name="
    )
    assert options.flag("interactive") and options.flag("tty") and not options.flag("all")
    assert options.items("publish") == ["8080:80", "1", "2", "3", "4"]
    assert options.text("name") == "" and "name" in options.changed
    assert rest == ["x"]


def test_defaults() -> None:
    options, _ = parsed()
    assert (options.number("count"), options.number("weight"), options.text("name")) == (-1, 0, "")
    assert options.flag("proxy") and not options.flag("all") and options.items("publish") == []
    assert not options.changed


def test_parsing_twice_keeps_lists_apart() -> None:
    parsed("-p", "1")
    assert parsed("-p", "2")[0].items("publish") == ["2"]


def test_booleans() -> None:
    options, _ = parsed("--proxy=false", "-a=true", "-i=0", "--tty=T")
    assert [options.flag(name) for name in ("proxy", "all", "interactive", "tty")] == [
        False,
        True,
        False,
        True,
    ]


def test_the_end_of_flags() -> None:
    assert parsed("--", "-a", "--name")[1] == ["-a", "--name"]
    assert parsed("-a", "-", "x", "-i")[1] == ["-", "x"]
    options, rest = parsed("-a", "image", "-i", "--name", command=RUN)
    assert rest == ["image", "-i", "--name"] and not options.flag("interactive")
    assert parsed("-a", "--", "image", "--", "-i", command=RUN)[1] == ["image", "--", "-i"]


def test_conversions() -> None:
    options, _ = parsed(
        "-f", " Label = a=b ", "--platform", "a,b", "--platform", "c", "--upper", "x", "-n", "0x10"
    )
    assert options.items("filter") == ["label=a=b"]
    assert filters(options) == {"label": {"a=b": True}}
    assert options.items("platform") == ["a", "b", "c"]
    assert (options.text("upper"), options.number("count")) == ("X", 16)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nope"], "unknown flag: --nope"),
        (["--nope=1"], "unknown flag: --nope"),
        (["-az"], "unknown shorthand flag: 'z' in -z"),
        (["-é"], "unknown shorthand flag: 'é' in -é"),
        (["--name"], "flag needs an argument: --name"),
        (["-ap"], "flag needs an argument: 'p' in -p"),
        (["--=x"], "bad flag syntax: --=x"),
        (["---x"], "bad flag syntax: ---x"),
        (["--all=maybe"],
         'invalid argument "maybe" for "-a, --all" flag: strconv.ParseBool: parsing "maybe": invalid syntax'),
        (["-n", "x"],
         'invalid argument "x" for "-n, --count" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        (["-n", str(1 << 63)],
         f'invalid argument "{1 << 63}" for "-n, --count" flag: strconv.ParseInt: parsing "{1 << 63}": '
         "value out of range"),
        (["--weight", "65536"],
         'invalid argument "65536" for "--weight" flag: strconv.ParseUint: parsing "65536": '
         "value out of range"),
        (["--weight", "-1"],
         'invalid argument "-1" for "--weight" flag: strconv.ParseUint: parsing "-1": invalid syntax'),
        (["-f", "x"],
         'invalid argument "x" for "-f, --filter" flag: bad format of filter (expected name=value)'),
        (["-f", 'a"\n'], 'invalid argument "a\\"\\n" for "-f, --filter" flag: '
                         "bad format of filter (expected name=value)"),
    ],
)  # fmt: skip
def test_complaints(words: list[str], message: str) -> None:
    with pytest.raises(FlagError) as error:
        parsed(*words)
    assert str(error.value) == message


def test_help() -> None:
    for words in (["--help"], ["-a", "--help"], ["-h"], ["--help=true"]):
        with pytest.raises(HelpWanted):
            parsed(*words)
    assert parsed("--help=false")[1] == []


@given(
    st.lists(
        st.text(max_size=6) | st.sampled_from(["-a", "-n", "--name", "--", "-p", "=", "--tty"]), max_size=8
    )
)
def test_any_words_parse_or_are_refused(words: list[str]) -> None:
    try:
        _, rest = parsed(*words)
        assert set(rest) <= set(words)
    except (FlagError, HelpWanted):
        pass


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.sampled_from(["d", "#x", "#o", "#b", "+d"]))
def test_integers_in_any_base(number: int, form: str) -> None:
    assert parse_integer(f"{number:{form}}") == number


@pytest.mark.parametrize(
    ("minimum", "maximum", "count", "message"),
    [
        (0, 0, 1, "accepts no arguments"),
        (1, 1, 2, "requires 1 argument"),
        (2, 2, 1, "requires 2 arguments"),
        (1, None, 0, "requires at least 1 argument"),
        (2, None, 1, "requires at least 2 arguments"),
        (0, 1, 2, "requires at most 1 argument"),
        (1, 2, 3, "requires at least 1 and at most 2 arguments"),
    ],
)
def test_numbers_of_arguments(minimum: int, maximum: int | None, count: int, message: str) -> None:
    command = Command("X", "Test", lambda *_: 0, minimum=minimum, maximum=maximum)
    with pytest.raises(Failure) as error:
        check_arguments(command, "verb", count)
    assert error.value.message.startswith(f"sampan: 'sampan verb' {message}\n\nUsage:  sampan verb X\n\n")
    check_arguments(command, "verb", minimum)
