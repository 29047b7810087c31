"""Which images a configuration names. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from compos.config.check import FAMILY
from compos.config.model import Config, ImageEntry, Mark, Volume

__all__ = [
    "SECTIONS",
    "image_locations",
    "image_marks",
    "image_references",
    "layout_volumes",
    "location_marks",
    "registry_of_bricks",
    "renamed_images",
]

SECTIONS = ("onboot", "onshutdown", "services")
"""Sections with containers, in the order in which they are laid out and numbered."""


def image_locations(config: Config) -> Iterator[tuple[str, str]]:
    """Every image whose files `config` needs, in order: where it stands (`init[0]`, `volume[1]`)
    and its name."""
    if config.kernel and config.kernel.image:
        yield "kernel", config.kernel.image
    yield from ((f"init[{number}]", name) for number, name in enumerate(config.init))
    for number, volume in enumerate(config.volumes):
        if volume.image and volume.format != "oci":
            yield f"volume[{number}]", volume.image
    for section in SECTIONS:
        entries: tuple[ImageEntry, ...] = getattr(config, section)
        yield from ((f"{section}[{number}]", entry.image) for number, entry in enumerate(entries))


def image_references(config: Config) -> Iterator[str]:
    """The names of these images, with repetitions."""
    return (name for _, name in image_locations(config))


def layout_volumes(config: Config) -> Iterator[tuple[Volume, str]]:
    """The volumes that hold an image as an OCI layout, and the image's name."""
    for volume in config.volumes:
        if volume.image and volume.format == "oci":
            yield volume, volume.image


def registry_of_bricks(config: Config) -> str:
    """The registry that `config` takes our bricks from; empty if it names none."""
    return "" if config.bricks in (None, FAMILY) else config.bricks or ""


def location_marks(config: Config) -> dict[str, Mark]:
    """The place of each entry's image in the YAML, or of the entry, by where it stands, as in
    `image_locations`; `files[0]` are the entries of `files`."""
    marks = {f"init[{number}]": mark for number, mark in enumerate(config.init_marks)}
    if config.kernel:
        marks["kernel"] = config.kernel.mark.at("image")
    for section, name in (*((name, name) for name in SECTIONS), ("volumes", "volume")):
        for number, entry in enumerate(getattr(config, section)):
            marks[f"{name}[{number}]"] = entry.mark.at("image")
    marks.update((f"files[{number}]", entry.mark) for number, entry in enumerate(config.files))
    return marks


def image_marks(config: Config) -> dict[str, Mark]:
    """Where each image is named first, for errors about it."""
    marks: dict[str, Mark] = {}
    if config.kernel and config.kernel.image:
        marks[config.kernel.image] = config.kernel.mark.at("image")
    for name, mark in zip(config.init, config.init_marks, strict=False):
        marks.setdefault(name, mark)
    entries = (
        *config.volumes,
        *(entry for section in SECTIONS for entry in getattr(config, section)),
    )
    for entry in entries:
        if entry.image:
            marks.setdefault(entry.image, entry.mark.at("image"))
    return marks


def renamed_images(config: Config, rename: Callable[[str, Mark], str]) -> Config:
    """`config` with other names for its images: what `rename` gives for a name and its place."""
    kernel = config.kernel
    if kernel is not None and kernel.image:
        kernel = kernel._replace(image=rename(kernel.image, kernel.mark.at("image")))
    marks = config.init_marks or (Mark(),) * len(config.init)

    def renamed(entries: tuple[ImageEntry, ...]) -> tuple[ImageEntry, ...]:
        return tuple(one._replace(image=rename(one.image, one.mark.at("image"))) for one in entries)

    return config._replace(
        kernel=kernel,
        init=tuple(rename(text, mark) for text, mark in zip(config.init, marks, strict=True)),
        volumes=tuple(
            one._replace(image=rename(one.image, one.mark.at("image"))) if one.image else one
            for one in config.volumes
        ),
        onboot=renamed(config.onboot),
        onshutdown=renamed(config.onshutdown),
        services=renamed(config.services),
    )
