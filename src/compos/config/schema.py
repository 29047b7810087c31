"""The YAML's schema for editors and other programs: JSON Schema, draft 2020-12, from the tables that decode. Pure."""

from __future__ import annotations

from typing import Any

from compos.config.fields import CONFIG
from compos.config.kinds import Flag, Identity, Kind, ListOf, Number, Record, Text

__all__ = ["json_schema"]

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema of a whole file. What depends on several keys or on other entries is only checked by `load`."""
    definitions: dict[str, Any] = {}
    body = _mapping(CONFIG, definitions)
    return {"$schema": DRAFT, "title": "compos system", **body, "$defs": dict(sorted(definitions.items()))}


def _schema(kind: Kind, definitions: dict[str, Any]) -> dict[str, Any]:
    if isinstance(kind, Record):
        name = kind.name
        if name not in definitions:
            definitions[name] = {}
            definitions[name] = _mapping(kind, definitions)
        return {"$ref": f"#/$defs/{name}"}
    if isinstance(kind, ListOf):
        return {"type": "array", "items": _schema(kind.item, definitions)}
    if isinstance(kind, Flag):
        return {"type": "boolean"}
    if isinstance(kind, Identity):
        return {"type": ["string", "integer"], "minimum": kind.least, "maximum": kind.most}
    if isinstance(kind, Number):
        return {"type": "integer", "minimum": kind.least, "maximum": kind.most}
    if isinstance(kind, Text):
        schema: dict[str, Any] = {"type": "string"}
        if kind.choices:
            schema["enum"] = list(kind.choices)
        if kind.pattern:
            schema["pattern"] = f"^(?:{kind.pattern})$"
        return schema
    return {"type": "object", "additionalProperties": {"type": "string"}}


def _mapping(record: Record, definitions: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "description": record.doc}
    schema["properties"] = {
        key: {"description": field.doc, **_schema(field.kind, definitions)} for key, field in record.fields.items()
    }
    if required := [key for key, field in record.fields.items() if field.required]:
        schema["required"] = required
    schema["additionalProperties"] = False
    return schema
