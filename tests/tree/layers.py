"""The tree of layers that stand in a test."""

from __future__ import annotations

from pathlib import Path

from compos.image.model import LAYER_TAR, Image, ImageConfig
from compos.image.store import Store
from compos.tree.flatten import image_tree
from compos.tree.node import Tree

__all__ = ["tree_of"]


def tree_of(root: Path, *tars: bytes) -> Tree:
    store = Store(root / "store")
    blobs = tuple(store.put(tar, LAYER_TAR) for tar in tars)
    tree = image_tree(
        store,
        Image("example/app:1", "sha256:" + "0" * 64, ImageConfig("amd64", "linux"), blobs, ""),
    )
    return dict(tree.items())
