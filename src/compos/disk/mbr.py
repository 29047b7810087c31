"""The master boot record: boot code, four partitions, a signature. Pure.

Source: UEFI specification 2.10, 5.2 ("LBA 0 Format"), which writes down what PCs have done since
1983.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

__all__ = [
    "CODE_SIZE",
    "ESP",
    "FAT32",
    "ISO_HYBRID",
    "LINUX",
    "PROTECTIVE",
    "SECTOR",
    "MbrPartition",
    "master_boot_record",
]

SECTOR = 512
CODE_SIZE = 440
"""The most that boot code may have; behind it stands the disk's signature."""

ESP = 0xEF
FAT32 = 0x0C
LINUX = 0x83
PROTECTIVE = 0xEE
ISO_HYBRID = 0x17
"""What isohybrid marks a whole ISO image with: hidden, so that nobody formats it."""

# UEFI 2.10, table 5.2, "Legacy MBR Partition Record"; four of them begin at offset 446 of the
# sector, behind 440 bytes of code, the disk's signature (4) and two zeros; 0x55 0xAA ends it.
# Offset, size, field:
#     0    1  boot indicator, 0x80 when active
#     1    3  first sector as cylinder, head, sector
#     4    1  type
#     5    3  last sector, the same way
#     8    4  first sector
#    12    4  number of sectors
_ENTRY = struct.Struct("<B3sB3sII")
_MAX_SECTORS = 0xFFFFFFFF
HEADS, TRACK = 255, 63


class MbrPartition(NamedTuple):
    """A partition: `start` and `sectors` in sectors, `kind` its type."""

    start: int
    sectors: int
    kind: int
    active: bool = False


def master_boot_record(
    partitions: Sequence[MbrPartition], *, code: bytes = b"", signature: int = 0
) -> bytes:
    """The first sector of a disk (512 bytes) with up to four partitions; sizes are cut to what 32
    bits can say."""
    if len(code) > CODE_SIZE or len(partitions) > 4:
        raise ValueError("a master boot record has 440 bytes of code and four partitions")
    table = b"".join(
        _ENTRY.pack(
            0x80 if one.active else 0,
            b"\0\2\0" if one.kind == PROTECTIVE else _chs(one.start),
            one.kind,
            b"\xff\xff\xff" if one.kind == PROTECTIVE else _chs(one.start + one.sectors - 1),
            one.start,
            min(one.sectors, _MAX_SECTORS),
        )
        for one in partitions
    )
    return (
        code.ljust(CODE_SIZE, b"\0")
        + struct.pack("<IH", signature, 0)
        + table.ljust(64, b"\0")
        + b"\x55\xaa"
    )


def _chs(sector: int) -> bytes:
    cylinder, rest = divmod(sector, HEADS * TRACK)
    if cylinder > 1023:
        return b"\xfe\xff\xff"
    head, number = divmod(rest, TRACK)
    return bytes((head, (number + 1) | (cylinder >> 2 & 0xC0), cylinder & 0xFF))
