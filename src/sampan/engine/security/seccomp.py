"""From a seccomp profile in Docker's format to `linux.seccomp` of the OCI specification.

Docker's format lets a rule apply only to some architectures, capabilities or kernels (`includes`,
`excludes`) and names the architectures of a host in `archMap`; the OCI form knows neither. Owns this
resolution, the rules of which are those of github.com/moby/profiles/seccomp, and the default profile,
`seccomp-default.json` from the same place.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sampan import errors
from sampan.records import dataclass

Profile = dict[str, Any]

# Machine of uname(2) → (name in `arches`, name in `archMap`).
_MACHINES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
}
_COPIED = ("defaultAction", "defaultErrnoRet", "flags", "listenerPath", "listenerMetadata")
_COPIED_OF_RULE = ("names", "action", "errnoRet", "args")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the conditions of a rule are about: the host and the container's bounding set."""

    machine: str
    kernel: str
    capabilities: frozenset[str]


@functools.lru_cache(maxsize=32)
def default(circumstances: Circumstances) -> Profile:
    """The default profile, resolved. The document is shared: do not change it."""
    data = importlib.resources.files(__package__).joinpath("seccomp-default.json").read_bytes()
    return resolve(json.loads(data), circumstances) or {}


def parse(text: str, circumstances: Circumstances) -> Profile | None:
    """A profile that the client sent along, resolved; None if it filters nothing."""
    try:
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ValueError("not a JSON object")
        return resolve(document, circumstances)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise errors.InvalidArgument(f"decoding seccomp profile failed: {error}") from None


def resolve(document: Mapping[str, Any], circumstances: Circumstances) -> Profile | None:
    """The OCI form of a profile. Raises InvalidArgument for one that contradicts itself."""
    rules: Sequence[Mapping[str, Any]] = document.get("syscalls") or ()
    if not document.get("defaultAction") and not rules:
        return None
    if document.get("architectures") and document.get("archMap"):
        raise errors.InvalidArgument(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, "
            "use either 'architectures' or 'archMap'"
        )
    architecture, native = _MACHINES.get(circumstances.machine, (circumstances.machine, ""))
    profile = {key: document[key] for key in _COPIED if document.get(key) is not None}
    profile["architectures"] = list(document.get("architectures") or ())
    for entry in document.get("archMap") or ():
        if entry["architecture"] == native:
            profile["architectures"] += [native, *(entry.get("subArchitectures") or ())]
    profile["syscalls"] = [_rule(rule) for rule in rules if _applies(rule, architecture, circumstances)]
    return profile


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    if rule.get("name") and rule.get("names"):
        raise errors.InvalidArgument(
            "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'"
        )
    kept = {key: rule[key] for key in _COPIED_OF_RULE if rule.get(key)}
    if rule.get("name"):
        kept["names"] = [rule["name"]]
    return kept


def _applies(rule: Mapping[str, Any], architecture: str, circumstances: Circumstances) -> bool:
    """Every condition of `includes` has to hold, and none of `excludes`."""
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    held = circumstances.capabilities
    if includes.get("arches") and architecture not in includes["arches"]:
        return False
    if not held.issuperset(includes.get("caps") or ()):
        return False
    if includes.get("minKernel") and not _is_at_least(circumstances.kernel, includes["minKernel"]):
        return False
    if architecture in (excludes.get("arches") or ()) or not held.isdisjoint(excludes.get("caps") or ()):
        return False
    return not (excludes.get("minKernel") and _is_at_least(circumstances.kernel, excludes["minKernel"]))


def _is_at_least(kernel: str, wanted: str) -> bool:
    return _version(kernel) >= _version(wanted)


def _version(text: str) -> tuple[int, int]:
    """Major and minor number of a kernel release such as "6.1.0-13-amd64"."""
    major, _, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    if not major.isdecimal() or not digits:
        raise errors.InvalidArgument(f'"{text}" is not a kernel version')
    return int(major), int(digits)
