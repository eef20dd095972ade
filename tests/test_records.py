"""Records mean what `dataclasses` mean, as far as they go."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import pytest

from sampan import records


def both(**options: Any) -> list[Any]:
    """The same class twice: ours and the standard library's."""
    found = []
    for module in (records, dataclasses):

        @module.dataclass(slots=True, **options)
        class Point:
            KIND: ClassVar[str] = "point"
            x: int
            y: int = 2
            tags: dict[str, int] = module.field(default_factory=dict)
            name: str = module.field(default="p")

            def sum(self) -> int:
                return self.x + self.y

        found.append(Point)
    return found


@pytest.mark.parametrize("options", [{}, {"frozen": True}, {"eq": False}])
def test_as_dataclasses(options: dict[str, bool]) -> None:
    ours, theirs = both(**options)
    for arguments, named in (((1,), {}), ((1, 3), {"name": "q"}), ((), {"x": 5, "tags": {"a": 1}})):
        one, other = ours(*arguments, **named), theirs(*arguments, **named)
        assert (one.x, one.y, one.tags, one.name) == (other.x, other.y, other.tags, other.name)
        assert repr(one) == repr(other)
        assert (one == ours(*arguments, **named)) is (other == theirs(*arguments, **named))
        assert one.sum() == other.sum() and one.KIND == "point"
        changed = records.replace(one, y=9)
        assert (changed.x, changed.y, one.y) == (one.x, 9, other.y)
    assert one != other
    assert ours.__match_args__ == theirs.__match_args__
    assert ours.__slots__ == theirs.__slots__
    assert (ours.__module__, ours.__qualname__) == (theirs.__module__, theirs.__qualname__)
    assert [field.name for field in records.fields(one)] == ["x", "y", "tags", "name"]
    assert ours(1).tags is not ours(1).tags
    assert not hasattr(one, "__dict__")


@pytest.mark.parametrize(
    ("arguments", "named"), [((), {}), ((1, 2, {}, "n", 5), {}), ((1,), {"x": 2}), ((1,), {"z": 2})]
)
def test_wrong_arguments(arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
    for kind in both():
        with pytest.raises(TypeError):
            kind(*arguments, **named)


def test_frozen() -> None:
    for kind in both(frozen=True):
        point = kind(1)
        with pytest.raises(AttributeError):
            point.x = 2
        with pytest.raises(AttributeError):
            del point.x
        with pytest.raises(TypeError):
            hash(point)  # it holds a dict
        assert {kind(1, 2, ()), kind(1, 2, ())} == {kind(1, 2, ())}


def test_not_frozen() -> None:
    for kind in both():
        point = kind(1)
        point.x = 2
        assert point.x == 2
        with pytest.raises(TypeError):
            hash(point)
        with pytest.raises(AttributeError):
            point.other = 1


def test_inheritance() -> None:
    @records.dataclass(frozen=True, slots=True)
    class Base:
        a: int
        b: int = 1

    @records.dataclass(frozen=True, slots=True)
    class Child(Base):
        c: int = 2

    child = Child(5, c=7)
    assert (child.a, child.b, child.c) == (5, 1, 7)
    assert child != Base(5)
    assert records.replace(child, a=6) == Child(6, 1, 7)


def test_a_record_has_slots() -> None:
    with pytest.raises(TypeError):
        records.dataclass(slots=False)
