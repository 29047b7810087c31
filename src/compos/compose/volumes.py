"""Volumes: writable or read-only folders shared by containers, empty or filled from an image (reference 3.6).

May touch: the store.
"""

from __future__ import annotations

from collections.abc import Callable

from compos.compose.component import Component
from compos.compose.root import EPOCH, laid_out, prefixed, with_ancestors
from compos.config.model import Volume
from compos.errors import ConfigError
from compos.image.model import Image
from compos.image.store import Store
from compos.tree.flatten import image_tree
from compos.tree.node import directory

__all__ = ["volume_component"]


def volume_component(store: Store, number: int, volume: Volume, images: Callable[[str], Image]) -> Component:
    """`containers/volumes/NAME/` with `lower`, `tmp` and `merged`. Raises `ConfigError`, `ImageError`."""
    if volume.image and volume.format == "oci":
        raise ConfigError(
            "volume-format",
            f"the volume {volume.name!r} has the format oci, which this version cannot lay out yet",
            place=str(volume.mark),
            hint="Use the format filesystem.",
        )
    base = f"containers/volumes/{volume.name}"
    nodes = with_ancestors(f"{base}/lower/x")
    source = "empty"
    if volume.image:
        image = images(volume.image)
        source = image.name
        nodes.update(prefixed(f"{base}/lower", laid_out(image_tree(store, image), resolv_conf_link=True)))
    nodes[f"{base}/tmp"] = directory(0o755, EPOCH)
    nodes[f"{base}/merged"] = directory(0o755, EPOCH)
    return Component(f"volume[{number}]", source, nodes)
