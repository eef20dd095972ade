"""The command line: pflag's forms and pflag's words."""

from __future__ import annotations

import pytest

from sampan.daemon import flags
from sampan.daemon.options import TABLE, UNSUPPORTED, Value


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ([], {}),
        (["--debug"], {"debug": True}),
        (["--debug=false"], {"debug": False}),
        (["-D", "-l", "warn"], {"debug": True, "log-level": "warn"}),
        (["-Dldebug"], {"debug": True, "log-level": "debug"}),
        (["-l=error"], {"log-level": "error"}),
        (["-H", "unix:///a", "--host=unix:///b"], {"hosts": ["unix:///a", "unix:///b"]}),
        (
            ["--log-opt", "max-size=1m", "--log-opt", "max-file=2"],
            {"log-opts": {"max-size": "1m", "max-file": "2"}},
        ),
        (["--mtu", "1400", "--data-root", "/x", "--"], {"mtu": 1400, "data-root": "/x"}),
        (["--dns", "1.1.1.1", "--dns-opt", "ndots:1"], {"dns": ["1.1.1.1"], "dns-opts": ["ndots:1"]}),
    ],
)
def test_forms(arguments: list[str], given: dict[str, Value]) -> None:
    assert flags.parse(arguments).configuration() == given


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--foo"], "unknown flag: --foo"),
        (["--bip"], "flag needs an argument: --bip"),
        (["-p"], "flag needs an argument: 'p' in -p"),
        (["-xyz"], "unknown shorthand flag: 'x' in -xyz"),
        (["extra"], '"sampan daemon" accepts no arguments.'),
        (["--", "extra"], '"sampan daemon" accepts no arguments.'),
        (["--userns-remap", "x"], "flag is not supported: --userns-remap"),
        (
            ["--debug=x"],
            'invalid argument "x" for "-D, --debug" flag: strconv.ParseBool: parsing "x": invalid syntax',
        ),
        (
            ["--mtu=abc"],
            'invalid argument "abc" for "--mtu" flag: strconv.ParseInt: parsing "abc": invalid syntax',
        ),
        (["--dns", "x"], 'invalid argument "x" for "--dns" flag: x is not an ip address'),
        (["--label", "x"], 'invalid argument "x" for "--label" flag: bad attribute format: x'),
        (
            ["-H", "foo://x"],
            'invalid argument "foo://x" for "-H, --host" flag: Invalid bind address format: foo://x',
        ),
    ],
)
def test_refusals(arguments: list[str], message: str) -> None:
    with pytest.raises(flags.UsageError) as caught:
        flags.parse(arguments)
    assert str(caught.value) == message


def test_switches_are_no_configuration() -> None:
    given = flags.parse(["--validate", "--config-file", "/x"])
    assert given.wants("validate") and not given.wants("version")
    assert given.config_file == "/x"
    assert given.configuration() == {}


def test_usage_names_every_option() -> None:
    text = flags.usage()
    assert all(f"--{option.name} " in text for option in TABLE)
    assert not {option.name for option in TABLE} & UNSUPPORTED
