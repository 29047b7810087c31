"""A configuration printed again: for `--dry-run`, and as the metadata document of a system (reference 2.5 and 3.8). Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from compos.config.model import Config
from compos.config.schema import CONFIG, ENTRY, SETTINGS, ListOf, Record

__all__ = ["metadata_document", "to_yaml"]

SECTIONS = ("kernel", "init", "onboot", "onshutdown", "services", "files", "volumes")


def to_yaml(config: Config, indent: int = 4) -> str:
    """The merged configuration as YAML, image names as they were written."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    # A list item's dash stands below its key's first letter, as LinuxKit prints it.
    text: str = yaml.dump(
        document(config), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=2**20, indent=indent
    )
    return text


def metadata_document(config: Config, form: str, canonical: Mapping[str, str] | None = None) -> bytes:
    """The `files: metadata` document in `form` (`yaml` or `json`); `canonical` maps image names to canonical ones."""
    names = canonical or {}

    def full(text: str) -> str:
        return names.get(text, text)

    config = replace(
        config,
        kernel=replace(config.kernel, image=full(config.kernel.image or "")) if config.kernel else None,
        init=tuple(map(full, config.init)),
        **{
            section: tuple(replace(entry, image=full(entry.image)) for entry in getattr(config, section))
            for section in ("onboot", "onshutdown", "services")
        },
    )
    if form == "yaml":
        return to_yaml(config, indent=2).encode()
    text = json.dumps(document(config), indent=4, ensure_ascii=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()


def document(config: Config) -> dict[str, Any]:
    """Plain values in LinuxKit's key order, keys as in the YAML, so that the document can be read again."""
    plain: dict[str, Any] = {}
    for section in SECTIONS:
        value = getattr(config, section)
        kind = CONFIG.fields[section].type
        if section == "kernel":
            plain[section] = {"image": "", **_record(value, kind)} if value else {"image": ""}
        else:
            plain[section] = _plain(value, kind)
    return plain


def _plain(value: Any, kind: Any) -> Any:
    if isinstance(kind, Record):
        return _entry(value) if kind is ENTRY else _record(value, kind)
    if isinstance(kind, ListOf):
        return [_plain(item, kind.item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


def _record(value: Any, kind: Record) -> dict[str, Any]:
    return {
        key: _plain(inner, field.type)
        for key, field in kind.fields.items()
        if field.name and (inner := getattr(value, field.name)) is not None
    }


def _entry(value: Any) -> dict[str, Any]:
    return {"name": value.name, "image": value.image, **_record(value.settings, SETTINGS)}
