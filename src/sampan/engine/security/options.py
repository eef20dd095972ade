"""`--security-opt`: its values as one frozen object.

Owns their syntax and dockerd's messages. SELinux and AppArmor profiles are refused, except for the values
that ask for none: there is nothing to switch off then.
"""

from __future__ import annotations

from collections.abc import Sequence

from sampan import errors
from sampan.records import dataclass

_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))

UNCONFINED = "unconfined"
BUILTIN = "builtin"


@dataclass(frozen=True, slots=True)
class SecurityOptions:
    """`seccomp` is "", "builtin", "unconfined" or the JSON text of a profile."""

    no_new_privileges: bool = False
    seccomp: str = ""


def parse(options: Sequence[str] | None) -> SecurityOptions:
    """Raises InvalidArgument, and Unsupported for what is not done yet."""
    no_new_privileges, seccomp = False, ""
    for option in options or ():
        name, separator, value = _split(option)
        if option == "no-new-privileges":
            no_new_privileges = True
        elif name == "no-new-privileges" and value in _TRUE | _FALSE:
            no_new_privileges = value in _TRUE
        elif name == "seccomp":
            seccomp = value
        elif name == "apparmor":
            if value != UNCONFINED:
                raise errors.Unsupported(f"AppArmor profiles are not supported yet (--security-opt {option})")
        elif option == "disable" or name == "label":
            if option != "disable" and value != "disable":
                raise errors.Unsupported(f"SELinux labels are not supported yet (--security-opt {option})")
        elif not separator:
            raise errors.InvalidArgument(f'invalid --security-opt 1: "{option}"')
        else:
            raise errors.InvalidArgument(f'invalid --security-opt 2: "{option}"')
    return SecurityOptions(no_new_privileges, seccomp)


def _split(option: str) -> tuple[str, str, str]:
    """Name and value; the colon is Docker's old separator."""
    return option.partition("=") if "=" in option else option.partition(":")
