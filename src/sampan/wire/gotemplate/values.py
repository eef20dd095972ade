"""The data of templates: how Go's values are told apart in Python, and what their types are called.

Plain Python values stand for the obvious Go ones: `None` for a nil interface, `bool`, `int`, `float`,
`complex`, `str`, a `list` for a slice and a `dict` for a map. The classes here add what Go's types know and
Python's do not: structs with fields in order, nil slices and maps, numbers with a width, and values with
methods.

Must not know Docker's types: whoever has such values builds them from these classes.
"""

from __future__ import annotations

from sampan.wire.gotime import NANOSECONDS, ZERO, format_duration, format_rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

PLAIN_TYPES = {
    bool: "bool",
    int: "int",
    float: "float64",
    complex: "complex128",
    str: "string",
    list: "[]interface {}",
    dict: "map[string]interface {}",
}


class NoValue:
    """Go's invalid reflect.Value: nothing at all, as a key that a map does not have."""

    go_type = "<nil>"


NO_VALUE = NoValue()


class Function:
    """Something that a template can call, with Go's types of its parameters.

    `parameters` are the fixed ones; `variadic` is the type of the others, if there may be others. A type is
    one of `any`, `string`, `int`, `bool`, `[]string`.
    """

    __slots__ = ("call", "parameters", "variadic")

    def __init__(
        self, call: Callable[..., object], parameters: tuple[str, ...] = (), variadic: str | None = None
    ) -> None:
        self.call = call
        self.parameters = parameters
        self.variadic = variadic


class Integer(int):
    """An integer whose Go type is not plain `int`; a subclass names the type."""

    go_type = "int64"
    unsigned = False


class Unsigned(Integer):
    go_type = "uint64"
    unsigned = True


class Byte(Unsigned):
    go_type = "uint8"


class Number(str):
    """json.Number: what a document read without types has for each number. To Go it is a string."""

    go_type = "json.Number"


class Slice(list[object]):
    """A slice whose elements have a type. A nil one prints like an empty one, but is `null` in JSON."""

    go_type = "[]interface {}"
    is_nil = False


class StringSlice(Slice):
    go_type = "[]string"


class Map(dict[str, object]):
    """A map whose values have a type; `missing` is the zero value of that type."""

    go_type = "map[string]interface {}"
    is_nil = False
    missing: object = None


class NilPointer:
    """A nil pointer to the type `element`; `fields` are the names that the pointed-to struct has."""

    __slots__ = ("element", "fields")

    def __init__(self, element: str, fields: Iterable[str] = ()) -> None:
        self.element = element
        self.fields = frozenset(fields)

    @property
    def go_type(self) -> str:
        return "*" + self.element


class Struct:
    """A struct: fields by name, in order. `pointer` says that the value was reached by a pointer.

    `keys` are the JSON names of the fields in the same order, each with whether `omitempty` applies; without
    them every field goes by its own name.
    """

    __slots__ = ("element", "fields", "keys", "pointer")

    def __init__(
        self,
        element: str,
        fields: Mapping[str, object],
        keys: tuple[tuple[str, bool], ...] | None = None,
        pointer: bool = False,
    ) -> None:
        self.element = element
        self.fields = fields
        self.keys = keys
        self.pointer = pointer

    @property
    def go_type(self) -> str:
        return "*" + self.element if self.pointer else self.element

    def json_keys(self) -> tuple[tuple[str, bool], ...]:
        return self.keys if self.keys is not None else tuple((name, False) for name in self.fields)

    def go_method(self, name: str) -> Function | None:
        return None


class Methods:
    """A value of which templates see only methods; a subclass names its type and lists them."""

    go_type = "*struct {}"
    go_methods: Mapping[str, Callable[..., object]] = {}
    go_parameters: Mapping[str, tuple[str, ...]] = {}

    def go_method(self, name: str) -> Function | None:
        method = self.go_methods.get(name)
        if method is None:
            return None
        return Function(lambda *arguments: method(self, *arguments), self.go_parameters.get(name, ()))


class Duration(Integer):
    """time.Duration: prints as `1m30s`, counts as nanoseconds."""

    go_type = "time.Duration"

    def go_string(self) -> str:
        return format_duration(self)


class Time:
    """time.Time, in UTC: nanoseconds since 1970."""

    __slots__ = ("nanoseconds",)
    go_type = "time.Time"

    def __init__(self, nanoseconds: int) -> None:
        self.nanoseconds = nanoseconds

    def go_string(self) -> str:
        """Time.String: 2006-01-02 15:04:05.999 +0000 UTC."""
        return format_rfc3339(self.nanoseconds).replace("T", " ").removesuffix("Z") + " +0000 UTC"

    def go_json(self) -> str:
        return format_rfc3339(self.nanoseconds)

    def go_method(self, name: str) -> Function | None:
        methods: dict[str, Function] = {
            "IsZero": Function(lambda: self.nanoseconds == ZERO),
            "String": Function(self.go_string),
            "Unix": Function(lambda: Integer(self.nanoseconds // NANOSECONDS)),
            "UnixNano": Function(lambda: Integer(self.nanoseconds)),
        }
        return methods.get(name)


def type_name(value: object) -> str:
    """The type as `%T` prints it."""
    if value is None:
        return "interface {}"
    plain = PLAIN_TYPES.get(type(value))
    if plain is not None:
        return plain
    if isinstance(value, Function):
        return "func()"
    return str(getattr(value, "go_type", type(value).__name__))


def kind(value: object) -> str:
    """The kind that operations ask for; a value with methods counts as the struct that it is in Go."""
    if value is None or value is NO_VALUE:
        return "invalid"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "uint" if getattr(value, "unsigned", False) else "int"
    if isinstance(value, str):
        return "string"
    for python, name in ((float, "float"), (complex, "complex"), (list, "slice"), (dict, "map")):
        if isinstance(value, python):
            return name
    if isinstance(value, NilPointer):
        return "pointer"
    return "func" if isinstance(value, Function) else "struct"


def truth(value: object) -> bool:
    """Whether `if` takes the value for true: not the zero value of its type, and not empty."""
    if isinstance(value, bool | int | float | complex | str | list | dict):
        return bool(value)
    return not (value is None or value is NO_VALUE or isinstance(value, NilPointer))


def is_nil(value: object) -> bool:
    if value is None or value is NO_VALUE or isinstance(value, NilPointer):
        return True
    return bool(getattr(value, "is_nil", False))
