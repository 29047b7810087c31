"""An image with its platforms as it was published: the blobs of an OCI layout, complete in the store (reference 3.6).

May touch: the store, and the network through `Registry`. For volumes of the format `oci`, whose image is data for something
in the system (an installer, a registry) rather than a root filesystem.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from compos.errors import ImageError
from compos.image.model import MANIFEST_TYPES, Descriptor, Index, Manifest, parse_document, wrong_platform
from compos.image.platform import Platform

__all__ = ["ImageLayout", "read_layout", "require_platforms"]

Read = Callable[[Descriptor], bytes]
"""Gives the bytes of a manifest, an index or a config."""


class ImageLayout(NamedTuple):
    """An image's `root` (an index, or a single manifest) and all `blobs` below it that were asked for, `root` included.

    Each blob stands once, in the order in which LinuxKit lays them down.
    """

    name: str
    root: Descriptor
    blobs: tuple[Descriptor, ...]


def read_layout(name: str, root: Descriptor, platforms: Sequence[Platform] | None, read: Read) -> ImageLayout:
    """The layout of `root` with the manifests for `platforms`, or with all, attestations included, when that is None.

    The index itself stays as it is, and names other platforms too. Raises `ImageError` (`image-platform`, `image-malformed`,
    `image-media-type`).
    """
    # The store's annotations are not the image's.
    root = Descriptor(root.media_type, root.digest, root.size)
    blobs: dict[str, Descriptor] = {}
    _, document = parse_document(read(root), media_type=root.media_type)
    if isinstance(document, Manifest):
        _collect(name, root, document, blobs)
    else:
        for manifest in _chosen(name, document, platforms):
            _, inner = parse_document(read(manifest), media_type=manifest.media_type)
            if isinstance(inner, Index):
                raise ImageError("image-media-type", "the image is an index inside an index", place=name)
            _collect(name, manifest, inner, blobs)
        blobs[root.digest] = root
    return ImageLayout(name, root, tuple(blobs.values()))


def require_platforms(layout: ImageLayout, platforms: Sequence[Platform] | None, config_platform: Platform) -> None:
    """Raise `ImageError` when a single image, whose config says `config_platform`, is for another platform."""
    for platform in platforms or ():
        if not config_platform.offers(Platform(platform.os, platform.architecture)):
            raise wrong_platform(layout.name, platform, [config_platform])


def _collect(name: str, manifest: Descriptor, document: Manifest, blobs: dict[str, Descriptor]) -> None:
    document.require_distributable(name)
    for blob in (document.config, *document.layers, manifest):
        blobs.setdefault(blob.digest, blob)


def _chosen(name: str, index: Index, platforms: Sequence[Platform] | None) -> list[Descriptor]:
    images = [one for one in index.manifests if one.media_type in MANIFEST_TYPES]
    if platforms is None:
        return images
    chosen = []
    for platform in platforms:
        found = [one for one in images if one.platform and one.platform.offers(platform)]
        if not found:
            raise wrong_platform(name, platform, [one.platform for one in images if one.platform])
        chosen += found
    return list(dict.fromkeys(chosen))
