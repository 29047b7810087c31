"""Sparse members of tars: their maps, and where their data lies as pieces. Pure.

Sources: GNU tar's manual, "Storing Sparse Files" (the old GNU format; PAX formats 0.0, 0.1 and
1.0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from compos.tree.node import Hole, Piece, Slice
from compos.tree.pax import decimal, number

__all__ = [
    "MAX_STRETCHES",
    "Stretch",
    "is_pax_sparse",
    "map_in_data",
    "map_in_records",
    "old_map",
    "pieces_of",
    "real_size",
]

MAX_STRETCHES = 1 << 20
"""Stretches of data in all of an archive's sparse members: each is a piece in memory, whose map has
four bytes at least."""

_PREFIX = "GNU.sparse."
_MAX_LINE = 24
"""Bytes of a line in a map of format 1.0: a number of 64 bits and more."""

Stretch = tuple[int, int]
"""Offset in the file and length."""


class Data(Protocol):
    """An archive's bytes."""

    def __getitem__(self, part: slice, /) -> bytes: ...
    def find(self, sub: bytes, start: int, end: int, /) -> int: ...


def is_pax_sparse(records: Mapping[str, bytes]) -> bool:
    """Whether a member with these PAX records is sparse."""
    return any(f"{_PREFIX}{key}" in records for key in ("major", "map", "numbytes"))


def real_size(records: Mapping[str, bytes]) -> int:
    """The file's own size, holes included."""
    return decimal(records.get(f"{_PREFIX}realsize") or records.get(f"{_PREFIX}size") or b"0")


def old_map(area: bytes) -> list[Stretch]:
    """The entries in a header of the old GNU format, or in a block behind it: pairs of twelve bytes
    up to an empty one."""
    found = []
    for at in range(0, len(area) - 23, 24):
        if not area[at]:
            break
        found.append((number(area[at : at + 12]), number(area[at + 12 : at + 24])))
    return found


def map_in_records(records: Mapping[str, bytes]) -> list[Stretch]:
    """The map of the PAX formats 0.0 and 0.1. Raises `ValueError`."""
    if f"{_PREFIX}map" in records:
        return _pairs([decimal(part) for part in records[f"{_PREFIX}map"].split(b",") if part])
    offsets, lengths = (
        [decimal(part) for part in records.get(f"{_PREFIX}{key}", b"").split(b",") if part]
        for key in ("offset", "numbytes")
    )
    return list(zip(offsets, lengths, strict=True))


def map_in_data(data: Data, start: int, end: int) -> tuple[list[Stretch], int]:
    """The map of the PAX format 1.0, in front of the data from `start` on; and how many bytes it
    has. Raises `ValueError`."""
    numbers: list[int] = []
    at, wanted = start, 1
    while len(numbers) < wanted:
        newline = data.find(b"\n", at, min(end, at + _MAX_LINE))
        if newline < 0 or len(numbers) > 2 * MAX_STRETCHES:
            raise ValueError("malformed sparse map")
        numbers.append(decimal(data[at:newline]))
        wanted = 1 + 2 * numbers[0]
        at = newline + 1
    return _pairs(numbers[1:]), at - start


def _pairs(numbers: Sequence[int]) -> list[Stretch]:
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def pieces_of(stretches: Sequence[Stretch], stored: Slice, real: int) -> tuple[Piece, ...]:
    """A file of `real` bytes whose data lie in `stored` one after another. Raises `ValueError` for
    what cannot be."""
    pieces: list[Piece] = []
    at = filled = used = 0
    for offset, length in stretches:
        if offset < at or length < 0 or used + length > stored.size or offset + length > real:
            raise ValueError("ranges out of order, beyond the file or without data")
        at = offset + length
        if length:
            if offset > filled:
                pieces.append(Hole(offset - filled))
            pieces.append(Slice(stored.source, stored.offset + used, length))
            used += length
            filled = at
    if real < 0:
        raise ValueError("negative size")
    if real > filled:
        pieces.append(Hole(real - filled))
    return tuple(pieces)
