"""An image with its platforms as it was published: the blobs of an OCI layout, complete in the
store (docs/linuxkit.md#3.6).

May touch: the store, and the network through `Registry`. For volumes of the format `oci`, whose
image is data for something in the system (an installer, a registry) rather than a root filesystem.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from compos.errors import ImageError
from compos.image.model import Descriptor, ImageIndex, Manifest, wrong_platform
from compos.image.platform import Platform
from compos.image.selection import (
    Documents,
    all_manifests,
    indexes_inside,
    read_document,
    select_in,
)
from compos.progress import notice

__all__ = ["ImageLayout", "read_layout", "require_platforms"]


class ImageLayout(NamedTuple):
    """An image's `root` (an index, or a single manifest) and all `blobs` below it that were asked
    for, `root` included.

    Each blob stands once, in the order in which LinuxKit lays them down.
    """

    name: str
    root: Descriptor
    blobs: tuple[Descriptor, ...]


def read_layout(
    name: str, root: Descriptor, platforms: Sequence[Platform] | None, documents: Documents
) -> ImageLayout:
    """The layout of `root` with the manifests for `platforms`, or with all, attestations included,
    when that is None.

    The index itself stays as it is, and names other platforms too. Of all platforms, those are left
    out, with a notice, whose layers registries do not carry, or whose digests cannot be verified.
    Raises `ImageError` (`image-platform`, `image-malformed`, `image-media-type`, `image-digest`).
    """
    # The store's annotations are not the image's.
    root = root.plain
    blobs: dict[str, Descriptor] = {}
    document = read_document(name, root, documents)
    if isinstance(document, Manifest):
        _collect(name, root, document, blobs)
    else:
        for manifest, inner in _chosen(name, document, platforms, documents):
            _collect(name, manifest, inner, blobs)
        blobs.update((inner.digest, inner) for inner in indexes_inside(name, document, documents))
        blobs[root.digest] = root
    return ImageLayout(name, root, tuple(blobs.values()))


def require_platforms(
    layout: ImageLayout, platforms: Sequence[Platform] | None, config_platform: Platform
) -> None:
    """Raise `ImageError` when a single image, whose config says `config_platform`, is for another
    platform."""
    for platform in platforms or ():
        if not config_platform.offers(Platform(platform.os, platform.architecture)):
            raise wrong_platform(layout.name, platform, [config_platform])


def _collect(
    name: str, manifest: Descriptor, document: Manifest, blobs: dict[str, Descriptor]
) -> None:
    document.require_usable(name)
    for blob in (document.config, *document.layers, manifest):
        blobs.setdefault(blob.digest, blob)


def _chosen(
    name: str, index: ImageIndex, platforms: Sequence[Platform] | None, documents: Documents
) -> list[tuple[Descriptor, Manifest]]:
    if platforms is not None:
        selected = [select_in(name, index, platform, documents) for platform in platforms]
        return list(
            {one.descriptor.digest: (one.descriptor, one.manifest) for one in selected}.values()
        )
    found: list[tuple[Descriptor, Manifest]] = []
    reason: ImageError | None = None
    for descriptor, manifest in all_manifests(name, index, documents):
        if isinstance(manifest, ImageError):
            reason = manifest
            notice(
                f"{name}: {descriptor.platform or descriptor.digest} is skipped: {reason.message}"
            )
        else:
            found.append((descriptor, manifest))
    if reason is not None and not found:
        raise reason
    return found
