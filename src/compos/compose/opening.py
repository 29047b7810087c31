"""What others lay into an image's folder, and what is there already: these few nodes are taken out
of the packed tree, and merged one by one; all others stay packed.

Pure. Where that is not enough (links lead elsewhere, a file takes the place of a folder), all of
the tree is merged node by node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from compos.tree.node import DIRECTORY, Node, ancestors
from compos.tree.overlay import IMPLIED

if TYPE_CHECKING:
    from compos.compose.component import Component
    from compos.tree.packed_tree import PackedTree

__all__ = ["opened"]


def opened(components: Sequence[Component]) -> tuple[list[Component], set[str]]:
    """`components` with those nodes of subtrees in `tree` that others have to do with, or with all;
    and the paths below subtrees' folders that are safe to merge, as all that matters for them is
    in `tree`."""
    folders = {one.subtree.folder: number for number, one in enumerate(components) if one.subtree}
    tops = tuple({f"{folder.partition('/')[0]}/" for folder in folders})
    into: dict[int, list[tuple[str, Node]]] = {}
    for number, path, node in _below(components, tops):
        for folder in ancestors(path):
            inside = folders.get(folder, number)
            if inside != number:
                into.setdefault(inside, []).append((path[len(folder) + 1 :], node))
    found = [*components]
    safe: set[str] = set()
    for number, laid in into.items():
        subtree = components[number].subtree
        nodes = _concerned(subtree.tree, laid) if subtree else None
        if subtree is None or nodes is None:
            found[number] = components[number].unpacked()
        else:
            found[number] = components[number].with_opened(nodes)
            safe.update(f"{subtree.folder}/{name}" for name in nodes)
    return found, safe


def _below(
    components: Sequence[Component], tops: tuple[str, ...]
) -> Iterator[tuple[int, str, Node]]:
    """Everything below the folders `tops`, and whose it is."""
    for number, component in enumerate(components):
        for path, node in component.tree.items():
            if path.startswith(tops):
                yield number, path, node


def _concerned(tree: PackedTree, laid: Iterable[tuple[str, Node]]) -> dict[str, Node | None] | None:
    """What an image has where something is `laid`, and the folders above: None at a path for what
    it does not have. None for all if something is laid that cannot simply replace what is there."""
    nodes: dict[str, Node | None] = {}
    for name, node in laid:
        for folder in ancestors(name):
            nodes[folder] = own = tree.get(folder)
            # What nobody names is like whoever needs it first: the image, which is not merged.
            if own is not None and (own.kind != DIRECTORY or own is IMPLIED):
                return None
        nodes[name] = own = tree.get(name)
        if own is IMPLIED or (own and (own.kind == DIRECTORY) != (node.kind == DIRECTORY)):
            return None
    return nodes
