"""What a disk holds, for a person who must not lose it. Reads the disk.

As bricks/disk/src/disk does it in C: a disk is blank if its first and last megabyte are all zeros
or all ones; everything else is somebody's data, whether it has a name here or not. Every file
system, volume and table leaves something in these two places.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

from compos.disk.mbr import PROTECTIVE, SECTOR

__all__ = ["Occupancy", "occupancy", "unfinished_mark"]

EDGE = 1 << 20
# An MBR: disk signature at 440, four entries of 16 bytes at 446 with the type at 4 and start and
# length in sectors at 8, 0x55aa at 510.
_ENTRIES = 446
_UNFINISHED_SIGNATURE = 0x546D7046
_UNFINISHED_TYPE = 0xDA
"""The mark of bricks/disk/src/disk/table.c: what is being made here is not complete."""

_MAGICS = (
    ("a LUKS volume", 0, b"LUKS\xba\xbe"),
    ("an xfs file system", 0, b"XFSB"),
    ("an ext file system", 0x438, b"\x53\xef"),
    ("a btrfs file system", 0x10040, b"_BHRfS_M"),
    ("an exfat file system", 3, b"EXFAT   "),
    ("an NTFS file system", 3, b"NTFS    "),
    ("a BitLocker volume", 3, b"-FVE-FS-"),
    ("a vfat file system", 0x52, b"FAT32   "),
    ("a vfat file system", 0x36, b"FAT1"),
    ("an iso9660 file system", 0x8001, b"CD001"),
    ("a squashfs file system", 0, b"hsqs"),
    ("an erofs file system", 0x400, b"\xe2\xe1\xf5\xe0"),
    ("an f2fs file system", 0x400, b"\x10\x20\xf5\xf2"),
    ("a swap area", 0xFF6, b"SWAPSPACE2"),
    ("an LVM volume", 0, b"LABELONE"),
    ("an LVM volume", 0x200, b"LABELONE"),
    ("a bcache volume", 0x1018, b"\xc6\x85\x73\xf6"),
    ("a member of an md RAID", 0, b"\xfc\x4e\x2b\xa9"),
    ("a member of an md RAID", 0x1000, b"\xfc\x4e\x2b\xa9"),
)


class Occupancy(NamedTuple):
    """`text` says what a disk holds, empty for nothing. What is `unfinished` is the rest of an
    installation or a format that was interrupted."""

    text: str
    unfinished: bool = False


def occupancy(descriptor: int, size: int) -> Occupancy:
    """What the disk of `size` bytes holds that is open as `descriptor`."""
    head = os.pread(descriptor, min(EDGE, size), 0)
    tail = os.pread(descriptor, min(EDGE, size), max(0, size - EDGE))
    table = _table(head)
    if table is not None and table.unfinished:
        return table
    for text, offset, magic in _MAGICS:
        if head[offset : offset + len(magic)] == magic:
            return Occupancy(text)
    if table is not None:
        return table
    return Occupancy("" if _is_blank(head + tail) else "data of an unknown kind")


def unfinished_mark(size: int) -> bytes:
    """The first sector of a disk of `size` bytes that is not complete."""
    sector = bytearray(SECTOR)
    count = min(size // SECTOR - 2048, 0xFFFFFFFF)
    struct.pack_into("<I", sector, 440, _UNFINISHED_SIGNATURE)
    struct.pack_into(
        "<B3sB3sII",
        sector,
        _ENTRIES,
        *(0, b"\xfe\xff\xff", _UNFINISHED_TYPE, b"\xfe\xff\xff", 2048, max(count, 1)),
    )
    sector[510:] = b"\x55\xaa"
    return bytes(sector)


def _table(head: bytes) -> Occupancy | None:
    """What the partition table says; None without one."""
    if head[SECTOR : SECTOR + 8] == b"EFI PART":
        return Occupancy("a GPT partition table")
    if len(head) < SECTOR or head[510:512] != b"\x55\xaa":
        return None
    entries = [head[at : at + 16] for at in range(_ENTRIES, 510, 16)]
    # Of a FAT boot sector, code: only 0 and 0x80 are states of a partition.
    if any(entry[0] & 0x7F for entry in entries):
        return None
    types = [entry[4] for entry in entries if entry[4] and entry[12:16] != bytes(4)]
    if not types:
        return None
    (signature,) = struct.unpack_from("<I", head, 440)
    if signature == _UNFINISHED_SIGNATURE and types[0] == _UNFINISHED_TYPE:
        return Occupancy("an unfinished installation", unfinished=True)
    kind = "a GPT" if PROTECTIVE in types else "an MBR"
    return Occupancy(f"{kind} partition table")


def _is_blank(data: bytes) -> bool:
    return not data or (data == data[:1] * len(data) and data[0] in (0, 0xFF))
