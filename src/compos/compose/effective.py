"""What containers get in the end: the YAML's settings over those of the images' labels and configs,
with where each comes from.

Pure. For people (`compos config --images`); a build merges the same way on its own (`settings`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compos.compose.powers import powers
from compos.compose.settings import label_settings, merge_settings, surviving_label
from compos.config.fields import SETTINGS
from compos.config.kinds import ListOf, MapOf, Record, TextMap
from compos.config.model import Config, ImageEntry, Mark, Runtime
from compos.image.model import Image

__all__ = ["effective_config"]

ADDED = {"capabilities": "capabilities.add", "binds": "binds.add"}
"""Keys with another one that adds to them; merged, there is only the first."""


def effective_config(config: Config, images: Mapping[str, Image]) -> Config:
    """`config` with everything that labels and image configs add to its containers; `images` has
    those that it names.

    Raises `ConfigError` for a label that cannot be read.
    """

    def merged(entries: tuple[ImageEntry, ...]) -> tuple[ImageEntry, ...]:
        return tuple(_entry(entry, images[entry.image]) for entry in entries)

    return config._replace(
        onboot=merged(config.onboot),
        onshutdown=merged(config.onshutdown),
        services=merged(config.services),
    )


def _entry(entry: ImageEntry, image: Image) -> ImageEntry:
    label = label_settings(image)
    settings, _ = merge_settings(entry.settings, image)
    if settings.runtime == Runtime():
        settings = settings._replace(runtime=None)
    mighty = {power.key for power in powers(surviving_label(entry.settings, label))}
    places = entry.mark.inner or {}
    inner = {
        path: mark for path, mark in places.items() if not path.startswith(tuple(ADDED.values()))
    }
    for key, field in SETTINGS.fields.items():
        value, own = getattr(settings, field.name), getattr(entry.settings, field.name)
        if value is None or value == own:
            continue
        theirs = getattr(label, field.name)
        source = Mark(
            f"image {image.name}" if theirs is None else f"label of {image.name}",
            note="power over the machine" if key in mighty else "",
        )
        for path in _leaves(value, field.kind, key):
            inner.setdefault(path, source)
        if key in ADDED:
            for number, item in enumerate(getattr(entry.settings, f"{field.name}_add") or ()):
                if item not in (theirs or ()):
                    inner[f"{key}[{value.index(item)}]"] = places[f"{ADDED[key]}[{number}]"]
    return entry._replace(settings=settings, mark=entry.mark._replace(inner=inner))


def _leaves(value: Any, kind: Any, path: str) -> Iterator[str]:
    """Paths of everything single in a setting."""
    if isinstance(kind, Record):
        for key, field in kind.fields.items():
            inner = getattr(value, field.name) if field.name else None
            if inner is not None:
                yield from _leaves(inner, field.kind, f"{path}.{key}")
    elif isinstance(kind, ListOf) and value:
        for number, item in enumerate(value):
            yield from _leaves(item, kind.item, f"{path}[{number}]")
    elif isinstance(kind, MapOf) and value:
        for key, item in value.items():
            yield from _leaves(item, kind.item, f"{path}.{key}")
    elif isinstance(kind, TextMap) and value:
        yield from (f"{path}.{key}" for key in value)
    else:
        yield path
