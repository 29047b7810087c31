"""Entries: the paths of a tree with their nodes, sorted. Pure.

They are parts, one behind the other: nodes in lists, and ranges of packed trees
(`tree.packed_tree`), whose nodes are made when they are looked at, and forgotten.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, compress
from typing import TYPE_CHECKING, TypeAlias, overload

from compos.tree.node import Node

if TYPE_CHECKING:
    from compos.tree.packed_tree import PackedRange

__all__ = ["Entries", "Listed", "Part", "has_below"]

_BATCH = 1024
"""Nodes whose text is made at a time."""


def has_below(paths: Sequence[str], folder: str) -> bool:
    """Whether one of `paths`, which are sorted, is below `folder`."""
    at = bisect_left(paths, f"{folder}/")
    return at < len(paths) and paths[at].startswith(f"{folder}/")


class Listed(Sequence[tuple[str, Node]]):
    """(path, node) pairs as two lists: a pair of each costs 64 bytes, four times as much as the
    places in lists; it is made when it is looked at."""

    __slots__ = ("_paths", "nodes")

    def __init__(self, paths: list[str], nodes: list[Node]) -> None:
        self._paths = paths
        self.nodes = nodes

    def append(self, path: str, node: Node) -> None:
        """Put one behind the others."""
        self._paths.append(path)
        self.nodes.append(node)

    def where(self, keep: Callable[[str], bool]) -> Listed:
        """Those whose paths are to be kept."""
        kept = [*map(keep, self._paths)]
        return Listed([*compress(self._paths, kept)], [*compress(self.nodes, kept)])

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[tuple[str, Node]]:
        return zip(self._paths, self.nodes, strict=True)

    @overload
    def __getitem__(self, at: int) -> tuple[str, Node]: ...

    @overload
    def __getitem__(self, at: slice) -> Listed: ...

    def __getitem__(self, at: int | slice) -> tuple[str, Node] | Listed:
        if isinstance(at, slice):
            return Listed(self._paths[at], self.nodes[at])
        return self._paths[at], self.nodes[at]

    def path(self, at: int) -> str:
        """One path."""
        return self._paths[at]

    def paths(self) -> Iterator[str]:
        """All paths."""
        return iter(self._paths)

    def bisect(self, path: str) -> int:
        """Where the first path is that is not less than `path`."""
        return bisect_left(self._paths, path)

    def sizes(self) -> Sequence[int]:
        """The sizes of all nodes."""
        return [node.size for node in self.nodes]

    def texts(self) -> Iterator[str]:
        """Texts of which the pairs follow."""
        for start in range(0, len(self), _BATCH):
            yield ", ".join(map(repr, self[start : start + _BATCH]))


Part: TypeAlias = "Listed | PackedRange"


class Entries(Sequence[tuple[str, Node]]):
    """A sequence of (path, node) pairs, sorted by path. It is not changed."""

    __slots__ = ("_ends", "parts")

    def __init__(self, parts: Iterable[Part]) -> None:
        self.parts = tuple(part for part in parts if part)
        self._ends = [*accumulate(map(len, self.parts))]

    @classmethod
    def over(cls, pairs: Sequence[tuple[str, Node]]) -> Entries:
        """Pairs in any sequence, in their order; `bisect` and what needs it works if they are
        sorted."""
        if isinstance(pairs, Entries):
            return pairs
        return cls([Listed([path for path, _ in pairs], [node for _, node in pairs])])

    @classmethod
    def of(cls, tree: Mapping[str, Node], others: Iterable[Part] = ()) -> Entries:
        """The nodes of a tree and of `others`, between whose paths the tree has none."""
        paths = sorted(tree)
        parts: list[Part] = []
        done = 0
        for part in sorted((one for one in others if one), key=lambda one: one.path(0)):
            at = bisect_left(paths, part.path(0), done)
            parts += (_listed(paths[done:at], tree), part)
            done = at
        parts.append(_listed(paths[done:], tree))
        return cls(parts)

    def paths(self) -> Iterator[str]:
        """All paths."""
        return chain.from_iterable(part.paths() for part in self.parts)

    def get(self, path: str) -> Node | None:
        """The node at `path`, if there is one."""
        at = self.bisect(path)
        if at == len(self) or self.path(at) != path:
            return None
        return self[at][1]

    def bisect(self, path: str) -> int:
        """Where the first path is that is not less than `path`."""
        number = bisect_right(self.parts, path, key=lambda part: part.path(0)) - 1
        if number < 0:
            return 0
        return self._ends[number] - len(self.parts[number]) + self.parts[number].bisect(path)

    def span(self, folder: str) -> tuple[int, int]:
        """Where those begin and end whose paths begin with `folder`, which ends with a slash."""
        # What follows them all begins with the character after it.
        return self.bisect(folder), self.bisect(f"{folder[:-1]}0")

    def outside(self, folder: str) -> Entries:
        """All but those whose paths begin with `folder`, which ends with a slash."""
        start, stop = self.span(folder)
        return self if start == stop else Entries((*self[:start].parts, *self[stop:].parts))

    def without(self, paths: Collection[str]) -> Entries:
        """Those that are not at `paths`."""
        return Entries(chain.from_iterable(_without(part, paths) for part in self.parts))

    def from_size(self, size: int) -> Iterator[int]:
        """The numbers of those that have `size` bytes or more."""
        first = 0
        for part in self.parts:
            for number, own in enumerate(part.sizes(), first):
                if own >= size:
                    yield number
            first += len(part)

    def size(self) -> int:
        """Bytes of all of them."""
        return sum(sum(part.sizes()) for part in self.parts)

    def texts(self) -> Iterator[str]:
        """Texts of which the pairs follow, whatever these are."""
        return chain.from_iterable(part.texts() for part in self.parts)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[tuple[str, Node]]:
        return chain.from_iterable(self.parts)

    @overload
    def __getitem__(self, at: int) -> tuple[str, Node]: ...

    @overload
    def __getitem__(self, at: slice) -> Entries: ...

    def __getitem__(self, at: int | slice) -> tuple[str, Node] | Entries:
        if isinstance(at, slice):
            start, stop, _ = at.indices(len(self))
            return Entries(self._cut(start, stop))
        part, number = self._place(range(len(self))[at])
        return part[number]

    def path(self, at: int) -> str:
        """The path of one of them, counted from the beginning."""
        part, number = self._place(at)
        return part.path(number)

    def _place(self, at: int) -> tuple[Part, int]:
        number = bisect_right(self._ends, at)
        part = self.parts[number]
        return part, at - self._ends[number] + len(part)

    def _cut(self, start: int, stop: int) -> Iterator[Part]:
        for part, end in zip(self.parts, self._ends, strict=True):
            first = end - len(part)
            if first < stop and start < end:
                yield part[max(start - first, 0) : stop - first]


def _listed(paths: list[str], tree: Mapping[str, Node]) -> Listed:
    return Listed(paths, [tree[path] for path in paths])


def _without(part: Part, paths: Collection[str]) -> Iterator[Part]:
    if isinstance(part, Listed):
        yield part.where(lambda path: path not in paths)
        return
    start = 0
    for at in sorted(
        at
        for path in paths
        if path.startswith(part.folder)
        and (at := part.bisect(path)) < len(part)
        and part.path(at) == path
    ):
        yield part[start:at]
        start = at + 1
    yield part[start:]
