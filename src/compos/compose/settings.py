"""What a container really gets: the YAML's settings over the image label's over the image's own (reference 1.5)."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from compos.config.model import Runtime, Settings
from compos.image.model import ImageConfig

__all__ = ["LABEL", "merge_settings"]

LABEL = "org.mobyproject.config"
"""The one label that is read; its value is YAML."""

TEXT_FIELDS = ("cwd", "net", "ipc", "uts", "pid", "userns", "hostname")
"""Merge class "str": an empty string does not override."""

ADDED = {"capabilities": "capabilities_add", "binds": "binds_add"}
"""Merge class "add": the label's list and then the YAML's `.add`, unless the YAML has the plain key."""


def merge_settings(yaml: Settings, label: Settings | None, image: ImageConfig) -> tuple[Settings, frozenset[str]]:
    """The merged settings and the names of the fields whose value is the label's."""
    base = label or Settings()
    values: dict[str, Any] = {}
    from_label = set()
    for field in fields(Settings):
        name = field.name
        own, theirs = getattr(yaml, name), getattr(base, name)
        overrides = bool(own) if name in TEXT_FIELDS else own is not None
        if not overrides and theirs is not None:
            from_label.add(name)
        values[name] = own if overrides else theirs
    for name, added in ADDED.items():
        extra = getattr(yaml, added)
        if getattr(yaml, name) is None and extra is not None:
            from_label.discard(name)
            values[name] = tuple(dict.fromkeys((*(getattr(base, name) or ()), *extra)))
        values[added] = None
    values["runtime"] = _merge_runtime(yaml.runtime, base.runtime)
    merged = Settings(**values)
    if merged.command is None:
        merged = replace(merged, command=(*image.entrypoint, *image.cmd))
    if merged.env is None:
        merged = replace(merged, env=image.env)
    if not merged.cwd:
        merged = replace(merged, cwd=image.working_dir or "/")
    return merged, frozenset(from_label)


def _merge_runtime(yaml: Runtime | None, label: Runtime | None) -> Runtime:
    """Each sub-field by itself; `bindNS` each namespace by itself (reference 1.14)."""
    own, theirs = yaml or Runtime(), label or Runtime()
    values: dict[str, Any] = {
        field.name: getattr(own, field.name) if getattr(own, field.name) is not None else getattr(theirs, field.name)
        for field in fields(Runtime)
    }
    if own.bind_ns is not None and theirs.bind_ns is not None:
        kinds = {
            field.name: getattr(own.bind_ns, field.name)
            if getattr(own.bind_ns, field.name) is not None
            else getattr(theirs.bind_ns, field.name)
            for field in fields(own.bind_ns)
        }
        values["bind_ns"] = replace(own.bind_ns, **kinds)
    return Runtime(**values)
