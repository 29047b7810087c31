"""VMware's disk for transport: compressed grains in sequence (streamOptimized), as in an OVA; and that OVA. Reads contents.

Source: VMware, "Virtual Disk Format 5.0" (cited by its headings); DMTF DSP0243, "Open Virtualization Format" 1.1.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import BinaryIO

from compos.filesystem.parallel import in_parallel
from compos.tree.contents import Contents
from compos.tree.node import Piece
from compos.tree.runs import data_runs, disk_size, padded, units

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


def write_vmdk(disk: Sequence[Piece], contents: Contents, out: BinaryIO, *, identity: bytes, name: str = "disk") -> int:
    """Write `disk` to `out` from its beginning to its end; returns the bytes. Two threads compress."""
    whole = padded(disk, SECTOR)
    sectors = disk_size(whole) // SECTOR
    descriptor = DESCRIPTOR.format(
        cid=int.from_bytes(identity[:4]) or 1,
        sectors=sectors,
        name=name,
        cylinders=min(max(sectors // (255 * 63), 1), 65535),
    ).encode()
    head = (_header(sectors, AT_END) + descriptor).ljust(OVERHEAD * SECTOR, b"\0")
    out.write(head)
    at = OVERHEAD
    grains = -(-sectors * SECTOR // GRAIN)
    directory = [0] * -(-grains // TABLE)
    table: list[int] = []
    current = -1

    def flush() -> None:
        nonlocal at
        if any(table):
            body = _MARKER.pack(TABLE * 4 // SECTOR, 0, GRAIN_TABLE, b"") + struct.pack(f"<{TABLE}I", *table)
            directory[current] = at + 1
            out.write(body)
            at += len(body) // SECTOR

    for number, packed in in_parallel(units(contents, data_runs(whole, GRAIN), GRAIN), _packed):
        if number // TABLE != current:
            flush()
            current, table = number // TABLE, [0] * TABLE
        table[number % TABLE] = at
        body = _GRAIN_MARKER.pack(number * GRAIN // SECTOR, len(packed)) + packed
        body += bytes(-len(body) % SECTOR)
        out.write(body)
        at += len(body) // SECTOR
    flush()
    entries = struct.pack(f"<{len(directory)}I", *directory)
    entries += bytes(-len(entries) % SECTOR)
    tail = _MARKER.pack(len(entries) // SECTOR, 0, GRAIN_DIRECTORY, b"") + entries
    tail += _MARKER.pack(1, 0, FOOTER, b"") + _header(sectors, at + 1) + _MARKER.pack(0, 0, END, b"")
    out.write(tail)
    return at * SECTOR + len(tail)


def _packed(data: bytes) -> bytes:
    """A zlib stream. What is compressed already is stored: the first block of a grain tells, at a sixteenth of the price."""
    level = 6 if len(zlib.compress(data[:PROBE], 1)) < PROBE * 31 // 32 else 0
    return zlib.compress(data, level)


def _header(sectors: int, directory: int) -> bytes:
    return _HEADER.pack(
        b"KDMV", VERSION, FLAGS, sectors, GRAIN // SECTOR, 1, 20, TABLE, 0, directory, OVERHEAD, 0, b"\n \r\n", 1, b""
    )
