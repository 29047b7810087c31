"""What a BIOS needs to know of a disk with slots, as bytes: the block that says which slot starts,
and the header by which each boot partition tells where its kernel is. Pure.

The block is on the disk twice. Whoever changes it writes over the older copy, so that a power cut
leaves the newer one; a copy counts if its checksum is right. Readers and writers are our loader
(`loader/slots.S`) and init (`bricks/init/src/slots/block.c`). UEFI firmware does not read it: there
it is what is left when firmware forgets its variables.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from uuid import UUID

from compos.boot.bios import Place

__all__ = [
    "BLOCK_COPIES",
    "BLOCK_SIZE",
    "HEADER_AT",
    "RESERVED",
    "first_block",
    "with_boot_header",
]

RESERVED = UUID("8da63339-0007-60c0-c436-083ac8230908")
"""The type of the block's partition: Linux reserved, which nobody formats or mounts."""

BLOCK_SIZE = 4096
BLOCK_COPIES = (0, 64 << 10)
"""Where both copies begin in their partition, in bytes: in different sectors, however large a
disk's own are."""

# The block. Offset, size, field:
#     0    8  mark, "COMPSLOT"
#     8    4  version, 1
#    12    4  sequence: the copy with the higher number is the newer one
#    16    1  first: the slot that starts, 0 for A, 1 for B
#    17    1  next: the slot that starts instead as long as there are tries; 255 for none
#    18    1  tries that are left for `next`
#    19    1  started: the slot whose last try the loader has used up; 255 for none
#    20    4  length of the text
#    24       the text: what is known of the slots (docs/update.md), then zeros
#  4092    4  CRC-32 of all bytes in front
_BLOCK = struct.Struct("<8sIIBBBBI")
_MARK = b"COMPSLOT"
_NONE = 0xFF

# The header in a boot partition, in the part of the FAT's first sector that is for boot code.
# Offset, size, field:
#     0    8  mark, "COMPBOOT"
#     8    4  version, 1
#    12    4  CRC-32 of the 36 bytes that follow
#    16   12  kernel: its sector, counted from the partition's first one, and its size in bytes
#    28   12  command line, likewise
#    40   12  initrd, likewise
_HEADER = struct.Struct("<8sII")
_PLACES = struct.Struct("<QIQIQI")
HEADER_AT = 128
"""Behind all fields of a FAT's first sector, and in front of its signature."""


def first_block(slots: Sequence[UUID]) -> bytes:
    """The block of a new disk, on which slot A starts. `slots` are the ids of the boot partitions
    of A and B."""
    text = "compos-slots\t1\n" + "".join(
        f"slot\t{letter}\tbad\t{own}\t\t0\t\n" for letter, own in zip("AB", slots, strict=True)
    )
    words = text.encode("ascii")
    made = _BLOCK.pack(_MARK, 1, 1, 0, _NONE, 0, _NONE, len(words)) + words
    made = made.ljust(BLOCK_SIZE - 4, b"\0")
    return made + struct.pack("<I", zlib.crc32(made))


def with_boot_header(sector: bytes, places: Sequence[Place]) -> bytes:
    """A boot partition's first bytes, with the places of kernel, command line and initrd in the
    partition."""
    words = _PLACES.pack(*(value for one in places for value in (one.start // 512, one.size)))
    header = _HEADER.pack(b"COMPBOOT", 1, zlib.crc32(words)) + words
    return sector[:HEADER_AT] + header + sector[HEADER_AT + len(header) :]
