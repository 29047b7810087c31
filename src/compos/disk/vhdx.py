"""Hyper-V's virtual disk of today, dynamic. Pure.

Source: Microsoft, [MS-VHDX] "Virtual Hard Disk v2 (VHDX) File Format", cited by section.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from uuid import UUID

from compos.arithmetic import align_up
from compos.errors import OutputError
from compos.filesystem.crc32c import crc32c
from compos.tree.node import Hole, Piece
from compos.tree.runs import data_runs, disk_size, padded

__all__ = ["vhdx_pieces"]

KIB, MIB = 1 << 10, 1 << 20
SECTOR = 512
MAX_SIZE = 64 << 40
BLOCK = MIB
"""2.6.2.1: payload blocks have 1 to 256 MiB."""
CHUNK = (1 << 23) * SECTOR // BLOCK
"""2.5: payload blocks that one bitmap block would describe; its entry stands behind theirs, unused
here."""

HEADERS_AT, REGIONS_AT = (64 * KIB, 128 * KIB), (192 * KIB, 256 * KIB)
LOG_AT, METADATA_AT, BAT_AT = MIB, 2 * MIB, 3 * MIB
ITEMS_AT = 64 * KIB

# [MS-VHDX] 2.2.2, "Headers". Offset, size, field:
#     0    4  signature, "head"
#     4    4  CRC-32C of 4 KiB, with these bytes as zeros
#     8    8  sequence number, the larger is current
#    16   16  file write GUID
#    32   16  data write GUID
#    48   16  log GUID, zero without a log
#    64    2  log version
#    66    2  version
#    68    4  log length
#    72    8  log offset
_HEADER = struct.Struct("<4sIQ16s16s16sHHIQ")
# [MS-VHDX] 2.2.3.1, "Region Table Header". Offset, size, field:
#     0    4  signature, "regi"
#     4    4  CRC-32C of 64 KiB, with these bytes as zeros
#     8    4  number of entries
#    12    4  reserved
_REGION_TABLE = struct.Struct("<4sIII")
# [MS-VHDX] 2.2.3.2, "Region Table Entry". Offset, size, field:
#     0   16  GUID of the region
#    16    8  offset
#    24    4  length
#    28    4  whether it is required
_REGION = struct.Struct("<16sQII")
# [MS-VHDX] 2.6.1.1, "Metadata Table Header". Offset, size, field:
#     0    8  signature, "metadata"
#     8    2  reserved
#    10    2  number of entries
#    12   20  reserved
_METADATA_TABLE = struct.Struct("<8sHH20s")
# [MS-VHDX] 2.6.1.2, "Metadata Table Entry". Offset, size, field:
#     0   16  GUID of the item
#    16    4  offset from the table
#    20    4  length
#    24    4  flags
#    28    4  reserved
_ITEM = struct.Struct("<16sIIII")
BAT = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
METADATA = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
IS_VIRTUAL_DISK, IS_REQUIRED = 2, 4
PRESENT = 6
"""2.5.1.1: PAYLOAD_BLOCK_FULLY_PRESENT."""


def vhdx_pieces(disk: Sequence[Piece], identity: bytes) -> list[Piece]:
    """The blocks of 1 MiB of `disk` that hold data. Raises `OutputError` (`vhdx-too-large`)."""
    whole = padded(disk, MIB)
    size = disk_size(whole)
    if size > MAX_SIZE:
        raise OutputError(
            "vhdx-too-large",
            f"the disk has {size:,} bytes, but a VHDX can have at most {MAX_SIZE:,}",
            hint="Use a smaller --size.",
        )
    count = size // BLOCK
    entries = [0] * (count + max(count - 1, 0) // CHUNK)
    bat_size = align_up(len(entries) * 8, MIB)
    place = BAT_AT + bat_size
    body: list[Piece] = []
    for run in data_runs(whole, BLOCK):
        for number in range(run.first, run.first + run.length):
            entries[number + number // CHUNK] = PRESENT | place
            place += BLOCK
        body += run.pieces
        if lacking := run.length * BLOCK - disk_size(run.pieces):
            body.append(Hole(lacking))
    regions = _regions(bat_size)
    parts = {
        0: b"vhdxfile" + "compos".encode("utf-16-le"),
        HEADERS_AT[0]: _header(0, identity),
        HEADERS_AT[1]: _header(1, identity),
        REGIONS_AT[0]: regions,
        REGIONS_AT[1]: regions,
        METADATA_AT: _metadata(size, identity),
        BAT_AT: struct.pack(f"<{len(entries)}Q", *entries),
    }
    pieces: list[Piece] = []
    at = 0
    for offset, content in parts.items():
        pieces += [Hole(offset - at), content] if offset > at else [content]
        at = offset + len(content)
    return [*pieces, Hole(BAT_AT + bat_size - at), *body]


def _header(sequence: int, identity: bytes) -> bytes:
    return _sealed(
        _HEADER.pack(b"head", 0, sequence, identity, identity, b"", 0, 1, MIB, LOG_AT).ljust(
            4 * KIB, b"\0"
        )
    )


def _regions(bat_size: int) -> bytes:
    table = _REGION_TABLE.pack(b"regi", 0, 2, 0)
    table += _REGION.pack(BAT.bytes_le, BAT_AT, bat_size, 1) + _REGION.pack(
        METADATA.bytes_le, METADATA_AT, MIB, 1
    )
    return _sealed(table.ljust(64 * KIB, b"\0"))


def _metadata(size: int, identity: bytes) -> bytes:
    """2.6.2: block size, disk's size, its identity for SCSI, logical and physical sector sizes."""
    disk = IS_VIRTUAL_DISK | IS_REQUIRED
    items = [
        ("caa16737-fa36-4d43-b3b6-33f0aa44e76b", struct.pack("<II", BLOCK, 0), IS_REQUIRED),
        ("2fa54224-cd1b-4876-b211-5dbed83bf4b8", struct.pack("<Q", size), disk),
        ("beca12ab-b2e6-4523-93ef-c309e000c746", identity, disk),
        ("8141bf1d-a96f-4709-ba47-f233a8faab5f", struct.pack("<I", SECTOR), disk),
        ("cda348c7-445d-4471-9cc9-e9885251c556", struct.pack("<I", 4096), disk),
    ]
    table = _METADATA_TABLE.pack(b"metadata", 0, len(items), b"")
    values = b""
    for name, value, flags in items:
        table += _ITEM.pack(UUID(name).bytes_le, ITEMS_AT + len(values), len(value), flags, 0)
        values += value
    return table.ljust(ITEMS_AT, b"\0") + values


def _sealed(blank: bytes) -> bytes:
    """`blank` with its CRC-32C at offset 4."""
    return blank[:4] + struct.pack("<I", crc32c(blank) ^ 0xFFFFFFFF) + blank[8:]
