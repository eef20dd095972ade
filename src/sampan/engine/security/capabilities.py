"""Which capabilities a container has, from `--cap-add`, `--cap-drop` and `--privileged`.

Owns Docker's default set and its rules for adding and dropping (moby's daemon/pkg/oci/caps). Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from sampan import errors
from sampan.linux.capabilities import CAPABILITIES, capget

DEFAULT = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)

_ALL = "ALL"
_KNOWN = frozenset(CAPABILITIES)


def normalise(names: Sequence[str] | None, field: str) -> list[str] | None:
    """Names with or without CAP_, in any case, as dockerd keeps them. Raises InvalidArgument."""
    if names is None:
        return None
    found = []
    for name in names:
        upper = name.upper()
        if upper != _ALL and not upper.startswith("CAP_"):
            upper = f"CAP_{upper}"
        if upper not in _KNOWN and upper != _ALL:
            raise errors.InvalidArgument(f'invalid {field}: unknown capability: "{upper}"')
        found.append(upper)
    return found


def available() -> tuple[str, ...]:
    """All capabilities that this process has, and so can give."""
    _, permitted, _ = capget()
    return tuple(name for number, name in enumerate(CAPABILITIES) if permitted >> number & 1)


def resolve(
    added: Sequence[str] | None, dropped: Sequence[str] | None, *, privileged: bool, every: Sequence[str]
) -> tuple[str, ...]:
    """The set of a container. `every` is what ALL stands for; the names are normalised."""
    adds, drops = added or (), dropped or ()
    if privileged:
        chosen = every
    elif _ALL in adds:
        chosen = [name for name in every if name not in drops]
    elif _ALL in drops:
        chosen = adds
    else:
        chosen = [*(name for name in DEFAULT if name not in drops), *adds]
    return tuple(dict.fromkeys(chosen))
