"""Pieces cut into units of equal size: which of these hold data, and their bytes. Pure; pieces are split, never copied.

Disk containers and file systems store such units and leave out those that are holes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from compos.tree.contents import Contents, cut, piece_size
from compos.tree.node import Hole, Piece

__all__ = ["Run", "blocks_of", "data_runs", "disk_size", "padded", "units"]


class Run(NamedTuple):
    """`length` neighbouring units from `first` on, all with data; the last one may be shorter than a unit."""

    first: int
    length: int
    pieces: tuple[Piece, ...]


def disk_size(disk: Iterable[Piece]) -> int:
    """Length in bytes."""
    return sum(map(piece_size, disk))


def padded(disk: Sequence[Piece], unit: int) -> list[Piece]:
    """`disk` with a hole behind it that makes its size a multiple of `unit`."""
    rest = -disk_size(disk) % unit
    return [*disk, Hole(rest)] if rest else list(disk)


def data_runs(disk: Sequence[Piece], unit: int) -> list[Run]:
    """The runs of units that are not holes as a whole, in order."""
    spans: list[list[int]] = []
    at = 0
    for piece in disk:
        size = piece_size(piece)
        if size and not isinstance(piece, Hole):
            first, end = at // unit, -(-(at + size) // unit)
            if spans and first <= spans[-1][1]:
                spans[-1][1] = max(spans[-1][1], end)
            else:
                spans.append([first, end])
        at += size
    runs = []
    rest: Sequence[Piece] = disk
    position = 0
    for first, end in spans:
        _, rest = cut(rest, first * unit - position)
        front, rest = cut(rest, (end - first) * unit)
        runs.append(Run(first, end - first, front))
        position = end * unit
    return runs


def units(contents: Contents, runs: Iterable[Run], unit: int) -> Iterator[tuple[int, bytes]]:
    """The units of `runs` one by one, with their numbers; the last is filled up with zeros."""
    for run in runs:
        number = run.first
        waiting = b""
        for chunk in contents.chunks(run.pieces):
            waiting += chunk
            whole = len(waiting) // unit * unit
            for start in range(0, whole, unit):
                yield number, waiting[start : start + unit]
                number += 1
            waiting = waiting[whole:]
        if waiting:
            yield number, waiting.ljust(unit, b"\0")


def blocks_of(contents: Contents, pieces: Sequence[Piece], size: int) -> Iterator[tuple[bytes, int]]:
    """A file in blocks of `size` with their lengths; a block of zeros has no bytes. Large holes are never made up."""
    zeros = bytes(size)
    waiting = b""
    for piece in pieces:
        rest = piece
        if isinstance(piece, Hole):
            fill = min(-len(waiting) % size, piece.size)
            waiting += bytes(fill)
            if waiting and len(waiting) == size:
                yield (b"" if waiting == zeros else waiting), size
                waiting = b""
            whole, left = divmod(piece.size - fill, size)
            for _ in range(whole):
                yield b"", size
            rest = Hole(left)
        for chunk in contents.chunks([rest]):
            waiting += chunk
            for start in range(0, len(waiting) // size * size, size):
                block = waiting[start : start + size]
                yield (b"" if block == zeros else block), size
            waiting = waiting[len(waiting) // size * size :]
    if waiting:
        yield (waiting if any(waiting) else b""), len(waiting)
