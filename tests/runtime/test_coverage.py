"""The table of fields against the specification's schema, and the parser against both."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan import errors
from sampan.linux import seccomp
from sampan.runtime import seccomp_cache, spec
from sampan.runtime.spec import coverage
from tests.runtime.full import full_config
from tests.runtime.jsonschema import Schemas

SCHEMAS = Schemas()
TOP = SCHEMAS.top("config-schema.json")
OTHER_PLATFORMS = ("windows", "solaris", "zos", "freebsd", "vm")


def parse(document: Any) -> None:
    """All that looks at a config.json before anything is done: a seccomp profile is checked when compiled."""
    loaded = spec.parse(document)
    if loaded.linux.seccomp is not None:
        seccomp.parse_profile(loaded.linux.seccomp)
        seccomp_cache.filter_flags(loaded.linux.seccomp)


def test_every_field_of_the_schema_is_in_the_table_and_no_other() -> None:
    wanted = set(SCHEMAS.paths(*TOP))
    listed = [field.path for field in coverage.FIELDS]
    assert sorted(listed) == sorted(wanted)


class Watched(dict[str, Any]):
    """An object of config.json that remembers which of its fields were asked for."""

    def __init__(self, content: dict[str, Any], path: str, read: set[str]) -> None:
        super().__init__()
        self._path, self._read = path, read
        for key, value in content.items():
            self[key] = _watched(value, self._name(key), read)

    def _name(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def get(self, key: str, default: Any = None) -> Any:
        self._read.add(self._name(key))
        return super().get(key, default)

    def __iter__(self) -> Any:
        for key in super().__iter__():
            self._read.add(self._name(key))
            yield key

    def items(self) -> Any:
        return [(key, self.get(key)) for key in self]


def _watched(value: Any, path: str, read: set[str]) -> Any:
    if isinstance(value, dict):
        return Watched(value, path, read)
    if isinstance(value, list):
        return [_watched(entry, f"{path}[]", read) for entry in value]
    return value


def test_the_parser_reads_every_field_of_the_table() -> None:
    read: set[str] = set()
    parse(Watched(full_config(), "", read))
    wanted = [field.path for field in coverage.FIELDS if "*" not in field.path]
    assert [path for path in wanted if path not in read] == []
    for path in (field.path for field in coverage.FIELDS if "*" in field.path):
        pattern = re.compile(re.escape(path).replace(r"\*", "[^[]+"))
        assert any(pattern.fullmatch(one) for one in read), path


def test_the_full_document_satisfies_both() -> None:
    document = full_config()
    parse(document)
    assert SCHEMAS.accepts(document, *TOP)


# What the schema refuses and we take, with the reason.
TAKEN = {
    "linux.rootfsPropagation": "the recursive ones, as runc does: Docker asks for them",
    "linux.devices[].fileMode": "a whole st_mode, as Docker writes it: the permissions are taken from it",
    "linux.resources.memory.swappiness": "-1, which Docker wrote for years, is no wish",
    "linux.seccomp.architectures[]": "SCMP_ARCH_NATIVE, which libseccomp knows",
}


def _places(document: Any, path: str = "", keys: tuple[Any, ...] = ()) -> list[tuple[str, tuple[Any, ...]]]:
    found = [(path, keys)]
    if isinstance(document, dict):
        for key, value in document.items():
            found += _places(value, f"{path}.{key}" if path else key, (*keys, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            found += _places(value, f"{path}[]", (*keys, index))
    return found


PLACES = [place for place in _places(full_config()) if place[1]]
VALUES = [
    *(0, -1, 2**31, 2**32, 2**63, 2**64, -(2**63) - 1, True, 1.5),
    *("", "x", "0", "-1", "SCMP_ACT_X", "a\nb", "rslave"),
    *([], {}, [0], [{}], ["x"], {"x": 1}, {"x": {}}),
]


def _changed(keys: tuple[Any, ...], value: Any) -> dict[str, Any]:
    document = full_config()
    place: Any = document
    for key in keys[:-1]:
        place = place[key]
    if value is ...:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    return document


def _check(path: str, document: dict[str, Any]) -> None:
    if SCHEMAS.accepts(document, *TOP) or path in TAKEN:
        return
    with pytest.raises(errors.InvalidArgument):
        parse(document)


@pytest.mark.parametrize(("path", "keys"), PLACES)
def test_what_the_schema_refuses_is_refused(path: str, keys: tuple[Any, ...]) -> None:
    """Each field of a full document in turn: missing, and with every kind of wrong value."""
    for value in (..., *VALUES):
        _check(path, _changed(keys, value))


@given(st.sampled_from(PLACES), st.integers() | st.text(max_size=6) | st.lists(st.text(max_size=3)))
def test_random_values_that_the_schema_refuses(place: tuple[str, tuple[Any, ...]], value: Any) -> None:
    path, keys = place
    _check(path, _changed(keys, value))


@pytest.mark.parametrize("path", sorted(TAKEN))
def test_exceptions_have_their_reason(path: str) -> None:
    taken = {
        "linux.rootfsPropagation": "rprivate",
        "linux.devices[].fileMode": 0o100666,
        "linux.resources.memory.swappiness": -1,
        "linux.seccomp.architectures[]": "SCMP_ARCH_NATIVE",
    }[path]
    document = _changed(dict(PLACES)[path], taken)
    assert not SCHEMAS.accepts(document, *TOP)
    parse(document)


def test_what_features_tells_is_what_the_parser_takes() -> None:
    for word in coverage.MOUNT_OPTIONS:
        assert spec.parse_options((word,)).data == (), word
    for action in coverage.SECCOMP_ACTIONS:
        rules = [{"names": ["mkdir"], "action": action}]
        seccomp.parse_profile({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x", "syscalls": rules})
    definitions = SCHEMAS.top("defs-linux.json")[0]["definitions"]
    for listed, name in (
        (coverage.SECCOMP_ACTIONS, "SeccompAction"),
        (coverage.SECCOMP_ARCHITECTURES, "SeccompArch"),
        (coverage.SECCOMP_FLAGS, "SeccompFlag"),
        (coverage.SECCOMP_OPERATORS, "SeccompOperators"),
        (coverage.NAMESPACES, "NamespaceType"),
        (coverage.MEMORY_POLICY_MODES, "MemoryPolicyMode"),
        (coverage.MEMORY_POLICY_FLAGS, "MemoryPolicyFlag"),
    ):
        assert sorted(listed) == sorted(definitions[name]["enum"]), name
    hooks = SCHEMAS.top("config-schema.json")[0]["properties"]["hooks"]["properties"]
    assert sorted(coverage.HOOKS) == sorted(hooks)
    assert set(OTHER_PLATFORMS) <= {
        field.path for field in coverage.FIELDS if field.status == coverage.REFUSED
    }
