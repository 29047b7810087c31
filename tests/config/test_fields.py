"""The tables, the model and the published schema say the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from compos.config import model
from compos.config.fields import CONFIG, ENTRY
from compos.config.kinds import ListOf, MapOf, Record
from compos.config.schema import json_schema


def records(kind: Any = CONFIG) -> Iterator[Record]:
    if isinstance(kind, Record):
        yield kind
        for field in kind.fields.values():
            yield from records(field.kind)
    elif isinstance(kind, (ListOf, MapOf)):
        yield from records(kind.item)


RECORDS = list({record.name: record for record in records()}.values())


def field_names(kind: type) -> tuple[str, ...]:
    names: tuple[str, ...] = vars(kind)["_fields"]
    return names


@pytest.mark.parametrize("record", RECORDS, ids=[record.name for record in RECORDS])
def test_every_key_fills_a_field(record: Record) -> None:
    filled = {field.name for field in record.fields.values() if field.name}
    if record.model is dict:
        return
    known = set(field_names(record.model))
    if record is ENTRY:
        known |= set(model.Settings._fields)
    assert filled <= known


def test_every_field_is_filled() -> None:
    filled: dict[type, set[str]] = {}
    for record in RECORDS:
        filled.setdefault(record.model, set()).update(
            field.name for field in record.fields.values()
        )
    filled[model.Settings] = filled[model.ImageEntry]
    made = {
        kind
        for kind in vars(model).values()
        if isinstance(kind, type) and hasattr(kind, "_fields") and kind is not model.Mark
    }
    assert made == {kind for kind in filled if kind is not dict}
    for kind in made:
        missing = set(field_names(kind)) - filled[kind]
        assert missing <= {"mark", "init_marks", "settings"}, kind


@pytest.mark.parametrize("record", RECORDS, ids=[record.name for record in RECORDS])
def test_every_key_says_what_it_means(record: Record) -> None:
    for text in (record.doc, *(field.doc for field in record.fields.values())):
        assert re.fullmatch(r"\S.*\.", text), text


def test_no_two_tables_share_a_name() -> None:
    tables: dict[str, Record] = {}
    for record in records():
        assert tables.setdefault(record.name, record) is record


def test_the_schema_is_whole() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert list(schema["properties"]) == list(CONFIG.fields)
    text = json.dumps(schema)
    assert set(re.findall(r'"#/\$defs/(\w+)"', text)) == set(schema["$defs"])
    for record in RECORDS[1:]:
        definition = schema["$defs"][record.name]
        assert list(definition["properties"]) == list(record.fields)
        assert definition["additionalProperties"] is False
    assert schema["$defs"]["ImageEntry"]["required"] == ["name", "image"]


@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [
        ("ImageEntry", "readonly", {"type": ["boolean", "string"], "pattern": r"\$\{"}),
        ("ImageEntry", "uid", {"type": ["string", "integer"], "minimum": 0, "maximum": 4294967295}),
        (
            "ImageEntry",
            "oomScoreAdj",
            {"type": ["integer", "string"], "minimum": -1000, "maximum": 1000, "pattern": r"\$\{"},
        ),
        ("ImageEntry", "command", {"type": "array", "items": {"type": "string"}}),
        ("ImageEntry", "sysctl", {"type": "object", "additionalProperties": {"type": "string"}}),
        ("ImageEntry", "resources", {"$ref": "#/$defs/Resources"}),
        (
            "Volume",
            "format",
            {"anyOf": [{"enum": ["filesystem", "oci"]}, {"type": "string", "pattern": r"\$\{"}]},
        ),
        ("Volume", "name", {"type": "string", "pattern": r"^(?:[a-z0-9_-]+)$|\$\{"}),
    ],
)
def test_schema_of_a_key(name: str, key: str, expected: dict[str, Any]) -> None:
    found = dict(json_schema()["$defs"][name]["properties"][key])
    assert found.pop("description")
    assert found == expected
