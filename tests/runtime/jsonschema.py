"""As much of JSON Schema (draft 4) as the OCI runtime specification's schemas use.

Owns reading a schema: whether a document satisfies it, and which properties it speaks of.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

_FOLDER = Path(__file__).with_name("schema")
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
}


class Schemas:
    """The documents of one folder, which refer to each other."""

    def __init__(self) -> None:
        self._documents = {path.name: json.loads(path.read_text()) for path in _FOLDER.glob("*.json")}

    def top(self, name: str) -> tuple[Schema, str]:
        return self._documents[name], name

    def resolve(self, schema: Schema, file: str) -> tuple[Schema, str] | None:
        """Follow references; None for one to another platform's schema."""
        while "$ref" in schema:
            name, _, pointer = schema["$ref"].partition("#")
            file = name or file
            if file not in self._documents:
                return None
            schema = self._documents[file]
            for part in pointer.strip("/").split("/"):
                schema = schema[part]
        return schema, file

    def accepts(self, value: Any, schema: Schema, file: str) -> bool:
        resolved = self.resolve(schema, file)
        if resolved is None:
            return True
        schema, file = resolved
        return (
            _has_type(value, schema)
            and _is_in_range(value, schema)
            and all(self.accepts(value, part, file) for part in schema.get("allOf", ()))
            and ("anyOf" not in schema or any(self.accepts(value, part, file) for part in schema["anyOf"]))
            and self._accepts_parts(value, schema, file)
        )

    def _accepts_parts(self, value: Any, schema: Schema, file: str) -> bool:
        if isinstance(value, list) and "items" in schema:
            return all(self.accepts(entry, schema["items"], file) for entry in value)
        if isinstance(value, dict):
            properties = schema.get("properties", {})
            return all(name in value for name in schema.get("required", ())) and all(
                self.accepts(entry, part, file)
                for name, entry in value.items()
                for part in ([properties[name]] if name in properties else _others(name, schema))
            )
        return True

    def paths(self, schema: Schema, file: str, path: str = "") -> Iterator[str]:
        """The paths of all properties, written as in `coverage`."""
        resolved = self.resolve(schema, file)
        if resolved is None:
            return
        schema, file = resolved
        for part in (*schema.get("allOf", ()), *schema.get("anyOf", ())):
            yield from self.paths(part, file, path)
        if "items" in schema:
            yield from self.paths(schema["items"], file, f"{path}[]")
        children = dict(schema.get("properties", {}))
        for part in (*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")):
            if part:
                children["*"] = part
        for name, part in children.items():
            child = f"{path}.{name}" if path else name
            yield child
            yield from self.paths(part, file, child)


def _has_type(value: Any, schema: Schema) -> bool:
    if "type" not in schema:
        return True
    return isinstance(value, _TYPES[schema["type"]]) and isinstance(value, bool) <= (
        schema["type"] == "boolean"
    )


def _is_in_range(value: Any, schema: Schema) -> bool:
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        return False
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return False
    return not (isinstance(value, list) and len(value) < schema.get("minItems", 0))


def _others(name: str, schema: Schema) -> list[Schema]:
    patterns = schema.get("patternProperties", {})
    found = [part for pattern, part in patterns.items() if re.search(pattern, name)]
    more = schema.get("additionalProperties")
    return found if found or not isinstance(more, dict) else [more]
