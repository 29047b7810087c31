"""What a system's images are made of, and what it has more than once. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from compos.config.images import image_locations
from compos.config.model import Config
from compos.image.model import Image
from compos.output.job import Job
from compos.report.facts import FileFact
from compos.report.sizes import entry_names
from compos.tree.node import FILE

__all__ = ["Duplicate", "ImageUse", "Layer", "Update", "duplicates", "image_uses"]


class Layer(NamedTuple):
    """A layer: its digest, and its bytes as it is in the image."""

    digest: str
    size: int


class Update(NamedTuple):
    """A security update that a brick of the system lacks: the package, its version in the image,
    and the version that there is now. `package` is empty if nobody knows what is in the image."""

    image: str
    package: str
    version: str
    now: str


class ImageUse(NamedTuple):
    """An image and the entries of the YAML that use it."""

    name: str
    digest: str
    layers: tuple[Layer, ...]
    parts: tuple[str, ...]


class Duplicate(NamedTuple):
    """A file of `size` bytes that is at several paths, which are not links to one another; `wasted`
    is what the others beside the first take."""

    size: int
    wasted: int
    paths: tuple[str, ...]


def image_uses(config: Config, images: Mapping[str, Image]) -> tuple[ImageUse, ...]:
    """The images of `config`, which are in `images` by reference, in its order."""
    names = entry_names(config)
    used: dict[str, list[str]] = {}
    for location, reference in image_locations(config):
        used.setdefault(reference, []).append(names.get(location, location))
    return tuple(
        ImageUse(
            images[reference].name,
            images[reference].digest,
            tuple(Layer(layer.digest, layer.size) for layer in images[reference].layers),
            tuple(parts),
        )
        for reference, parts in used.items()
    )


def duplicates(job: Job, files: Mapping[str, FileFact]) -> tuple[Duplicate, ...]:
    """The files with the same contents, the largest waste first; `files` are those of the system of
    `job`."""
    found: dict[str, dict[str, str]] = {}
    for path, node, component in job.system.with_boot():
        if node.kind == FILE and node.size:
            inode = f"{component.location} {node.inode}" if node.inode else path
            found.setdefault(files[path].digest, {}).setdefault(inode, path)
    listed = []
    for paths in found.values():
        if len(paths) > 1:
            names = sorted(paths.values())
            size = files[names[0]].size
            listed.append(Duplicate(size, size * (len(names) - 1), tuple(names)))
    return tuple(sorted(listed, key=lambda one: (-one.wasted, one.paths)))
