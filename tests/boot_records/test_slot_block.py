"""The block of a disk with slots, and the header of a boot partition, byte by byte."""

from __future__ import annotations

import struct
import zlib
from uuid import UUID

from compos.boot.bios import SLOT_WORDS, Place, mbr_code, slot_loader
from compos.boot.slot_block import first_block, with_boot_header

IDS = (
    UUID("11111111-2222-3333-4444-555555555555"),
    UUID("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
)
TEXT = (
    b"compos-slots\t1\n"
    b"slot\tA\tbad\t11111111-2222-3333-4444-555555555555\t\t0\t\n"
    b"slot\tB\tbad\taaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee\t\t0\t\n"
)


def test_the_block_of_a_new_disk() -> None:
    block = first_block(IDS)
    assert len(block) == 4096
    assert block[:24] == b"COMPSLOT" + bytes.fromhex("01000000 01000000 00 ff 00 ff 77000000")
    assert block[24 : 24 + 0x77] == TEXT
    assert not block[24 + 0x77 : 4092].strip(b"\0")
    assert block[4092:] == struct.pack("<I", zlib.crc32(block[:4092]))


def test_the_header_of_a_boot_partition() -> None:
    sector = bytes(range(256)) * 2
    places = (Place(0x12345600, 0x89ABCDEF), Place(512, 3), Place(1024, 7))
    made = with_boot_header(sector, places)
    words = bytes.fromhex("2b1a090000000000 efcdab89 0100000000000000 03000000 0200000000000000")
    words += bytes.fromhex("07000000")
    assert made[:128] == sector[:128]
    assert made[128:140] == b"COMPBOOT\1\0\0\0"
    assert made[140:144] == struct.pack("<I", zlib.crc32(words))
    assert made[144:180] == words
    assert made[180:] == sector[180:]


def test_the_loader_names_the_slots() -> None:
    code = slot_loader((1024, 1152), ((8192, IDS[0]), (1 << 33, IDS[1])))
    assert len(code) == 4096
    assert code[16:25] == b"compos-1\x09"
    assert struct.unpack_from("<QQQ36sQ36s", code, 72) == (
        *(1024, 1152),
        *(8192, str(IDS[0]).encode()),
        *(1 << 33, str(IDS[1]).encode()),
    )
    # mbr.S: eight sectors.
    assert struct.unpack_from("<HHHHQ", mbr_code(64, size=4096), 424) == (16, 8, 0x7C00, 0, 64)
    assert len(" compos.slot=11111111-2222-3333-4444-555555555555,trial") == SLOT_WORDS
