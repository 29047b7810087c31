"""The YAML's schema for editors and other programs: JSON Schema, draft 2020-12, from the tables
that decode. Pure."""

from __future__ import annotations

from typing import Any

from compos.config.fields import CONFIG
from compos.config.kinds import Flag, Identity, Kind, ListOf, MapOf, Number, Record, Text, Words

__all__ = ["json_schema"]

VARIABLE = r"\$\{"
"""A value that is not what it should be may become it when its variables are put in."""

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema of a whole file. What depends on several keys or on other entries is only checked
    by `load`."""
    definitions: dict[str, Any] = {}
    body = _mapping(CONFIG, definitions)
    return {
        "$schema": DRAFT,
        "title": "compos system",
        **body,
        "$defs": dict(sorted(definitions.items())),
    }


def _schema(kind: Kind, definitions: dict[str, Any]) -> dict[str, Any]:
    if isinstance(kind, Record):
        name = kind.name
        if name not in definitions:
            definitions[name] = {}
            definitions[name] = _mapping(kind, definitions)
        return {"$ref": f"#/$defs/{name}"}
    if isinstance(kind, ListOf):
        return {"type": "array", "items": _schema(kind.item, definitions)}
    if isinstance(kind, Words):
        return {"type": ["array", "string"], "items": {"type": "string"}}
    if isinstance(kind, MapOf):
        item = _schema(kind.item, definitions)
        return {
            "type": ["object", "array"],
            "additionalProperties": item,
            "items": {"type": "string"},
        }
    if isinstance(kind, Flag):
        return {"type": ["boolean", "string"], "pattern": VARIABLE}
    if isinstance(kind, Identity):
        return {"type": ["string", "integer"], "minimum": kind.least, "maximum": kind.most}
    if isinstance(kind, Number):
        return {
            "type": ["integer", "string"],
            "minimum": kind.least,
            "maximum": kind.most,
            "pattern": VARIABLE,
        }
    if isinstance(kind, Text):
        if kind.choices:
            return {
                "anyOf": [{"enum": list(kind.choices)}, {"type": "string", "pattern": VARIABLE}]
            }
        if kind.pattern:
            return {"type": "string", "pattern": f"^(?:{kind.pattern})$|{VARIABLE}"}
        return {"type": "string"}
    return {"type": "object", "additionalProperties": {"type": "string"}}


def _mapping(record: Record, definitions: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "description": record.doc}
    schema["properties"] = {
        key: {"description": field.doc, **_schema(field.kind, definitions)}
        for key, field in record.fields.items()
    }
    if required := [key for key, field in record.fields.items() if field.required]:
        schema["required"] = required
    schema["additionalProperties"] = False
    return schema
