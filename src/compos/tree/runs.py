"""Pieces cut into units of equal size: which of these hold data, and their bytes. Pure; pieces are
split, never copied.

Disk containers and file systems store such units and leave out those that are holes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from compos.arithmetic import align_up, ceil_div
from compos.tree.contents import Contents, cut, piece_size
from compos.tree.node import Hole, Piece, Slice

__all__ = [
    "Batch",
    "Front",
    "Run",
    "batches",
    "blocks_of",
    "data_runs",
    "disk_size",
    "padded",
    "units",
]

BATCH = 1 << 20
JUDGED = 4 << 20
"""Bytes of a slice that are packed or not, as a whole."""


class Run(NamedTuple):
    """`length` neighbouring units from `first` on, all with data; the last one may be shorter than
    a unit."""

    first: int
    length: int
    pieces: tuple[Piece, ...]


class Batch(NamedTuple):
    """Neighbouring units from `first` on: their bytes, or where these stand in the store if they
    are packed already."""

    first: int
    content: bytes | Slice


class Front:
    """Pieces that are taken from the front, in time that is in proportion to what is taken."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self._rest = deque(pieces)

    def take(self, size: int) -> tuple[Piece, ...]:
        """The next `size` bytes, or what there is."""
        taken: list[Piece] = []
        while size > 0 and self._rest:
            piece = self._rest.popleft()
            if (length := piece_size(piece)) > size:
                (piece,), rest = cut((piece,), size)
                self._rest.extendleft(rest)
                length = size
            taken.append(piece)
            size -= length
        return tuple(taken)

    def hole(self) -> int:
        """Bytes of the hole that is next; none when something else is."""
        while self._rest and not piece_size(self._rest[0]):
            self._rest.popleft()
        first = self._rest[0] if self._rest else b""
        return first.size if isinstance(first, Hole) else 0


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
            first, end = at // unit, ceil_div(at + size, unit)
            if spans and first <= spans[-1][1]:
                spans[-1][1] = max(spans[-1][1], end)
            else:
                spans.append([first, end])
        at += size
    runs = []
    front = Front(disk)
    position = 0
    for first, end in spans:
        front.take(first * unit - position)
        runs.append(Run(first, end - first, front.take((end - first) * unit)))
        position = end * unit
    return runs


def batches(
    contents: Contents,
    runs: Iterable[Run],
    unit: int,
    is_packed: Callable[[Piece], bool] = lambda _: False,
) -> Iterator[Batch]:
    """The units of `runs` in order, about a megabyte at a time; the last may be short.

    Units that lie in a piece of a slice of which `is_packed` holds are not read, and come by
    themselves.
    """
    size = max(BATCH // unit, 1) * unit
    for run in runs:
        for first, stretch in _stretches(run, unit, is_packed):
            number = run.first + first
            if isinstance(stretch, Slice):
                yield Batch(number, stretch)
                continue
            waiting = b""
            for chunk in contents.chunks(stretch):
                waiting += chunk
                while len(waiting) >= size:
                    yield Batch(number, waiting[:size])
                    waiting = waiting[size:]
                    number += size // unit
            if waiting:
                yield Batch(number, waiting)


def _stretches(
    run: Run, unit: int, is_packed: Callable[[Piece], bool]
) -> Iterator[tuple[int, Slice | tuple[Piece, ...]]]:
    """`run` as the whole units of each packed slice, and the pieces between them; each with its
    first unit."""
    between: list[Piece] = []
    begin = at = 0
    for piece in _split(run.pieces):
        end = at + piece_size(piece)
        first, last = align_up(at, unit), end // unit * unit
        if first < last and isinstance(piece, Slice) and is_packed(piece):
            head, rest = cut([piece], first - at)
            _, tail = cut(rest, last - first)
            between += head
            if between:
                yield begin // unit, tuple(between)
            yield first // unit, Slice(piece.source, piece.offset + first - at, last - first)
            between, begin = [*tail], last
        else:
            between.append(piece)
        at = end
    if between:
        yield begin // unit, tuple(between)


def _split(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Slices cut into what is judged, by its place from the beginning."""
    at = 0
    for piece in pieces:
        rest: tuple[Piece, ...] = (piece,)
        while isinstance(piece, Slice) and rest:
            part, rest = cut(rest, JUDGED - at % JUDGED)
            at += piece_size(part[0])
            yield part[0]
        if not isinstance(piece, Slice):
            at += piece_size(piece)
            yield piece


def units(contents: Contents, runs: Iterable[Run], unit: int) -> Iterator[tuple[int, bytes]]:
    """The units of `runs` one by one, with their numbers; the last is filled up with zeros."""
    for first, content in batches(contents, runs, unit):
        if isinstance(content, bytes):
            for start in range(0, len(content), unit):
                yield first + start // unit, content[start : start + unit].ljust(unit, b"\0")


def blocks_of(
    contents: Contents, pieces: Sequence[Piece], size: int
) -> Iterator[tuple[bytes, int]]:
    """A file in blocks of `size` with their lengths; a block of zeros has no bytes, and many of a
    hole come as one."""
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
            left = (piece.size - fill) % size
            if whole := piece.size - fill - left:
                yield b"", whole
            rest = Hole(left)
        for chunk in contents.chunks([rest]):
            waiting += chunk
            for start in range(0, len(waiting) // size * size, size):
                block = waiting[start : start + size]
                yield (b"" if block == zeros else block), size
            waiting = waiting[len(waiting) // size * size :]
    if waiting:
        yield (waiting if any(waiting) else b""), len(waiting)
