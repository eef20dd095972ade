"""daemon.json: read, checked key by key, and compared with the flags, with dockerd's rules and words.

Owns the file's form alone. A key that nobody knows, one that Sampan does not have yet, a value of another
type, and a key that a flag sets too are all refused: a daemon must not start with half of what was meant.
"""

from __future__ import annotations

import codecs
import os

import msgspec

from sampan import errors
from sampan.api import gosyntax
from sampan.daemon.options import BOOL, BY_KEY, INT, LIST, MAP, STRING, UNSUPPORTED, Option, Value

_GO_KINDS = (
    (bool, "bool"),
    (int, "number"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (dict, "object"),
)
_PYTHON_TYPES: dict[str, type] = {BOOL: bool, INT: int, LIST: list, MAP: dict, STRING: str}


def read(path: str, flags: dict[str, Value], *, required: bool) -> dict[str, Value]:
    """The values in the file at `path`, by key. A missing file is an empty one unless it is `required`.

    Raises InvalidArgument; dockerd's prefix ("unable to configure the … daemon with file") is the caller's.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not required:
            return {}
        reason = os.strerror(error.errno or 0).lower()
        raise errors.InvalidArgument(f"open {path}: {reason}") from None
    return check(_parse(_decode(content)), flags)


def _decode(content: bytes) -> bytes:
    """`content` as UTF-8: editors on Windows write a byte order mark, or UTF-16 behind one."""
    if content.startswith(codecs.BOM_UTF8):
        return content[len(codecs.BOM_UTF8) :]
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return content.decode("utf-16").encode()
        except UnicodeError:
            raise errors.InvalidArgument("invalid UTF-16 text") from None
    return content


def _parse(content: bytes) -> dict[str, object]:
    if not content.strip():
        return {}
    try:
        document = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise errors.InvalidArgument(gosyntax.explain(content)) from None
    if not isinstance(document, dict):
        kind = _go_kind(document)
        raise errors.InvalidArgument(
            f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        )
    return document


def check(document: dict[str, object], flags: dict[str, Value]) -> dict[str, Value]:
    """The document's values if all of them may stand. Raises InvalidArgument."""
    unknown = [key for key in document if key not in BY_KEY and key not in UNSUPPORTED]
    if unknown:
        raise errors.InvalidArgument(
            f"the following directives don't match any configuration option: {', '.join(unknown)}"
        )
    refused = [key for key in document if key not in BY_KEY]
    if refused:
        raise errors.Unsupported(f"the following directives are not supported: {', '.join(refused)}")
    both = [
        f"{key}: (from flag: {_go(flags[key])}, from file: {_go(value)})"
        for key, value in document.items()
        if key in flags
    ]
    if both:
        raise errors.InvalidArgument(
            "the following directives are specified both as a flag and in the configuration file: "
            + ", ".join(both)
        )
    return {key: _typed(BY_KEY[key], value) for key, value in document.items()}


def _typed(option: Option, value: object) -> Value:
    elements: list[object] = [value]
    if option.kind == LIST and isinstance(value, list):
        elements = value
    elif option.kind == MAP and isinstance(value, dict):
        elements = list(value.values())
    wanted = _PYTHON_TYPES[option.kind]
    if type(value) is not wanted:
        raise _mismatch(option, value, option.kind)
    if option.kind in (LIST, MAP):
        for element in elements:
            if not isinstance(element, str):
                raise _mismatch(option, element, "string")
    if option.check is not None:
        for element in elements:
            try:
                option.check(str(element))
            except errors.InvalidArgument as error:
                raise errors.InvalidArgument(f"configuration validation from file failed: {error}") from None
    return value  # type: ignore[return-value]  # its type was compared with the option's kind above


def _mismatch(option: Option, value: object, kind: str) -> errors.InvalidArgument:
    got = _go_kind(value)
    return errors.InvalidArgument(
        f"json: cannot unmarshal {got} into Go struct field Config.{option.key} of type {kind}"
    )


def _go_kind(value: object) -> str:
    return next((name for kind, name in _GO_KINDS if isinstance(value, kind)), "null")


def _go(value: object) -> str:
    """A value as Go's `%v` prints it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{' '.join(map(_go, value))}]"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_go(value[key])}' for key in sorted(value))}]"
    return str(value)
