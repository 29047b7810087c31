"""A raw disk: parts at their places, holes between them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from compos.tree.contents import piece_size
from compos.tree.node import Hole, Piece

__all__ = ["placed"]


def placed(parts: Iterable[tuple[int, Sequence[Piece]]], size: int) -> list[Piece]:
    """The bytes of `parts`, each (offset, pieces) and in order, with zeros between them and up to
    `size` bytes."""
    pieces: list[Piece] = []
    at = 0
    for offset, content in (*parts, (size, ())):
        if offset < at:
            raise ValueError(f"parts overlap at {offset}")
        if offset > at:
            pieces.append(Hole(offset - at))
        pieces += content
        at = offset + sum(map(piece_size, content))
    return pieces
