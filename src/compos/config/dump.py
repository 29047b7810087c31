"""A configuration printed again: for `--dry-run`, and as the metadata document of a system
(docs/linuxkit.md#2.5 and #3.8). Pure.

What is printed can be read again, mappings and limits included (docs/linuxkit.md#N9).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from compos.config.emit import yaml_text
from compos.config.fields import CONFIG, ENTRY, SETTINGS
from compos.config.images import renamed_images
from compos.config.kinds import ListOf, MapOf, Record, Words
from compos.config.model import Config, ImageEntry, Kernel, Mark
from compos.config.origins import origins
from compos.config.variables import escaped

__all__ = ["metadata_document", "resolved_json", "resolved_yaml", "to_yaml"]

ESCAPED = "[<>&\u2028\u2029\x7f-\x9f\ufeff\ufffe\uffff]"
"""Characters that LinuxKit escapes in JSON, and those that JSON takes as they are and YAML
refuses."""


def to_yaml(config: Config) -> str:
    """The merged configuration as `--dry-run` prints it: four columns, image names as they were
    written."""
    return yaml_text(_document(config), indent=4, dashes_indented=True)


def metadata_document(
    config: Config, form: str, canonical: Mapping[str, str] | None = None
) -> bytes:
    """The `files: metadata` document in `form` (`yaml` or `json`).

    `canonical` maps image names to canonical ones; volumes keep theirs, as in LinuxKit.
    """
    names = canonical or {}
    renamed = renamed_images(config, lambda name, _: names.get(name, name))
    # Whose signatures the builder required, how it is tested and how large it may be: the system
    # needs none of it.
    document = _document(
        renamed._replace(volumes=config.volumes, trust=None, test=None, budget=None)
    )
    if form == "yaml":
        return yaml_text(document, indent=2, dashes_indented=False).encode()
    # LinuxKit writes empty sections of the JSON form as null.
    sections = {key: None if value == [] else value for key, value in document.items()}
    text = json.dumps(sections, indent=4, ensure_ascii=False)
    return re.sub(ESCAPED, lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def resolved_yaml(config: Config, *, with_origins: bool) -> str:
    """What `config` says and nothing else, each value with a comment saying where it comes from, if
    asked for."""
    comments = (
        {path: _origin(mark) for path, mark in origins(config).items()} if with_origins else {}
    )
    return yaml_text(_resolved(config), indent=2, dashes_indented=False, comments=comments)


def resolved_json(config: Config) -> str:
    """The same as JSON."""
    return json.dumps(_resolved(config), indent=2, ensure_ascii=False)


def _resolved(config: Config) -> dict[str, Any]:
    """What is left of `${` is meant so: it is escaped, and an empty `variables` says that escapes
    count."""
    document = _record(config, CONFIG, full=False)
    protected: dict[str, Any] = escaped(document)
    return document if protected == document else {"variables": {}, **protected}


def _origin(mark: Mark) -> str:
    place = f"{mark.file}:{mark.line}" if mark.line else mark.file
    text = f"{place} ({mark.note})" if mark.note else place
    return "".join(character if character.isprintable() else "?" for character in text)


def _document(config: Config) -> dict[str, Any]:
    """Plain values in LinuxKit's key order, keys as in the YAML; sections are there even when they
    are empty."""
    return _record(config._replace(kernel=config.kernel or Kernel()), CONFIG)


def _plain(value: Any, kind: Any, *, full: bool) -> Any:
    if isinstance(kind, Record):
        return _entry(value, full=full) if kind is ENTRY else _record(value, kind, full=full)
    if isinstance(kind, ListOf):
        return [_plain(item, kind.item, full=full) for item in value]
    if isinstance(kind, MapOf):
        return {name: _record(item, kind.item, full=full) for name, item in value.items()}
    if isinstance(kind, Words):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def _record(value: Any, kind: Record, *, full: bool = True) -> dict[str, Any]:
    """The keys of `value`; `full` adds what LinuxKit always prints."""
    printed = {}
    for key, field in kind.fields.items():
        inner = getattr(value, field.name) if field.name else None
        if full:
            inner = field.always if inner is None else inner
        elif (kind is CONFIG and inner == ()) or (
            inner is False and key not in _given(value, kind)
        ):
            inner = None
        if inner is not None:
            printed[key] = _plain(inner, field.kind, full=full)
    return printed


def _given(value: Any, kind: Record) -> Collection[str]:
    """Keys that the YAML says, where that is known: a flag that is false may not be among them."""
    mark: Mark | None = getattr(value, "mark", None)
    return kind.fields if mark is None else mark.inner or ()


def _entry(value: ImageEntry, *, full: bool) -> dict[str, Any]:
    return {
        "name": value.name,
        "image": value.image,
        **_record(value.settings, SETTINGS, full=full),
    }
