"""A disk in a tar in GNU's old format, holes left out, compressed with gzip: what Google's cloud
imports. Reads contents.

Sources: GNU tar's manual, "Standard Format" and "Storing Sparse Files" (old GNU format); RFC 1951
and 1952.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from typing import TypeAlias

from compos.disk.deflate import is_dense, level_for, stored_blocks
from compos.disk.spool import Spool
from compos.filesystem.checksums import crc32
from compos.filesystem.parallel import in_parallel
from compos.tree.contents import Contents
from compos.tree.node import EPOCH, Hole, Piece, Slice
from compos.tree.runs import Run, batches, data_runs, disk_size

__all__ = ["write_gzip_tar"]

BLOCK = 512
UNIT = 1 << 16
"""Holes are told in this unit: fewer and longer stretches of data."""

_NUMBER = struct.Struct("<II")
INLINE, EXTENDED = 4, 21
"""Entries of a file's map in the header, and in each block behind it."""
CHUNK = 256 << 10
WINDOW = 32 << 10
"""What deflate looks back."""
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""RFC 1952: deflate, no name, no time, best known as "unknown system"."""
_DEFLATE_END = b"\x03\0"
"""RFC 1951, 3.2.3: a last block without contents."""

_Content: TypeAlias = bytes | Slice


def write_gzip_tar(name: str, disk: Sequence[Piece], contents: Contents, out: Spool) -> None:
    """Write the archive whose only member is `disk`. Two threads compress.

    Deflate streams may be joined at byte borders: chunks are compressed apart, each knowing what
    stands in front of it; what is compressed already is stored, and stays where it is.
    """
    size = 0
    checksum = 0
    out.add(_GZIP_HEADER)
    for content, packed in in_parallel(_chunks(contents, tuple(_archive(name, disk))), _packed):
        for view in (
            (memoryview(content),) if isinstance(content, bytes) else contents.views(content)
        ):
            checksum = crc32(view, checksum)
            size += len(view)
        out.add(*packed)
    out.add(_DEFLATE_END + _NUMBER.pack(checksum, size & 0xFFFFFFFF))


def _chunks(
    contents: Contents, archive: tuple[Piece, ...]
) -> Iterator[tuple[_Content, tuple[_Content, bytes]]]:
    """The contents of each chunk, twice; and the bytes in front of those that are to be
    compressed."""
    before = b""
    for _, stretch in batches(contents, [Run(0, 1, archive)], CHUNK, partial(is_dense, contents)):
        if isinstance(stretch, Slice):
            yield stretch, (stretch, b"")
            before = b""
            continue
        for start in range(0, len(stretch), CHUNK):
            chunk = stretch[start : start + CHUNK]
            yield chunk, (chunk, before)
            before = chunk[-WINDOW:]


def _packed(chunk: tuple[_Content, bytes]) -> Sequence[Piece]:
    """A stretch of deflate's stream, up to a byte border."""
    content, before = chunk
    if isinstance(content, Slice):
        return [*stored_blocks(content)]
    packer = zlib.compressobj(level_for(content), zlib.DEFLATED, -15, zdict=before)
    return [packer.compress(content) + packer.flush(zlib.Z_SYNC_FLUSH)]


def _archive(name: str, disk: Sequence[Piece]) -> Iterator[Piece]:
    """The tar: header with the map of data, the data, two blocks of zeros."""
    size = disk_size(disk)
    runs = data_runs(disk, UNIT)
    stretches = [
        (run.first * UNIT, min(run.length * UNIT, size - run.first * UNIT)) for run in runs
    ]
    # The map ends with an empty stretch at the file's end, so that a hole in front of it is kept.
    stretches.append((size, 0))
    stored = sum(length for _, length in stretches)
    yield _header(name, size, stored, stretches)
    for run, (_, length) in zip(runs, stretches, strict=False):
        yield from run.pieces
        if lacking := length - disk_size(run.pieces):
            yield Hole(lacking)
    if rest := -stored % BLOCK:
        yield bytes(rest)
    yield bytes(2 * BLOCK)


# GNU tar, "Standard Format", struct oldgnu_header. Offset, size, field; numbers in octal:
#     0  100  name                  257    8  magic and version, "ustar  "
#   100    8  mode                  265   80  owner's and group's name, device: none
#   108    8  uid                   345   41  access and change time, offset, long names: none
#   116    8  gid                   386   96  map: four times place and length
#   124   12  size in the archive   482    1  whether the map goes on
#   136   12  mtime                 483   12  the file's real size
#   148    8  checksum              495   17  zeros
#   156    1  type, "S"
#   157  100  link, none
# The map goes on in blocks of 21 entries (504 bytes), each with the same byte behind.
def _header(name: str, size: int, stored: int, stretches: Sequence[tuple[int, int]]) -> bytes:
    more = len(stretches) > INLINE
    blank = b"".join(
        (
            name.encode().ljust(100, b"\0"),
            b"0000644\0" + b"0000000\0" * 2,
            _octal(stored),
            _octal(EPOCH // 10**9),
            b" " * 8,
            b"S".ljust(101, b"\0"),
            b"ustar  \0".ljust(8 + 32 + 32 + 8 + 8, b"\0"),
            # Access and change time, offset, long names: none; then the map, whether it goes on,
            # and the real size.
            bytes(41),
            _map(stretches[:INLINE], INLINE),
            b"\1" if more else b"\0",
            _octal(size),
        )
    ).ljust(BLOCK, b"\0")
    header = blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]
    rest = stretches[INLINE:]
    blocks = []
    while rest:
        part, rest = rest[:EXTENDED], rest[EXTENDED:]
        blocks.append((_map(part, EXTENDED) + (b"\1" if rest else b"\0")).ljust(BLOCK, b"\0"))
    return b"".join((header, *blocks))


def _map(stretches: Sequence[tuple[int, int]], room: int) -> bytes:
    numbers = chain.from_iterable(stretches)
    return b"".join(map(_octal, numbers)).ljust(room * 24, b"\0")


def _octal(value: int) -> bytes:
    """Twelve bytes: octal, or binary with the first bit set where octal is too short (8 GiB)."""
    return b"%011o\0" % value if value < 1 << 33 else b"\x80" + value.to_bytes(11)
