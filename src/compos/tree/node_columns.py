"""Nodes column by column, as records have them: one is made when it is looked at. Pure.

As objects of Python a file's node and slice take 300 bytes, in columns 60.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice
from typing import NamedTuple

from compos.tree.node import Hole, Node, Piece, Slice
from compos.tree.packed import HOLE, INLINE, SLICE, sliced

__all__ = ["Attributes", "NodeColumns", "PieceColumns"]


class PieceColumns(NamedTuple):
    """Pieces: what each is (`kinds`); the inline ones, the sizes of holes, and of slices the number
    of the source, the offset and the size."""

    sources: Sequence[str]
    kinds: Sequence[int]
    inline: Sequence[bytes]
    holes: Sequence[int]
    which: Sequence[int]
    offsets: Sequence[int]
    sizes: Sequence[int]

    @property
    def are_slices(self) -> bool:
        """Whether there are no others."""
        return len(self.kinds) == len(self.which)


class Attributes(NamedTuple):
    """Fields of nodes, one value for each; `keys` and `values` are those of extended attributes,
    `counts` how many of these each node has, and `parts` how many pieces."""

    names: Sequence[str]
    kinds: Sequence[int]
    modes: Sequence[int]
    uids: Sequence[int]
    gids: Sequence[int]
    mtimes: Sequence[int]
    sizes: Sequence[int]
    links: Sequence[str]
    inodes: Sequence[str]
    majors: Sequence[int]
    minors: Sequence[int]
    counts: Sequence[int]
    keys: Sequence[str]
    values: Sequence[bytes]
    parts: Sequence[int]


class NodeColumns:
    """Nodes by number, and in ranges of numbers. The columns are not changed."""

    def __init__(self, attributes: Attributes, pieces: PieceColumns) -> None:
        self.names = attributes.names
        self.sizes = attributes.sizes
        self.kinds = attributes.kinds
        self._attributes = attributes
        self._pieces = pieces
        # Where the pieces and extended attributes of each node begin.
        self._first_piece = array("I", accumulate(attributes.parts, initial=0))
        self._first_xattr = (
            array("I", accumulate(attributes.counts, initial=0)) if attributes.keys else None
        )
        self._ranks = None if pieces.are_slices else _ranks(pieces.kinds)

    def __len__(self) -> int:
        return len(self.names)

    def node(self, number: int, inodes: str = "") -> Node:
        """One node; `inodes` stands in front of the name that hard links share."""
        of = self._attributes
        inode = of.inodes[number]
        first, end = self._first_piece[number : number + 2]
        return Node(
            chr(of.kinds[number]),
            of.modes[number],
            of.uids[number],
            of.gids[number],
            of.mtimes[number],
            of.sizes[number],
            tuple(map(self._piece, range(first, end))),
            of.links[number],
            (of.majors[number], of.minors[number]),
            self._xattrs(number),
            f"{inodes}{inode}" if inode else "",
        )

    def nodes(self, start: int, stop: int, inodes: str = "") -> Iterator[Node]:
        """The nodes from `start` to `stop`, likewise."""
        of = self._attributes
        here = slice(start, stop)
        names: Iterable[str] = of.inodes[here]
        if inodes:
            names = (f"{inodes}{inode}" if inode else "" for inode in names)
        fields = (
            map(chr, of.kinds[here]),
            of.modes[here],
            of.uids[here],
            of.gids[here],
            of.mtimes[here],
            of.sizes[here],
            self._contents(start, stop),
            of.links[here],
            zip(of.majors[here], of.minors[here], strict=True),
            map(self._xattrs, range(start, stop)) if any(of.counts[here]) else _none(stop - start),
            names,
        )
        return map(Node._make, zip(*fields, strict=True))

    def _contents(self, start: int, stop: int) -> Iterator[tuple[Piece, ...]]:
        first, end = self._first_piece[start], self._first_piece[stop]
        of = self._pieces
        pieces = (
            sliced(of.sources, of.which[first:end], of.offsets[first:end], of.sizes[first:end])
            if self._ranks is None
            else map(self._piece, range(first, end))
        )
        counts = self._attributes.parts[start:stop]
        return (tuple(islice(pieces, count)) if count else () for count in counts)

    def _piece(self, number: int) -> Piece:
        of = self._pieces
        at = number if self._ranks is None else self._ranks[number]
        kind = of.kinds[number]
        if kind == SLICE:
            return Slice(of.sources[of.which[at]], of.offsets[at], of.sizes[at])
        return Hole(of.holes[at]) if kind == HOLE else of.inline[at]

    def _xattrs(self, number: int) -> tuple[tuple[str, bytes], ...]:
        if self._first_xattr is None:
            return ()
        of = self._attributes
        here = slice(*self._first_xattr[number : number + 2])
        return tuple(zip(of.keys[here], of.values[here], strict=True))


def _none(count: int) -> Iterator[tuple[tuple[str, bytes], ...]]:
    return iter([()] * count)


def _ranks(kinds: Iterable[int]) -> array[int]:
    """Which of its kind each piece is."""
    seen = {INLINE: 0, HOLE: 0, SLICE: 0}
    ranks = array("I")
    for kind in kinds:
        ranks.append(seen[kind])
        seen[kind] += 1
    return ranks
