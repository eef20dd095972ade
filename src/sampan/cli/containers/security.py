"""The `--security-opt`, `--cap-add` and `--cap-drop` flags."""

from __future__ import annotations

from sampan.cli.failure import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

BUILTIN_PROFILES = frozenset(["builtin", "unconfined"])


def security_options(values: Iterable[str]) -> tuple[list[str], bool]:
    """The options for the engine, with a seccomp file replaced by its content, and whether system paths are
    open.

    Raises ValueError in Docker's words.
    """
    found = []
    open_paths = False
    for option in values:
        name, separator, value = option.partition("=")
        if not separator and name != "no-new-privileges":
            name, separator, value = option.partition(":")
        if (not separator or not value) and name != "no-new-privileges":
            raise ValueError(f'Invalid --security-opt: "{option}"')
        if name == "seccomp" and value not in BUILTIN_PROFILES:
            option = "seccomp=" + _profile(value)
        if option == "systempaths=unconfined":
            open_paths = True
        else:
            found.append(option)
    return found, open_paths


def _profile(path: str) -> str:
    from sampan.wire.jsontext import decode, encode

    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise ValueError(f"opening seccomp profile ({path}) failed: open {path}: {reason(error)}") from None
    try:
        return encode(decode(data)).decode()
    except ValueError as error:
        raise ValueError(f"compacting json for seccomp profile ({path}) failed: {error}") from None


def capability_names(values: Iterable[str]) -> list[str] | None:
    """Full names, sorted, each once: `net_admin` is CAP_NET_ADMIN. What they mean together is the engine's
    matter.
    """
    names = {value.strip().upper() for value in values}
    return (
        sorted({name if name == "ALL" or name.startswith("CAP_") else "CAP_" + name for name in names})
        or None
    )
