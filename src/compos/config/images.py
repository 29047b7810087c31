"""Which images a configuration names. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compos.config.model import Config, ImageEntry, Mark

__all__ = ["SECTIONS", "image_marks", "image_references"]

SECTIONS = ("onboot", "onshutdown", "services")
"""Sections with containers, in the order in which they are laid out and numbered."""


def image_references(config: Config) -> Iterator[str]:
    """Every image that `config` names, in order, with repetitions."""
    if config.kernel and config.kernel.image:
        yield config.kernel.image
    yield from config.init
    yield from (volume.image for volume in config.volumes if volume.image)
    for section in SECTIONS:
        entries: tuple[ImageEntry, ...] = getattr(config, section)
        yield from (entry.image for entry in entries)


def image_marks(config: Config) -> dict[str, Mark]:
    """Where each image is named first, for errors about it."""
    marks: dict[str, Mark] = {}
    if config.kernel and config.kernel.image:
        marks[config.kernel.image] = config.kernel.mark.at("image")
    for name, mark in zip(config.init, config.init_marks, strict=False):
        marks.setdefault(name, mark)
    entries = (*config.volumes, *(entry for section in SECTIONS for entry in getattr(config, section)))
    for entry in entries:
        if entry.image:
            marks.setdefault(entry.image, entry.mark.at("image"))
    return marks
