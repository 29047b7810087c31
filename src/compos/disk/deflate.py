"""Deflate for disks, most of whose bytes are compressed already: those are stored, without a look where it is known. Pure.

Source: RFC 1951, 3.2.4 (blocks without compression); RFC 1950, 2.2 (zlib's header).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from compos.tree.node import Slice

__all__ = ["LEVEL", "ZLIB_HEADER", "level_for", "stored_blocks"]

LEVEL = 6
MOST = 0xFFFF
"""Bytes in a block without compression."""

_BLOCK = struct.Struct("<BHH")
"""Last block and kind, length, its complement."""

ZLIB_HEADER = b"\x78\x01"
"""A window of 32 KiB, the fastest level."""


def level_for(data: bytes, probe: int) -> int:
    """The level that is worth it: the first `probe` bytes tell what is compressed already, at a small part of the price."""
    return LEVEL if len(zlib.compress(data[:probe], 1)) < min(probe, len(data)) * 31 // 32 else 0


def stored_blocks(piece: Slice, *, last: bool) -> Iterator[tuple[bytes, Slice]]:
    """`piece` without compression: what stands in front of each part, and the part. `last` ends the stream with it."""
    for start in range(0, piece.size, MOST):
        length = min(MOST, piece.size - start)
        final = last and start + length == piece.size
        yield _BLOCK.pack(final, length, length ^ MOST), Slice(piece.source, piece.offset + start, length)
