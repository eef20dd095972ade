"""The values of templates as JSON, as Go's encoding/json writes them with HTML escaping off.

Maps come out with sorted keys, structs in the order of their fields with their JSON names and without what
`omitempty` drops. Leaves are written by `wire.gojson`.
"""

from __future__ import annotations

from sampan.wire import gojson
from sampan.wire.gotemplate.values import NO_VALUE, NilPointer, Number, Struct, is_nil


def to_json(value: object) -> str:
    """The text of `value`. One that writes itself (a json.Marshaler) escapes HTML, as json.Marshal does."""
    marshal = getattr(value, "go_marshal_json", None)
    if marshal is not None:
        return str(marshal())
    return gojson.encode(plain(value), escape_html=False)


def plain(value: object) -> object:
    """`value` in the plain types that `gojson` knows, with its members in the order of the output."""
    if value is NO_VALUE or is_nil(value):
        return None
    if isinstance(value, Number):
        return _number(value)
    if isinstance(value, dict):
        return {key: plain(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [plain(element) for element in value]
    if isinstance(value, Struct):
        return {
            key: plain(field)
            for (key, omit_empty), field in zip(value.json_keys(), value.fields.values(), strict=True)
            if key != "-" and not (omit_empty and _is_empty(field))
        }
    as_json = getattr(value, "go_json", None)
    return value if as_json is None else plain(as_json())


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _is_empty(value: object) -> bool:
    """What `omitempty` drops: false, 0, "", nil and empty slices and maps, but no struct."""
    return (
        value is None
        or isinstance(value, NilPointer)
        or (value == 0 and isinstance(value, int | float))
        or value in ("", [], {})
    )
