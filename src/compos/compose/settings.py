"""What a container really gets: the YAML's settings over the image label's over the image's own
(docs/linuxkit.md#1.5)."""

from __future__ import annotations

from typing import Any

from compos.config.load import SETTINGS_LABEL, decode_label
from compos.config.model import BindNs, Runtime, Settings
from compos.image.model import Image

__all__ = ["label_settings", "merge_settings", "surviving_label"]

TEXT_FIELDS = ("cwd", "net", "ipc", "uts", "pid", "userns", "hostname")
"""Merge class "str": an empty string does not override."""

ADDED = {"capabilities": "capabilities_add", "binds": "binds_add"}
"""Merge class "add": the label's list and then the YAML's `.add`, unless the YAML has the plain
key."""


def label_settings(image: Image) -> Settings:
    """What the image's label says; nothing where it has none. Raises `ConfigError` or
    `CombinedError` for one that cannot be read."""
    return decode_label(image.config.labels.get(SETTINGS_LABEL, ""), image.name)


def merge_settings(yaml: Settings, image: Image) -> tuple[Settings, frozenset[str]]:
    """The merged settings of a container of `image`, and the names of the fields whose value is the
    label's. Raises as `label_settings` does."""
    base = label_settings(image)
    values: dict[str, Any] = {}
    from_label = set()
    for name, own, theirs in zip(Settings._fields, yaml, base, strict=True):
        overrides = _overrides(name, own)
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
        merged = merged._replace(command=(*image.config.entrypoint, *image.config.cmd))
    if merged.env is None:
        merged = merged._replace(env=image.config.env)
    if not merged.cwd:
        merged = merged._replace(cwd=image.config.working_dir or "/")
    return merged, frozenset(from_label)


def _overrides(name: str, own: object) -> bool:
    """Whether the YAML's value `own` of a field counts, and not the label's."""
    return bool(own) if name in TEXT_FIELDS else own is not None


def surviving_label(yaml: Settings, label: Settings) -> Settings:
    """What of the label counts beside the YAML: the rest is empty."""
    yaml_runtime, label_runtime = yaml.runtime or Runtime(), label.runtime or Runtime()
    runtime = Runtime(
        **{
            name: None
            if getattr(yaml_runtime, name) is not None and name != "bind_ns"
            else getattr(label_runtime, name)
            for name in Runtime._fields
        }
    )
    values: dict[str, Any] = {
        name: None if _overrides(name, own) else theirs
        for name, own, theirs in zip(Settings._fields, yaml, label, strict=True)
    }
    # The label's `.add` says nothing.
    return Settings(**{**values, **dict.fromkeys(ADDED.values()), "runtime": runtime})


def _merge_runtime(yaml: Runtime | None, label: Runtime | None) -> Runtime:
    """Each sub-field by itself; `bindNS` each namespace by itself (docs/linuxkit.md#1.14)."""
    own, theirs = yaml or Runtime(), label or Runtime()
    values: dict[str, Any] = {
        name: getattr(own, name) if getattr(own, name) is not None else getattr(theirs, name)
        for name in Runtime._fields
    }
    if own.bind_ns is not None and theirs.bind_ns is not None:
        kinds = {
            name: getattr(own.bind_ns, name)
            if getattr(own.bind_ns, name) is not None
            else getattr(theirs.bind_ns, name)
            for name in BindNs._fields
        }
        values["bind_ns"] = BindNs(**kinds)
    return Runtime(**values)
