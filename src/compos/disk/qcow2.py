"""QEMU's disk image, version 3. Pure but for the contents that are compressed (reading).

Source: QEMU, docs/interop/qcow2.rst, cited by its headings.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import BinaryIO, Literal

from compos.arithmetic import align_up, ceil_div
from compos.filesystem.compress import zstd_compressed
from compos.filesystem.parallel import in_parallel
from compos.tree.contents import Contents
from compos.tree.node import Piece
from compos.tree.runs import data_runs, disk_size, units

__all__ = ["qcow2_pieces", "write_qcow2"]

BITS = 16
CLUSTER = 1 << BITS
ENTRIES = CLUSTER // 8
"""Of a table of places."""
COUNTS = CLUSTER // 2
"""Of a block of reference counts, of 16 bits."""

# qcow2.rst, "Header"; big-endian. Behind it the compression type (1 byte) and 7 of padding.
# Offset, size, field:
#     0    4  magic, "QFI\xfb"
#     4    4  version
#     8    8  offset of the backing file's name
#    16    4  its length
#    20    4  cluster bits
#    24    8  size of the disk
#    32    4  encryption method
#    36    4  entries of the L1 table
#    40    8  offset of the L1 table
#    48    8  offset of the refcount table
#    56    4  its clusters
#    60    4  number of snapshots
#    64    8  offset of the snapshot table
#    72    8  incompatible features
#    80    8  compatible features
#    88    8  autoclear features
#    96    4  refcount order, 4 for 16 bits
#   100    4  header length
_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII")
_COMPRESSION_TYPE = struct.Struct(">B7x")
COMPRESSION_TYPE_BIT = 1 << 3
ZSTD = 1
COPIED = 1 << 63
"""L1 and L2 entries: the refcount is exactly one."""
COMPRESSED = 1 << 62
_OFFSET_BITS = 62 - (BITS - 8)


def qcow2_pieces(disk: Sequence[Piece]) -> list[Piece]:
    """`disk` in clusters of 64 KiB as they are; what is a hole is not there."""
    size = disk_size(disk)
    runs = data_runs(disk, CLUSTER)
    places: dict[int, int] = {}
    data = 0
    for run in runs:
        places.update((run.first + number, data + number) for number in range(run.length))
        data += run.length
    offsets = {cluster: place * CLUSTER for cluster, place in places.items()}
    first, tables = _tables(size, offsets, data * CLUSTER, relative=True)
    pieces: list[Piece] = [tables]
    for run in runs:
        pieces += run.pieces
    # The last cluster of the disk may be short; a file must have it whole.
    if rest := (first + data) * CLUSTER - len(tables) - disk_size(pieces[1:]):
        pieces.append(bytes(rest))
    return pieces


def write_qcow2(
    disk: Sequence[Piece],
    contents: Contents,
    out: BinaryIO,
    *,
    compression: Literal["zlib", "zstd"],
) -> int:
    """`disk` with compressed clusters, written to the empty file `out`; returns the bytes.

    A cluster that does not shrink is stored as it is. Two threads compress.
    """
    size = disk_size(disk)
    runs = data_runs(disk, CLUSTER)
    pack = _deflated if compression == "zlib" else zstd_compressed
    # The tables' size follows from the disk's and, for the counts, from the most that the data can
    # take.
    most = sum(run.length for run in runs) * CLUSTER
    stored = (cluster for run in runs for cluster in range(run.first, run.first + run.length))
    first, _ = _tables(size, dict.fromkeys(stored, 0), most)
    base = first * CLUSTER
    places: dict[int, int] = {}
    out.seek(base)
    at = base
    for cluster, (plain, packed) in in_parallel(
        units(contents, runs, CLUSTER), lambda data: (data, pack(data))
    ):
        if len(packed) < CLUSTER:
            sectors = (at % 512 + len(packed) - 1) // 512
            places[cluster] = COMPRESSED | sectors << _OFFSET_BITS | at
            out.write(packed)
            at += len(packed)
        else:
            aligned = align_up(at, CLUSTER)
            out.write(bytes(aligned - at))
            out.write(plain)
            places[cluster] = COPIED | aligned
            at = aligned + CLUSTER
    end = align_up(at, 512)
    out.write(bytes(end - at))
    _, tables = _tables(
        size, places, end - base, kind=ZSTD if compression == "zstd" else 0, start=first
    )
    out.seek(0)
    out.write(tables)
    return end


def _deflated(data: bytes) -> bytes:
    # Raw deflate with a window of 4 KiB: all that QEMU's reader allows.
    packer = zlib.compressobj(6, zlib.DEFLATED, -12)
    return packer.compress(data) + packer.flush()


def _tables(
    size: int,
    places: dict[int, int],
    data: int,
    *,
    kind: int = 0,
    relative: bool = False,
    start: int = 0,
) -> tuple[int, bytes]:
    """The first data cluster (`start` when it is given), and all clusters in front of it: header,
    reference counts, L1, L2.

    `size` is the disk's, `data` the length of what follows. `places` are L2 entries, or with
    `relative` offsets from the first data cluster on, each a cluster of its own.
    """
    count = ceil_div(size, CLUSTER)
    second = sorted({cluster // ENTRIES for cluster in places})
    first_level = ceil_div(count, ENTRIES)
    l1_clusters = max(ceil_div(first_level, ENTRIES), 1)
    used = ceil_div(data, CLUSTER)
    blocks = table = 1
    while True:
        total = max(1 + table + blocks + l1_clusters + len(second), start) + used
        need = ceil_div(total, COUNTS)
        if need <= blocks:
            break
        blocks, table = need, ceil_div(need, ENTRIES)
    l1_at = 1 + table + blocks
    l2_at = l1_at + l1_clusters
    end = l2_at + len(second)
    start = start or end

    header = _HEADER.pack(
        b"QFI\xfb", 3, 0, 0, BITS, size, 0, first_level, l1_at * CLUSTER, CLUSTER, table, 0, 0,
        COMPRESSION_TYPE_BIT if kind else 0, 0, 0, 4, _HEADER.size + _COMPRESSION_TYPE.size,
    ) + _COMPRESSION_TYPE.pack(kind)  # fmt: skip
    parts = [header.ljust(CLUSTER, b"\0")]
    block_places = [(1 + table + number) * CLUSTER for number in range(blocks)]
    parts.append(struct.pack(f">{blocks}Q", *block_places).ljust(table * CLUSTER, b"\0"))
    counts = [1] * end + [0] * (total - end)
    if relative:
        counts[start:] = [1] * (total - start)
    else:
        for place in places.values():
            for cluster in _touched(place):
                counts[cluster] += 1
    parts.append(struct.pack(f">{len(counts)}H", *counts).ljust(blocks * CLUSTER, b"\0"))
    l1 = [0] * first_level
    for number, index in enumerate(second):
        l1[index] = (l2_at + number) * CLUSTER | COPIED
    parts.append(struct.pack(f">{len(l1)}Q", *l1).ljust(l1_clusters * CLUSTER, b"\0"))
    l2 = {index: [0] * ENTRIES for index in second}
    for cluster, place in places.items():
        l2[cluster // ENTRIES][cluster % ENTRIES] = (
            place + start * CLUSTER | COPIED if relative else place
        )
    parts += [struct.pack(f">{ENTRIES}Q", *l2[index]) for index in second]
    return start, b"".join(parts)


def _touched(place: int) -> range:
    """The host clusters that an entry counts for."""
    if not place & COMPRESSED:
        first = (place & ~COPIED) // CLUSTER
        return range(first, first + 1) if place else range(0)
    offset = place & ((1 << _OFFSET_BITS) - 1)
    sectors = (place & ~COMPRESSED) >> _OFFSET_BITS
    return range(offset // CLUSTER, ((offset // 512 + sectors) * 512 + 511) // CLUSTER + 1)
