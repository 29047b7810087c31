"""Layers laid over each other: the one tree that an image means (OCI image spec, layer.md,
"Applying Changesets").

May touch: the store, for the layers' indexes and the finished tree. Later layers win; whiteouts
hide only what is below their own layer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import suppress

from compos.errors import ComposError
from compos.image.derived_kinds import DerivedKind
from compos.image.model import Descriptor, Image
from compos.image.store import Store
from compos.progress import task, threads
from compos.tree import record
from compos.tree.layer import Layer, is_read, read_layer
from compos.tree.node import Tree
from compos.tree.overlay import Overlay

__all__ = ["flatten", "image_tree", "unpack"]

KIND = DerivedKind.TREE


def image_tree(store: Store, image: Image) -> Tree:
    """The flattened tree of `image`, kept in the store under its manifest's digest. Raises
    `ImageError`.

    Directories that no layer names are left out: laid over another tree they would hide a symbolic
    link of that name.
    """
    key = f"{image.digest.replace(':', '-')}-v{KIND.version}"
    if (tree := record.load_tree(store.derived(KIND, key), KIND, store)) is not None:
        return tree
    overlay = flatten((read_layer(store, layer, image.name) for layer in image.layers), image.name)
    tree = overlay.named()
    with store.derive(KIND, key) as path:
        record.save_tree(path, KIND, tree)
    return tree


def unpack(store: Store, images: Iterable[Image]) -> None:
    """Read the layers that no build has read, two at a time, the largest first: decompressors leave
    Python's lock.

    What is wrong with one is told by whoever asks for its image.
    """
    lacking = {
        layer: image.name for image in images for layer in image.layers if not is_read(store, layer)
    }
    if len(lacking) < 2:
        return

    def read(layer: Descriptor) -> None:
        with suppress(ComposError):
            read_layer(store, layer, lacking[layer])

    with task("unpack"), threads(2) as pool:
        deque(pool.map(read, sorted(lacking, key=lambda layer: -layer.size)), maxlen=0)


def flatten(layers: Iterable[Layer], image: str) -> Overlay:
    """`layers` laid over each other, lowest first; `image` is named in errors."""
    overlay = Overlay(image)
    for layer in layers:
        overlay.apply(layer)
    return overlay
