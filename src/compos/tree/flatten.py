"""Layers laid over each other: the one tree that an image means (OCI image spec, layer.md,
"Applying Changesets").

May touch: the store, for the layers' indexes and the finished tree. Later layers win; whiteouts
hide only what is below their own layer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, MutableMapping
from contextlib import suppress

from compos.errors import ComposError
from compos.image.derived_kinds import DerivedKind
from compos.image.model import Descriptor, Image
from compos.image.store import Store
from compos.progress import task, threads
from compos.tree import record
from compos.tree.layer import Layer, is_read, read_layer
from compos.tree.node import Node
from compos.tree.overlay import Overlay

__all__ = ["flatten", "image_tree", "tree_key", "unpack"]

KIND = DerivedKind.TREE


def image_tree(store: Store, image: Image) -> MutableMapping[str, Node]:
    """The flattened tree of `image`, the caller's own, kept in the store under its manifest's
    digest: packed, where a record can hold it. Raises `ImageError`.

    Directories that no layer names are left out: laid over another tree they would hide a symbolic
    link of that name.
    """
    key = tree_key(image.digest)
    if (found := record.load_tree(store.derived(KIND, key), KIND, store)) is not None:
        return found
    overlay = flatten((read_layer(store, layer, image.name) for layer in image.layers), image.name)
    tree = overlay.named()
    with store.derive(KIND, key) as path:
        record.save_tree(path, KIND, tree)
    found = record.load_tree(store.derived(KIND, key), KIND, store)
    return tree if found is None else found


def tree_key(digest: str) -> str:
    """Under which key the store keeps the tree of the image with this manifest."""
    return f"{digest.replace(':', '-')}-v{KIND.version}"


def unpack(store: Store, images: Iterable[Image]) -> None:
    """Read the layers that no build has read, two at a time, the largest first: decompressors leave
    Python's lock.

    What is wrong with one is told by whoever asks for its image.
    """
    lacking = {
        layer: image.name
        for image in images
        for layer in image.layers
        if store.path(layer.digest).exists() and not is_read(store, layer)
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
