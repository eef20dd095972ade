"""daemon.json: what it may say, and dockerd's words for what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan import errors
from sampan.daemon import config, configfile, flags
from sampan.daemon.options import Value


def read(path: Path, content: bytes, given: dict[str, Value] | None = None) -> dict[str, Value]:
    path = path / "daemon.json"
    path.write_bytes(content)
    return configfile.read(str(path), given or {}, required=True)


@pytest.mark.parametrize(
    "content",
    [
        b'{"debug": true, "dns": ["1.1.1.1"], "log-opts": {"max-size": "1m"}, "mtu": 1400}',
        b'\xef\xbb\xbf{"debug": true, "dns": ["1.1.1.1"], "log-opts": {"max-size": "1m"}, "mtu": 1400}',
        '{"debug": true, "dns": ["1.1.1.1"], "log-opts": {"max-size": "1m"}, "mtu": 1400}'.encode("utf-16"),
    ],
)
def test_values(tmp_path: Path, content: bytes) -> None:
    expected = {"debug": True, "dns": ["1.1.1.1"], "log-opts": {"max-size": "1m"}, "mtu": 1400}
    assert read(tmp_path, content) == expected


@pytest.mark.parametrize("content", [b"", b" \n", b"{}"])
def test_empty(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path, content) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"foo": 1, "bar": 2}', "the following directives don't match any configuration option: foo, bar"),
        (b'{"DEBUG": true}', "the following directives don't match any configuration option: DEBUG"),
        (b'{"features": {}, "tls": true}', "the following directives are not supported: features, tls"),
        (b'{"debug": "x"}', "json: cannot unmarshal string into Go struct field Config.debug of type bool"),
        (b'{"mtu": true}', "json: cannot unmarshal bool into Go struct field Config.mtu of type int"),
        (b'{"dns": "x"}', "json: cannot unmarshal string into Go struct field Config.dns of type []string"),
        (b'{"dns": [1]}', "json: cannot unmarshal number into Go struct field Config.dns of type string"),
        (
            b'{"log-opts": {"max-size": 10}}',
            "json: cannot unmarshal number into Go struct field Config.log-opts of type string",
        ),
        (b"[]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        (b"{", "unexpected EOF"),
        (b"{x", "invalid character 'x' looking for beginning of object key string"),
        (b'{"dns": ["x"]}', "configuration validation from file failed: x is not an ip address"),
        (b'{"labels": ["x"]}', "configuration validation from file failed: bad attribute format: x"),
    ],
)
def test_refusals(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        read(tmp_path, content)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("content", "given", "conflicts"),
    [
        (b'{"debug": false}', {"debug": True}, "debug: (from flag: true, from file: false)"),
        (b'{"dns": ["1.1.1.1"]}', {"dns": ["8.8.8.8"]}, "dns: (from flag: [8.8.8.8], from file: [1.1.1.1])"),
        (
            b'{"log-opts": {"a": "b"}}',
            {"log-opts": {"c": "d"}},
            "log-opts: (from flag: map[c:d], from file: map[a:b])",
        ),
        (
            b'{"bip": "1.2.3.4/16", "mtu": 1}',
            {"bip": "1.1.1.1/8", "mtu": 2},
            "bip: (from flag: 1.1.1.1/8, from file: 1.2.3.4/16), mtu: (from flag: 2, from file: 1)",
        ),
    ],
)
def test_flag_and_file(tmp_path: Path, content: bytes, given: dict[str, Value], conflicts: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        read(tmp_path, content, given)
    prefix = "the following directives are specified both as a flag and in the configuration file: "
    assert str(caught.value) == prefix + conflicts


def test_a_missing_file(tmp_path: Path) -> None:
    path = str(tmp_path / "none")
    assert configfile.read(path, {}, required=False) == {}
    with pytest.raises(errors.InvalidArgument, match=f"open {path}: no such file or directory"):
        configfile.read(path, {}, required=True)


def test_flags_and_file_make_one_configuration(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text('{"bridge": "b0", "hosts": ["unix:///a", "unix:///a"]}')
    loaded = config.load(flags.parse(["--config-file", str(path), "-D", "--data-root", "/d"]))
    assert loaded.text("bridge") == "b0"
    assert loaded.text("data-root") == "/d"
    assert loaded.text("exec-root") == "/run/sampan"
    assert loaded.log_level == "debug"
    assert [host.path for host in loaded.hosts] == ["/a"]
    path.write_text("{")
    with pytest.raises(
        errors.InvalidArgument, match=f"^unable to configure the Sampan daemon with file {path}: unexp"
    ):
        config.load(flags.parse(["--config-file", str(path)]))
