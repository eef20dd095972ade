"""Typed access to the JSON objects of config.json; an error names the field by its path, such as
`process.user.uid`.

Owns the rules that hold for every field: null means unset (Go's encoders write it), an unknown field is
ignored and one of the wrong type is refused. Knows no field by name.
"""

from __future__ import annotations

from collections.abc import Container

from sampan import errors

UINT32_MAX = 2**32 - 1
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
UINT64_MAX = 2**64 - 1


class Fields:
    """One JSON object, and the path that leads to it."""

    __slots__ = ("_path", "document")

    def __init__(self, document: object, path: str = "") -> None:
        if not isinstance(document, dict):
            raise errors.InvalidArgument(f"config.json: {path or 'the document'} must be an object")
        self.document: dict[str, object] = document
        self._path = path

    def name(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def fail(self, key: str, why: str) -> errors.InvalidArgument:
        return errors.InvalidArgument(f"config.json: {self.name(key)} {why}")

    def refuse(self, *keys: str) -> None:
        """Fail if one of these fields asks for something: it is in the specification, but not done here."""
        for key in keys:
            if self.child(key) is not None:
                raise errors.Unsupported(f"config.json: {self.name(key)} is not supported")

    def string(self, key: str, default: str = "") -> str:
        value = self.document.get(key)
        if value is None:
            return default
        return self._text(key, value)

    def required_string(self, key: str) -> str:
        """A text that has to be given, and not to be empty."""
        value = self.string(key)
        if not value:
            raise self.fail(key, "is required")
        return value

    def word(self, key: str, known: Container[str]) -> str:
        """One of the known words; it has to be given."""
        value = self.required_string(key)
        if value not in known:
            raise self.fail(key, f'"{value}" is not known')
        return value

    def words(self, key: str, known: Container[str]) -> tuple[str, ...]:
        """A list of known words."""
        values = self.strings(key)
        for value in values:
            if value not in known:
                raise self.fail(key, f'holds "{value}", which is not known')
        return values

    def boolean(self, key: str) -> bool:
        return self.optional_boolean(key) or False

    def optional_boolean(self, key: str) -> bool | None:
        value = self.document.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.fail(key, "must be true or false")
        return value

    def integer(self, key: str, low: int = INT64_MIN, high: int = INT64_MAX) -> int | None:
        value = self.document.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.fail(key, "must be an integer")
        if not low <= value <= high:
            raise self.fail(key, f"must be between {low} and {high}")
        return value

    def unsigned(self, key: str, high: int = UINT32_MAX) -> int | None:
        return self.integer(key, 0, high)

    def required_unsigned(self, key: str, high: int = UINT32_MAX) -> int:
        value = self.integer(key, 0, high)
        if value is None:
            raise self.fail(key, "is required")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        return tuple(self._text(key, item) for item in self._list(key))

    def unsigned_list(self, key: str, high: int = UINT32_MAX) -> tuple[int, ...]:
        values = []
        for item in self._list(key):
            if isinstance(item, bool) or not isinstance(item, int) or not 0 <= item <= high:
                raise self.fail(key, f"must hold integers between 0 and {high}")
            values.append(item)
        return tuple(values)

    def string_map(self, key: str) -> dict[str, str]:
        value = self.document.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.fail(key, "must be an object")
        return {self._text(key, name): self._text(f"{key}.{name}", text) for name, text in value.items()}

    def child(self, key: str) -> Fields | None:
        value = self.document.get(key)
        return None if value is None else Fields(value, self.name(key))

    def child_or_empty(self, key: str) -> Fields:
        return self.child(key) or Fields({}, self.name(key))

    def children(self, key: str) -> list[Fields]:
        return [Fields(item, f"{self.name(key)}[{index}]") for index, item in enumerate(self._list(key))]

    def _list(self, key: str) -> list[object]:
        value = self.document.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.fail(key, "must be an array")
        return value

    def _text(self, key: str, value: object) -> str:
        if not isinstance(value, str):
            raise self.fail(key, "must be a string")
        # The kernel's strings end at NUL: what follows it would be ignored, and so checked in vain.
        if "\0" in value:
            raise self.fail(key, "must not contain NUL")
        return value
