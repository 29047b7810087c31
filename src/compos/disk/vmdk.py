"""VMware's disk for transport: compressed grains in sequence (streamOptimized), as in an OVA; and that OVA. Reads contents.

Source: VMware, "Virtual Disk Format 5.0" (cited by its headings); DMTF DSP0243, "Open Virtualization Format" 1.1.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import TypeAlias

from compos.disk.deflate import ZLIB_HEADER, level_for, stored_blocks
from compos.disk.spool import Spool
from compos.filesystem.checksums import adler32
from compos.filesystem.compress import is_compressed
from compos.filesystem.parallel import in_parallel
from compos.tree.contents import Contents
from compos.tree.node import Piece, Slice
from compos.tree.runs import Batch, batches, data_runs, disk_size, padded

__all__ = ["GRAIN", "write_vmdk"]

SECTOR = 512
GRAIN = 64 << 10
TABLE = 512
"""Grains that one table describes."""
OVERHEAD = 128
"""Sectors in front of the first grain."""

_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH433s")
"""Hosted Sparse Extent Header: magic, version, flags, capacity, grain size, descriptor's place and size, entries of a grain
table, redundant directory, directory, overhead, unclean shutdown, end-of-line check, compression, padding; in sectors."""
VERSION = 3
FLAGS = 0x30001
"""End-of-line check is valid; grains are compressed; markers are there."""
AT_END = 0xFFFFFFFFFFFFFFFF
"""The directory's place stands in the footer."""
_GRAIN_MARKER = struct.Struct("<QI")
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

PROBE = 4096

_Grain: TypeAlias = "bytes | tuple[memoryview, Slice, bytes]"
"""A zlib stream; or bytes, where they stand and their checksum."""


def write_vmdk(disk: Sequence[Piece], contents: Contents, out: Spool, *, identity: bytes, name: str = "disk") -> None:
    """Write `disk` to `out`. Two threads compress; grains that are compressed already are stored, and stay where they are."""
    whole = padded(disk, SECTOR)
    sectors = disk_size(whole) // SECTOR
    descriptor = DESCRIPTOR.format(
        cid=int.from_bytes(identity[:4]) or 1,
        sectors=sectors,
        name=name,
        cylinders=min(max(sectors // (255 * 63), 1), 65535),
    ).encode()
    out.write((_header(sectors, AT_END) + descriptor).ljust(OVERHEAD * SECTOR, b"\0"))
    grains = -(-sectors * SECTOR // GRAIN)
    directory = [0] * -(-grains // TABLE)
    table: list[int] = []
    current = -1

    def flush() -> None:
        if any(table):
            directory[current] = out.size // SECTOR + 1
            out.write(_MARKER.pack(TABLE * 4 // SECTOR, 0, GRAIN_TABLE, b"") + struct.pack(f"<{TABLE}I", *table))

    runs = batches(contents, data_runs(whole, GRAIN), GRAIN, is_compressed)
    for first, packed in in_parallel(((batch.first, batch) for batch in runs), _packed):
        for number, grain in enumerate(packed, first):
            if number // TABLE != current:
                flush()
                current, table = number // TABLE, [0] * TABLE
            table[number % TABLE] = out.size // SECTOR
            _write_grain(out, number, grain)
    flush()
    entries = struct.pack(f"<{len(directory)}I", *directory)
    entries += bytes(-len(entries) % SECTOR)
    at = out.size // SECTOR
    tail = _MARKER.pack(len(entries) // SECTOR, 0, GRAIN_DIRECTORY, b"") + entries
    tail += _MARKER.pack(1, 0, FOOTER, b"") + _header(sectors, at + 1) + _MARKER.pack(0, 0, END, b"")
    out.write(tail)


def _write_grain(out: Spool, number: int, grain: _Grain) -> None:
    """Marker, zlib stream, padding."""
    if isinstance(grain, bytes):
        size = len(grain)
        out.write(_GRAIN_MARKER.pack(number * GRAIN // SECTOR, size) + grain)
    else:
        data, piece, checksum = grain
        blocks = [*stored_blocks(piece, last=True)]
        size = len(ZLIB_HEADER) + sum(len(head) + part.size for head, part in blocks) + len(checksum)
        out.write(_GRAIN_MARKER.pack(number * GRAIN // SECTOR, size) + ZLIB_HEADER)
        for head, part in blocks:
            out.write(head)
            begin = part.offset - piece.offset
            out.take(part, data[begin : begin + part.size])
        out.write(checksum)
    out.write(bytes(-(_GRAIN_MARKER.size + size) % SECTOR))


def _packed(batch: Batch) -> list[_Grain]:
    """The grains of a batch, each a zlib stream or what is stored in one."""
    view = memoryview(batch.data)
    starts = range(0, len(view), GRAIN)
    if not batch.packed:
        return [_compressed(bytes(view[start : start + GRAIN]).ljust(GRAIN, b"\0")) for start in starts]
    source, offset, _ = batch.packed
    parts = ((view[start : start + GRAIN], Slice(source, offset + start, GRAIN)) for start in starts)
    return [(data, piece, adler32(data).to_bytes(4)) for data, piece in parts]


def _compressed(data: bytes) -> bytes:
    return zlib.compress(data, level_for(data, PROBE))


def _header(sectors: int, directory: int) -> bytes:
    return _HEADER.pack(
        b"KDMV", VERSION, FLAGS, sectors, GRAIN // SECTOR, 1, 20, TABLE, 0, directory, OVERHEAD, 0, b"\n \r\n", 1, b""
    )
