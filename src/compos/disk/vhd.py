"""Microsoft's virtual hard disk: fixed, as Azure takes it, and dynamic. Pure.

Source: Microsoft, "Virtual Hard Disk Image Format Specification" 1.0, cited by its headings.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from compos.arithmetic import align_up, ceil_div
from compos.errors import OutputError
from compos.tree.contents import cut
from compos.tree.node import EPOCH, Hole, Piece
from compos.tree.runs import data_runs, disk_size, padded

__all__ = ["vhd_dynamic_pieces", "vhd_fixed_pieces"]

SECTOR = 512
MIB = 1 << 20
MAX_SIZE = 2040 << 30
"""What Windows takes."""

# "Hard Disk Footer Format"; big-endian. Offset, size, field:
#     0    8  cookie, "conectix"
#     8    4  features, 2 is reserved and set
#    12    4  format version
#    16    8  offset of the dynamic header
#    24    4  seconds since 2000
#    28    4  creator application
#    32    4  creator version
#    36    4  creator host OS
#    40    8  original size
#    48    8  current size
#    56    2  geometry: cylinders
#    58    1  heads
#    59    1  sectors per track
#    60    4  disk type
#    64    4  checksum, complement of the sum of all other bytes
#    68   16  unique id
#    84    1  saved state
#    85  427  reserved
_FOOTER = struct.Struct(">8sIIQI4sI4sQQHBBII16sB427s")
# "Dynamic Disk Header Format"; big-endian. Offset, size, field:
#     0    8  cookie, "cxsparse"
#     8    8  offset of the next structure, unused
#    16    8  offset of the block allocation table
#    24    4  header version
#    28    4  entries of that table
#    32    4  block size
#    36    4  checksum, as in the footer
#    40   16  parent's unique id
#    56    4  parent's time
#    60    4  reserved
#    64  512  parent's name
#   576  192  parent locators
#   768  256  reserved
_HEADER = struct.Struct(">8sQQIIII16sII512s192s256s")
_CHECKSUM_AT = {_FOOTER: 64, _HEADER: 36}
FIXED, DYNAMIC = 2, 3
NOWHERE = 0xFFFFFFFFFFFFFFFF
VERSION = 0x00010000
SECONDS_2000 = 946684800
GEOMETRY = (65535, 16, 255)
"""The largest: readers then take the size from the field that says it, and none rounds to
cylinders."""

BLOCK = 2 * MIB
UNUSED = 0xFFFFFFFF
_BITMAP = b"\xff" * SECTOR
"""One bit a sector, all present; a block's bitmap fills one sector."""


def vhd_fixed_pieces(disk: Sequence[Piece], identity: bytes) -> list[Piece]:
    """`disk`, filled up to a whole MiB as Azure demands, and the footer. Raises `OutputError`
    (`vhd-too-large`)."""
    whole = padded(disk, MIB)
    return [*whole, _footer(_checked(whole), FIXED, NOWHERE, identity)]


def vhd_dynamic_pieces(disk: Sequence[Piece], identity: bytes) -> list[Piece]:
    """The blocks of 2 MiB of `disk` that hold data. Raises `OutputError` (`vhd-too-large`)."""
    whole = padded(disk, MIB)
    size = _checked(whole)
    footer = _footer(size, DYNAMIC, SECTOR, identity)
    count = ceil_div(size, BLOCK)
    table_at = len(footer) + _HEADER.size
    table_size = align_up(count * 4, SECTOR)
    table = [UNUSED] * (table_size // 4)
    sector = (table_at + table_size) // SECTOR
    body: list[Piece] = []
    for run in data_runs(whole, BLOCK):
        rest: Sequence[Piece] = run.pieces
        for number in range(run.length):
            table[run.first + number] = sector
            block, rest = cut(rest, BLOCK)
            lacking = BLOCK - disk_size(block)
            body += [_BITMAP, *block, *((Hole(lacking),) if lacking else ())]
            sector += 1 + BLOCK // SECTOR
    header = _sealed(
        _HEADER, b"cxsparse", NOWHERE, table_at, VERSION, count, BLOCK, 0, b"", 0, 0, b"", b"", b""
    )  # fmt: skip
    return [footer + header + struct.pack(f">{len(table)}I", *table), *body, footer]


def _checked(disk: Sequence[Piece]) -> int:
    size = disk_size(disk)
    if size > MAX_SIZE:
        raise OutputError(
            "vhd-too-large",
            f"the disk has {size:,} bytes, but a VHD can have at most {MAX_SIZE:,}",
            hint="Use vhdx, or a smaller --size.",
        )
    return size


def _footer(size: int, kind: int, data: int, identity: bytes) -> bytes:
    time = EPOCH // 10**9 - SECONDS_2000
    return _sealed(
        _FOOTER,
        b"conectix",
        2,
        VERSION,
        data,
        time,
        b"cmps",
        VERSION,
        b"Wi2k",
        size,
        size,
        *GEOMETRY,
        kind,
        0,
        identity,
        0,
        b"",
    )


def _sealed(form: struct.Struct, *fields: object) -> bytes:
    """The fields packed, with the complement of the sum of all bytes as checksum."""
    blank = form.pack(*fields)
    at = _CHECKSUM_AT[form]
    return blank[:at] + struct.pack(">I", ~sum(blank) & 0xFFFFFFFF) + blank[at + 4 :]
