"""Packed pieces: a long output's description in little memory. Pure.

A tar of 100,000 files is 200,000 pieces, of which half are headers: 270 MB as objects of Python,
and 10 MB in columns of numbers and compressed blocks of bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from compos.tree.contents import piece_size
from compos.tree.node import Hole, Piece, Slice

__all__ = [
    "HOLE",
    "INLINE",
    "SLICE",
    "PackedPieces",
    "Pieces",
    "fit",
    "interleaved",
    "packed",
    "sliced",
    "total_size",
]

INLINE, HOLE, SLICE = range(3)
"""What a piece is."""

BLOCK = 1 << 20
"""Bytes. Inline bytes are cut to this at most, and compressed in blocks of less than twice of
it."""

_LEVEL = 1
"""zstd's. Headers are mostly zeros: a higher one saves little."""


class PackedPieces:
    """Pieces by their columns; iterating makes them, as often as one likes.

    `kinds` has one for each piece. `lengths` are those of the inline bytes, which lie one behind
    the other in `blocks`, none across two: the last block is as it is, those before it are zstd
    frames. `holes` are sizes. A slice is a source by its number (`which`), an offset and a size.
    """

    # No data class: a build of what has not changed would import what makes them.
    __slots__ = ("blocks", "holes", "kinds", "lengths", "offsets", "sizes", "sources", "which")

    def __init__(
        self,
        sources: list[str],
        kinds: Sequence[int],
        lengths: Sequence[int],
        blocks: list[bytes],
        holes: Sequence[int],
        which: Sequence[int],
        offsets: Sequence[int],
        sizes: Sequence[int],
    ) -> None:
        self.sources = sources
        self.kinds = kinds
        self.lengths = lengths
        self.blocks = blocks
        self.holes = holes
        self.which = which
        self.offsets = offsets
        self.sizes = sizes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PackedPieces) and all(
            getattr(self, name) == getattr(other, name) for name in self.__slots__
        )

    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[Piece]:
        slices = sliced(self.sources, self.which, self.offsets, self.sizes)
        return interleaved(self.kinds, self._inline(), self.holes, slices)

    @property
    def size(self) -> int:
        """Length of all in bytes."""
        return sum(self.lengths) + sum(self.holes) + sum(self.sizes)

    @property
    def inline_size(self) -> int:
        """Bytes that `blocks` take."""
        return sum(map(len, self.blocks))

    def ends(self) -> list[int]:
        """How many bytes are needed of each source."""
        ends = [0] * len(self.sources)
        for number, offset, size in zip(self.which, self.offsets, self.sizes, strict=True):
            ends[number] = max(ends[number], offset + size)
        return ends

    def is_sound(self) -> bool:
        """Whether the columns fit each other, whoever has made them."""
        slices = self.sources, self.which, self.offsets, self.sizes
        return fit(self.kinds, len(self.lengths), self.holes, slices) and self._has_inline()

    def _has_inline(self) -> bool:
        """Whether the blocks have just the inline bytes. Needs memory for one block."""
        lengths = iter(self.lengths)
        try:
            for block in self._blocks():
                left = len(block)
                while left > 0:
                    left -= next(lengths, left + 1)
                if left:
                    return False
        except ValueError:
            return False
        return next(lengths, None) is None

    def _inline(self) -> Iterator[bytes]:
        lengths = iter(self.lengths)
        for block in self._blocks():
            at = 0
            while at < len(block):
                length = next(lengths)
                yield block[at : at + length]
                at += length

    def _blocks(self) -> Iterator[bytes]:
        """Raises `ValueError` for what is no block."""
        for block in self.blocks[:-1]:
            yield _decompressed(block)
        yield from self.blocks[-1:]


Slices: TypeAlias = tuple[Sequence[str], Sequence[int], Sequence[int], Sequence[int]]
"""Slices by their columns: the sources; of each slice its source's number, offset and size."""


def fit(kinds: Sequence[int], inline: int, holes: Sequence[int], slices: Slices) -> bool:
    """Whether these are columns of pieces, whoever has made them; `inline` is how many inline ones
    there are."""
    sources, which, offsets, sizes = slices
    counts = [*map(bytes(kinds).count, (INLINE, HOLE, SLICE))]
    return (
        max(kinds, default=0) <= SLICE
        and counts == [inline, len(holes), len(which)]
        and len(which) == len(offsets) == len(sizes)
        and max(which, default=-1) < len(sources)
        and min(offsets, default=0) >= 0
        and min(sizes, default=0) >= 0
        and min(holes, default=0) >= 0
    )


def sliced(
    sources: Sequence[str], which: Sequence[int], offsets: Sequence[int], sizes: Sequence[int]
) -> Iterator[Piece]:
    """Slices of their columns."""
    return map(Slice._make, zip(map(sources.__getitem__, which), offsets, sizes, strict=True))


def interleaved(
    kinds: Iterable[int], inline: Iterator[Piece], holes: Iterable[int], slices: Iterator[Piece]
) -> Iterator[Piece]:
    """The next piece of each kind, in the order of `kinds`."""
    each: tuple[Iterator[Piece], ...] = (inline, map(Hole, holes), slices)
    return map(next, map(each.__getitem__, kinds))


Pieces: TypeAlias = Sequence[Piece] | PackedPieces
"""What can be iterated again and again, however long it is."""


def total_size(pieces: Pieces) -> int:
    """Length of `pieces` in bytes."""
    return pieces.size if isinstance(pieces, PackedPieces) else sum(map(piece_size, pieces))


def packed(pieces: Iterable[Piece]) -> PackedPieces:
    """`pieces` packed: the same bytes, where inline ones that follow each other are joined."""
    if isinstance(pieces, PackedPieces):
        return pieces
    from array import array

    numbers: dict[str, int] = {}
    kinds, lengths, which = array("B"), array("I"), array("I")
    holes, offsets, sizes = array("q"), array("q"), array("q")
    blocks: list[bytes] = []
    block = bytearray()
    for piece in pieces:
        if isinstance(piece, Slice):
            source, offset, size = piece
            kinds.append(SLICE)
            which.append(numbers.setdefault(source, len(numbers)))
            offsets.append(offset)
            sizes.append(size)
        elif isinstance(piece, Hole):
            kinds.append(HOLE)
            holes.append(piece.size)
        else:
            for part in _parts(piece):
                if kinds and kinds[-1] == INLINE and lengths[-1] + len(part) <= BLOCK:
                    lengths[-1] += len(part)
                else:
                    if len(block) >= BLOCK:
                        blocks.append(_compressed(bytes(block)))
                        block.clear()
                    kinds.append(INLINE)
                    lengths.append(len(part))
                block += part
    if block:
        blocks.append(bytes(block))
    return PackedPieces([*numbers], kinds, lengths, blocks, holes, which, offsets, sizes)


def _parts(data: bytes) -> Iterable[bytes]:
    """`data` cut to `BLOCK`."""
    if len(data) <= BLOCK:
        return (data,) if data else ()
    return (data[start : start + BLOCK] for start in range(0, len(data), BLOCK))


def _compressed(block: bytes) -> bytes:
    # Not at the top: most outputs are described in a few kilobytes.
    from compos.zstd import zstd

    return zstd.compress(block, _LEVEL)


def _decompressed(block: bytes) -> bytes:
    """Raises `ValueError`."""
    from compos.zstd import zstd

    decompressor = zstd.ZstdDecompressor()
    try:
        data: bytes = decompressor.decompress(block, 2 * BLOCK)
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from error
    if not decompressor.eof or decompressor.unused_data:
        raise ValueError("not one whole frame")
    return data
