"""Deflate for disks, most of whose bytes are compressed already: those are stored. Reads contents.

Source: RFC 1951, 3.2.4 (blocks without compression); RFC 1950, 2.2 (zlib's header).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from compos.tree.contents import Contents
from compos.tree.node import Piece, Slice

__all__ = ["MAX_STORED", "ZLIB_HEADER", "block_head", "is_dense", "level_for", "stored_blocks"]

PROBE = 4096
DENSE = 31 / 32
"""The part that the fastest level leaves of what is compressed already."""

MAX_STORED = 0xFFFF
"""Bytes in a block without compression, at most."""

_BLOCK = struct.Struct("<BHH")
"""Last block and kind, length, its complement."""

_NUMBERS = struct.Struct("<8I")
"""The first entries of a piece of a FAT32 (fatgen103, "FAT Data Structure")."""

ZLIB_HEADER = b"\x78\x01"
"""A window of 32 KiB, the fastest level."""


def level_for(data: bytes) -> int:
    """The level that is worth it: the first bytes tell what is compressed already.

    A FAT, whose numbers count up, is as small at level 4 as at 6, in a quarter of the time.
    """
    if _part(data[:PROBE]) >= DENSE:
        return 0
    return 4 if _counts_up(data) else 6


def is_dense(contents: Contents, piece: Piece) -> bool:
    """Whether a slice seems to be compressed already, by two small looks into it."""
    if not isinstance(piece, Slice) or piece.size < 4 * PROBE:
        return False
    looks = (Slice(piece.source, piece.offset + piece.size * part // 4, PROBE) for part in (1, 3))
    return all(_part(b"".join(contents.chunks([look]))) >= DENSE for look in looks)


def _counts_up(data: bytes) -> bool:
    numbers = _NUMBERS.unpack_from(data.ljust(_NUMBERS.size, b"\0"))
    return numbers == tuple(range(numbers[0], numbers[0] + len(numbers)))


def _part(data: bytes) -> float:
    """What the fastest level leaves of it."""
    return len(zlib.compress(data, 1)) / len(data)


def stored_blocks(piece: Slice) -> Iterator[Piece]:
    """`piece` without compression, more to follow."""
    for start in range(0, piece.size, MAX_STORED):
        length = min(MAX_STORED, piece.size - start)
        yield block_head(length)
        yield Slice(piece.source, piece.offset + start, length)


def block_head(length: int, *, last: bool = False) -> bytes:
    """What stands at a byte border in front of `length` bytes without compression; `last` ends the
    stream with them."""
    return _BLOCK.pack(last, length, length ^ MAX_STORED)
