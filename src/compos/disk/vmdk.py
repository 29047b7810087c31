"""VMware's disk for transport: compressed grains in sequence (streamOptimized), as in an OVA.
Reads contents.

Source: VMware, "Virtual Disk Format 5.0", cited by its headings.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from functools import partial

from compos.arithmetic import ceil_div
from compos.disk.deflate import MAX_STORED, ZLIB_HEADER, block_head, is_dense, level_for
from compos.disk.spool import Spool
from compos.filesystem.checksums import adler32
from compos.filesystem.parallel import in_parallel
from compos.tree.contents import Contents
from compos.tree.node import Piece, Slice
from compos.tree.runs import batches, data_runs, disk_size, padded

__all__ = ["GRAIN", "write_vmdk"]

SECTOR = 512
GRAIN = 64 << 10
TABLE = 512
"""Grains that one table describes."""
TOGETHER = 4 * GRAIN
"""What one thread compresses at a time."""
OVERHEAD = 128
"""Sectors in front of the first grain."""

# "Hosted Sparse Extent Header"; places and sizes in sectors. Offset, size, field:
#     0    4  magic, "KDMV"
#     4    4  version
#     8    4  flags
#    12    8  capacity
#    20    8  grain size
#    28    8  descriptor's place
#    36    8  descriptor's size
#    44    4  entries of a grain table
#    48    8  redundant grain directory's place
#    56    8  grain directory's place
#    64    8  overhead, in front of the first grain
#    72    1  unclean shutdown
#    73    4  end-of-line check
#    77    2  compression, 1 for deflate
#    79  433  padding
_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH433s")
VERSION = 3
FLAGS = 0x30001
"""End-of-line check is valid; grains are compressed; markers are there."""
AT_END = 0xFFFFFFFFFFFFFFFF
"""The directory's place stands in the footer."""
# "Stream-Optimized Compressed Sparse Extents": in front of a grain. Offset, size, field:
#     0    8  the grain's first sector
#     8    4  bytes of compressed data, which follow
_GRAIN_MARKER = struct.Struct("<QI")
# The same, in front of metadata. Offset, size, field:
#     0    8  sectors of metadata, which follow
#     8    4  zero
#    12    4  type
#    16  496  padding
_MARKER = struct.Struct("<QII496s")
END, GRAIN_TABLE, GRAIN_DIRECTORY, FOOTER = range(4)

DESCRIPTOR = """\
# Disk DescriptorFile
version=1
CID={cid:08x}
parentCID=ffffffff
createType="streamOptimized"

# Extent description
RW {sectors} SPARSE "{name}.vmdk"

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "6"
ddb.geometry.cylinders = "{cylinders}"
ddb.geometry.heads = "255"
ddb.geometry.sectors = "63"
ddb.adapterType = "lsilogic"
"""


def write_vmdk(
    disk: Sequence[Piece], contents: Contents, out: Spool, *, identity: bytes, name: str = "disk"
) -> None:
    """Write `disk` to `out`. Two threads compress; grains that are compressed already are stored,
    and stay where they are."""
    whole = padded(disk, SECTOR)
    sectors = disk_size(whole) // SECTOR
    descriptor = DESCRIPTOR.format(
        cid=int.from_bytes(identity[:4]) or 1,
        sectors=sectors,
        name=name,
        cylinders=min(max(sectors // (255 * 63), 1), 65535),
    ).encode()
    out.add((_header(sectors, AT_END) + descriptor).ljust(OVERHEAD * SECTOR, b"\0"))
    directory = [0] * ceil_div(sectors * SECTOR, GRAIN * TABLE)
    table: list[int] = []
    current = -1

    def flush() -> None:
        if any(table):
            directory[current] = out.size // SECTOR + 1
            out.add(
                _MARKER.pack(TABLE * 4 // SECTOR, 0, GRAIN_TABLE, b"")
                + struct.pack(f"<{TABLE}I", *table)
            )

    for first, packed in in_parallel(_stretches(contents, whole), _packed):
        for number, grain in enumerate(_grains(contents, first, packed), first):
            if number // TABLE != current:
                flush()
                current, table = number // TABLE, [0] * TABLE
            table[number % TABLE] = out.size // SECTOR
            out.add(*grain)
    flush()
    entries = struct.pack(f"<{len(directory)}I", *directory)
    entries += bytes(-len(entries) % SECTOR)
    at = out.size // SECTOR
    tail = _MARKER.pack(len(entries) // SECTOR, 0, GRAIN_DIRECTORY, b"") + entries
    tail += (
        _MARKER.pack(1, 0, FOOTER, b"") + _header(sectors, at + 1) + _MARKER.pack(0, 0, END, b"")
    )
    out.add(tail)


def _stretches(contents: Contents, disk: Sequence[Piece]) -> Iterator[tuple[int, bytes | Slice]]:
    """Some grains at a time, with the number of the first: those that are to be compressed, and
    those that are not."""
    for first, content in batches(
        contents, data_runs(disk, GRAIN), GRAIN, partial(is_dense, contents)
    ):
        if isinstance(content, Slice):
            yield first, content
            continue
        for start in range(0, len(content), TOGETHER):
            yield first + start // GRAIN, content[start : start + TOGETHER]


def _packed(content: bytes | Slice) -> list[bytes] | Slice:
    if isinstance(content, Slice):
        return content
    return [
        _compressed(content[start : start + GRAIN].ljust(GRAIN, b"\0"))
        for start in range(0, len(content), GRAIN)
    ]


def _grains(
    contents: Contents, first: int, packed: list[bytes] | Slice
) -> Iterator[tuple[Piece, ...]]:
    """Each grain with its marker and padding: a zlib stream, or two blocks of one that store it:
    one holds a byte less."""
    if not isinstance(packed, Slice):
        for number, stream in enumerate(packed, first):
            head = _GRAIN_MARKER.pack(number * GRAIN // SECTOR, len(stream))
            yield (head + stream + bytes(-(len(head) + len(stream)) % SECTOR),)
        return
    front, back = ZLIB_HEADER + block_head(MAX_STORED), block_head(GRAIN - MAX_STORED, last=True)
    size = len(front) + GRAIN + len(back) + 4
    padding = bytes(-(_GRAIN_MARKER.size + size) % SECTOR)
    number = first
    for view in contents.views(packed):
        for start in range(0, len(view), GRAIN):
            data = view[start : start + GRAIN]
            yield (
                _GRAIN_MARKER.pack(number * GRAIN // SECTOR, size) + front,
                Slice(packed.source, packed.offset + (number - first) * GRAIN, MAX_STORED),
                back + data[MAX_STORED:] + adler32(data).to_bytes(4) + padding,
            )
            number += 1


def _compressed(data: bytes) -> bytes:
    return zlib.compress(data, level_for(data))


def _header(sectors: int, directory: int) -> bytes:
    return _HEADER.pack(
        b"KDMV",
        VERSION,
        FLAGS,
        sectors,
        GRAIN // SECTOR,
        1,
        20,
        TABLE,
        0,
        directory,
        OVERHEAD,
        0,
        b"\n \r\n",
        1,
        b"",
    )
