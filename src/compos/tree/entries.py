"""Entries: paths with their nodes, as two lists. Pure.

A pair of each costs 64 bytes, four times as much as the two places in lists; it is made when it is
looked at, and forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import compress
from typing import overload

from compos.tree.node import Node, Tree

__all__ = ["Entries"]


class Entries(Sequence[tuple[str, Node]]):
    """A sequence of (path, node) pairs. `paths` and `nodes` are of one length, and not changed."""

    __slots__ = ("nodes", "paths")

    def __init__(self, paths: list[str], nodes: list[Node]) -> None:
        self.paths = paths
        self.nodes = nodes

    @classmethod
    def of(cls, tree: Tree) -> Entries:
        """A tree's nodes, sorted by path."""
        paths = sorted(tree)
        return cls(paths, [tree[path] for path in paths])

    def where(self, keep: Callable[[str], bool]) -> Entries:
        """Those whose paths are to be kept."""
        kept = [*map(keep, self.paths)]
        if all(kept):
            return self
        return Entries([*compress(self.paths, kept)], [*compress(self.nodes, kept)])

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[tuple[str, Node]]:
        return zip(self.paths, self.nodes, strict=True)

    @overload
    def __getitem__(self, at: int) -> tuple[str, Node]: ...

    @overload
    def __getitem__(self, at: slice) -> Entries: ...

    def __getitem__(self, at: int | slice) -> tuple[str, Node] | Entries:
        if isinstance(at, slice):
            return Entries(self.paths[at], self.nodes[at])
        return self.paths[at], self.nodes[at]
