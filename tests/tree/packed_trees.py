"""Packed trees, as they come out of a store."""

from __future__ import annotations

from pathlib import Path

from compos.image.derived_kinds import DerivedKind
from compos.image.store import Store
from compos.tree import record
from compos.tree.node import Tree
from compos.tree.packed_tree import PackedTree


def packed_of(tree: Tree, folder: Path) -> PackedTree:
    """`tree`, whose contents are inline, by way of a record."""
    record.save_tree(folder / "record", DerivedKind.TREE, tree)
    found = record.load_tree(folder / "record", DerivedKind.TREE, Store(folder / "store"))
    assert found is not None
    return found
