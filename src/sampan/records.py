"""Records: classes of named, typed values. What Sampan uses of `dataclasses`, without what it costs.

`dataclasses` imports `inspect`, and with it the compiler's modules (2 MB, 7 ms), and compiles four functions
for each class (0.5 ms and some kilobytes). Here all classes share four functions. The processes that have to
be small (zygote, shims) or fast from a cold start (`sampan-runtime`) are mostly records, so that this is half
of their memory and of their start.

Type checkers are told that these are `dataclasses`' own functions. They mean the same, as far as they go:
`frozen`, `slots` (always), `eq`, defaults and `default_factory`, inheritance of fields, `ClassVar` if it is
written so. An annotation is never evaluated.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from dataclasses import fields as fields
    from dataclasses import replace as replace
else:
    _MISSING = object()

    class Field:
        """One field of a record: its name, and what it is if it is not given."""

        __slots__ = ("default", "default_factory", "name")

        def __init__(self, name, default, default_factory):
            self.name = name
            self.default = default
            self.default_factory = default_factory

    class FrozenInstanceError(AttributeError):
        """A field of a frozen record was assigned to."""

    def field(*, default=_MISSING, default_factory=None):
        """The default of a field; `default_factory` is called for each record."""
        return Field("", default, default_factory)

    def fields(record):
        """The fields of a record, or of its class, in order."""
        return record.__record_fields__

    def replace(record, /, **changes):
        """A copy of a record in which some fields are changed."""
        for one in record.__record_fields__:
            if one.name not in changes:
                changes[one.name] = getattr(record, one.name)
        return type(record)(**changes)

    def dataclass(*, frozen=False, slots=True, eq=True):
        """Make a class a record: its fields are the annotated names, in order, after those of its base."""
        if not slots:
            raise TypeError("a record has slots")
        return lambda cls: _record(cls, frozen, eq)

    def _record(cls, frozen, eq):
        inherited = getattr(cls, "__record_fields__", ())
        namespace = dict(cls.__dict__)
        own = []
        for name, annotation in namespace.get("__annotations__", {}).items():
            if annotation.startswith("ClassVar"):
                continue
            default = namespace.pop(name, _MISSING)
            if isinstance(default, Field):
                own.append(Field(name, default.default, default.default_factory))
            else:
                own.append(Field(name, default, None))
        names = [one.name for one in own]
        for name in ("__dict__", "__weakref__"):
            namespace.pop(name, None)
        namespace["__qualname__"] = cls.__qualname__
        namespace["__slots__"] = tuple(names)
        namespace["__record_fields__"] = (
            *(one for one in inherited if one.name not in names),
            *own,
        )
        namespace["__match_args__"] = tuple(one.name for one in namespace["__record_fields__"])
        namespace.setdefault("__init__", _init)
        namespace.setdefault("__repr__", _repr)
        if eq:
            namespace.setdefault("__eq__", _eq)
            namespace["__hash__"] = _hash if frozen else None
        if frozen:
            namespace["__setattr__"] = _refuse
            namespace["__delattr__"] = _refuse
        return type(cls)(cls.__name__, cls.__bases__, namespace)

    _set = object.__setattr__

    def _init(self, /, *values, **named):
        layout = self.__record_fields__
        if len(values) > len(layout):
            raise TypeError(f"{type(self).__name__} takes {len(layout)} values, not {len(values)}")
        for one, value in zip(layout, values):  # noqa: B905 - the rest is named, or has a default
            if one.name in named:
                raise TypeError(f"{type(self).__name__} got two values for {one.name}")
            _set(self, one.name, value)
        for one in layout[len(values) :]:
            if one.name in named:
                value = named.pop(one.name)
            elif one.default_factory is not None:
                value = one.default_factory()
            elif one.default is not _MISSING:
                value = one.default
            else:
                raise TypeError(f"{type(self).__name__} needs a value for {one.name}")
            _set(self, one.name, value)
        if named:
            raise TypeError(f"{type(self).__name__} has no field {next(iter(named))}")

    def _values(self):
        return tuple([getattr(self, name) for name in self.__match_args__])

    def _repr(self):
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__qualname__}({values})"

    def _eq(self, other):
        if type(other) is not type(self):
            return NotImplemented
        return _values(self) == _values(other)

    def _hash(self):
        return hash(_values(self))

    def _refuse(self, name, *_value):
        raise FrozenInstanceError(f"cannot assign to field {name!r} of {type(self).__name__}")
