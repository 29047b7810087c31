"""Writes docs/yaml-reference.md from the tables that decode the YAML: `python
docs/yaml_reference.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compos.config.fields import CONFIG, ENTRY
from compos.config.kinds import Flag, Identity, ListOf, MapOf, Number, Record, Text, TextMap, Words

TARGET = Path(__file__).with_name("yaml-reference.md")
INTRODUCTION = """\
# Every key of the YAML

This page is made by `docs/yaml_reference.py` from the tables that read the YAML; `compos schema`
prints the same as JSON schema. Defaults stand in brackets. `docs/yaml.md` explains how files are
put together.
"""


def page() -> str:
    """The whole page."""
    return INTRODUCTION + "".join(f"\n{_section(record)}" for record in _records())


def _records() -> list[Record]:
    found: dict[str, Record] = {}

    def visit(kind: Any) -> None:
        if isinstance(kind, (ListOf, MapOf)):
            visit(kind.item)
        elif isinstance(kind, Record) and kind.name not in found:
            found[kind.name] = kind
            for field in kind.fields.values():
                visit(field.kind)

    visit(CONFIG)
    # The tables of one architecture are those of a whole file, and a runtime mount is a mount.
    return [
        record
        for name, record in found.items()
        if name not in ("Overlay", "Overlays", "RuntimeMount", "Trust")
    ]


def _section(record: Record) -> str:
    title = "A file" if record is CONFIG else "A container" if record is ENTRY else record.name
    lines = [f"## {title}", "", record.doc, "", "| key | type | meaning |", "|---|---|---|"]
    lines += [
        f"| `{key}` | {_type(field.kind)} | {field.doc.replace('|', chr(92) + '|')} |"
        for key, field in record.fields.items()
    ]
    return "\n".join(lines) + "\n"


def _type(kind: Any) -> str:
    if isinstance(kind, ListOf):
        return f"list of {_type(kind.item)}"
    if isinstance(kind, MapOf):
        return f"list of names, or mapping of {_type(kind.item)}"
    if isinstance(kind, Record):
        return {
            "ImageEntry": "container",
            "Overlays": "mapping by architecture",
            "RuntimeMount": "Mount",
        }.get(kind.name, kind.name)
    if isinstance(kind, Text) and kind.choices:
        return " or ".join(f"`{choice}`" for choice in kind.choices if choice)
    names = {
        Flag: "true, false",
        Number: "number",
        Identity: "string or number",
        Text: "string",
        Words: "string or list of strings",
    }
    return "mapping of strings" if isinstance(kind, TextMap) else names[type(kind)]


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
