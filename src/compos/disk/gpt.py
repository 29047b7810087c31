"""The GUID partition table: two copies, at both ends of the disk, and the protective record in
front. Pure.

Source: UEFI specification 2.10, 5.3 ("GUID Partition Table (GPT) Disk Layout").
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from compos.disk.mbr import PROTECTIVE, SECTOR, MbrPartition, master_boot_record

__all__ = [
    "BIOS_BOOT",
    "ESP",
    "FIRST_USABLE",
    "TAIL",
    "GptPartition",
    "guid_partition_table",
    "partitions_end",
]

ESP = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
BIOS_BOOT = UUID("21686148-6449-6e6f-744e-656564454649")

LEGACY_BOOT = 1 << 2
"""Attribute: BIOSes that look for an active partition take this one."""

ENTRIES, ENTRY_SIZE = 128, 128
_TABLE_SECTORS = ENTRIES * ENTRY_SIZE // SECTOR
FIRST_USABLE = 2 + _TABLE_SECTORS
"""Sectors in front of the first partition, at least."""
TAIL = 1 + _TABLE_SECTORS
"""Sectors behind the last partition."""

# UEFI 2.10, table 5.5, "GPT Header". Offset, size, field:
#     0    8  signature, "EFI PART"
#     8    4  revision
#    12    4  header size
#    16    4  CRC-32 of the header, with these bytes as zeros
#    20    4  reserved
#    24    8  this copy's sector
#    32    8  the other copy's sector
#    40    8  first usable sector
#    48    8  last usable sector
#    56   16  disk GUID
#    72    8  sector of the entries
#    80    4  number of entries
#    84    4  size of an entry
#    88    4  CRC-32 of all entries
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
# UEFI 2.10, table 5.6, "GPT Partition Entry". Offset, size, field:
#     0   16  partition type GUID
#    16   16  own GUID
#    32    8  first sector
#    40    8  last sector, inclusive
#    48    8  attributes
#    56   72  name, UTF-16LE
_ENTRY = struct.Struct("<16s16sQQQ72s")


class GptPartition(NamedTuple):
    """A partition: `start` and `sectors` in sectors; `guid` its own."""

    start: int
    sectors: int
    kind: UUID
    guid: UUID
    name: str
    attributes: int = 0


def guid_partition_table(
    partitions: Sequence[GptPartition], sectors: int, disk: UUID, *, code: bytes = b""
) -> tuple[bytes, bytes]:
    """Head (34 sectors, with the protective record and `code` in it) and tail (33) of a disk of
    `sectors`."""
    entries = b"".join(
        _ENTRY.pack(
            one.kind.bytes_le,
            one.guid.bytes_le,
            one.start,
            one.start + one.sectors - 1,
            one.attributes,
            one.name.encode("utf-16-le"),
        )
        for one in partitions
    ).ljust(ENTRIES * ENTRY_SIZE, b"\0")
    last = sectors - 1

    def header(own: int, other: int, table: int) -> bytes:
        fields = (
            own,
            other,
            FIRST_USABLE,
            last - TAIL,
            disk.bytes_le,
            table,
            ENTRIES,
            ENTRY_SIZE,
            zlib.crc32(entries),
        )
        blank = _HEADER.pack(b"EFI PART", 0x10000, _HEADER.size, 0, 0, *fields)
        made = _HEADER.pack(b"EFI PART", 0x10000, _HEADER.size, zlib.crc32(blank), 0, *fields)
        return made.ljust(SECTOR, b"\0")

    protective = master_boot_record([MbrPartition(1, last, PROTECTIVE)], code=code)
    head = protective + header(1, last, 2) + entries
    tail = entries + header(last, 1, last - _TABLE_SECTORS)
    return head, tail


def partitions_end(head: bytes) -> int:
    """The sector behind the last partition of a table of which `head` is the head."""
    ends = [
        int(_ENTRY.unpack_from(head, 2 * SECTOR + number * ENTRY_SIZE)[3]) + 1
        for number in range(ENTRIES)
    ]
    return max(ends)
