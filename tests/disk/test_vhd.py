"""Microsoft's two disks, field by field."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from uuid import UUID

from compos.disk.vhd import vhd_dynamic_pieces, vhd_fixed_pieces
from compos.disk.vhdx import vhdx_pieces
from compos.tree.node import Hole, Piece
from tests.records import crc32c, fields, whole

KIB, MIB = 1 << 10, 1 << 20
ID = bytes(range(16))

FOOTER = {
    "cookie": (0, "8s"), "features": (8, "I"), "version": (12, "I"), "data offset": (16, "Q"),
    "time stamp": (24, "I"), "creator": (28, "4s"), "creator version": (32, "I"),
    "creator host": (36, "4s"), "original size": (40, "Q"), "current size": (48, "Q"),
    "cylinders": (56, "H"), "heads": (58, "B"), "sectors": (59, "B"), "type": (60, "I"),
    "checksum": (64, "I"), "unique id": (68, "16s"), "saved state": (84, "B"),
}  # fmt: skip
"""Virtual Hard Disk Image Format Specification, "Hard Disk Footer Format"."""
DYNAMIC = {
    "cookie": (0, "8s"), "data offset": (8, "Q"), "table offset": (16, "Q"), "version": (24, "I"),
    "max table entries": (28, "I"), "block size": (32, "I"), "checksum": (36, "I"),
}  # fmt: skip
"""The same, "Dynamic Disk Header Format"."""

DATA = hashlib.shake_256(b"vhd").digest(MIB)
DISK: list[Piece] = [DATA, Hole(3 * MIB), DATA[::-1], Hole(5)]
"""Six megabytes when padded: blocks 0 and 2 of a VHD, 0 and 4 of a VHDX."""


def checksum(record: bytes, at: int) -> int:
    """The ones' complement of the sum of all bytes but the checksum's own."""
    return sum(record[:at] + record[at + 4 :]) ^ 0xFFFFFFFF


def footer(record: bytes, **changed: object) -> dict[str, object]:
    return {
        "cookie": b"conectix", "features": 2, "version": 0x00010000, "data offset": (1 << 64) - 1,
        # 2017-04-18T16:30:00Z, since 2000.
        "time stamp": 1492533000 - 946684800,
        "creator": b"cmps", "creator version": 0x00010000, "creator host": b"Wi2k",
        "original size": 6 * MIB, "current size": 6 * MIB, "cylinders": 65535, "heads": 16,
        "sectors": 255, "type": 2, "checksum": checksum(record, 64), "unique id": ID,
        "saved state": 0,
    } | changed  # fmt: skip


def test_a_fixed_disk_ends_in_its_footer(tmp_path: Path) -> None:
    image = whole(vhd_fixed_pieces(DISK, ID), tmp_path)
    assert len(image) == 6 * MIB + 512
    assert fields(image[-512:], ">", FOOTER) == footer(image[-512:])
    assert not any(image[-512 + 85 :])


def test_a_dynamic_disk(tmp_path: Path) -> None:
    image = whole(vhd_dynamic_pieces(DISK, ID), tmp_path)
    record = image[:512]
    assert fields(record, ">", FOOTER) == footer(record, type=3, **{"data offset": 512})
    assert image[-512:] == record
    header = image[512:1536]
    assert fields(header, ">", DYNAMIC) == {
        "cookie": b"cxsparse", "data offset": (1 << 64) - 1, "table offset": 1536,
        "version": 0x00010000, "max table entries": 3, "block size": 2 * MIB,
        "checksum": checksum(header, 36),
    }  # fmt: skip
    assert not any(header[40:])
    # Three entries in one sector; a block is a sector of bits and its data.
    unused, step = 0xFFFFFFFF, 1 + 4096
    assert struct.unpack_from(">128I", image, 1536) == (4, unused, 4 + step, *[unused] * 125)
    first, second = image[2048 : 2048 + step * 512], image[2048 + step * 512 : -512]
    assert first == b"\xff" * 512 + DATA + bytes(MIB)
    assert second == b"\xff" * 512 + DATA[::-1] + bytes(MIB)


VHDX_HEADER = {
    "Signature": (0, "4s"), "Checksum": (4, "I"), "SequenceNumber": (8, "Q"),
    "FileWriteGuid": (16, "16s"), "DataWriteGuid": (32, "16s"), "LogGuid": (48, "16s"),
    "LogVersion": (64, "H"), "Version": (66, "H"), "LogLength": (68, "I"), "LogOffset": (72, "Q"),
}  # fmt: skip
"""[MS-VHDX] 2.2.2."""
REGIONS = {
    "Signature": (0, "4s"),
    "Checksum": (4, "I"),
    "EntryCount": (8, "I"),
    "Reserved": (12, "I"),
}
REGION = {"Guid": (0, "16s"), "FileOffset": (16, "Q"), "Length": (24, "I"), "Required": (28, "I")}
"""[MS-VHDX] 2.2.3."""
ITEMS = {
    "Signature": (0, "8s"),
    "Reserved": (8, "H"),
    "EntryCount": (10, "H"),
    "Reserved2": (12, "20s"),
}
ITEM = {"ItemId": (0, "16s"), "Offset": (16, "I"), "Length": (20, "I"), "Flags": (24, "I")}
"""[MS-VHDX] 2.6.1."""


def sealed(record: bytes) -> int:
    """[MS-VHDX] 2.2.2: CRC-32C with the checksum's field as zeros."""
    return crc32c(record[:4] + bytes(4) + record[8:]) ^ 0xFFFFFFFF


def vhdx(store: Path) -> bytes:
    return whole(vhdx_pieces(DISK, ID), store)


def test_vhdx_headers(tmp_path: Path) -> None:
    image = vhdx(tmp_path)
    assert image[:8] == b"vhdxfile"
    for sequence, offset in enumerate((64 * KIB, 128 * KIB)):
        header = image[offset : offset + 4 * KIB]
        assert fields(header, "<", VHDX_HEADER) == {
            "Signature": b"head", "Checksum": sealed(header), "SequenceNumber": sequence,
            "FileWriteGuid": ID, "DataWriteGuid": ID, "LogGuid": bytes(16), "LogVersion": 0,
            "Version": 1, "LogLength": MIB, "LogOffset": MIB,
        }  # fmt: skip


def test_vhdx_region_tables(tmp_path: Path) -> None:
    image = vhdx(tmp_path)
    for offset in (192 * KIB, 256 * KIB):
        table = image[offset : offset + 64 * KIB]
        assert fields(table, "<", REGIONS) == {
            "Signature": b"regi", "Checksum": sealed(table), "EntryCount": 2, "Reserved": 0,
        }  # fmt: skip
        blocks = UUID("2DC27766-F623-4200-9D64-115E9BFD4A08").bytes_le
        metadata = UUID("8B7CA206-4790-4B9A-B8FE-575F050F886E").bytes_le
        assert [fields(table[at:], "<", REGION) for at in (16, 48)] == [
            {"Guid": blocks, "FileOffset": 3 * MIB, "Length": MIB, "Required": 1},
            {"Guid": metadata, "FileOffset": 2 * MIB, "Length": MIB, "Required": 1},
        ]
        assert not any(table[80:])


def test_vhdx_metadata(tmp_path: Path) -> None:
    region = vhdx(tmp_path)[2 * MIB : 3 * MIB]
    assert fields(region, "<", ITEMS) == {
        "Signature": b"metadata", "Reserved": 0, "EntryCount": 5, "Reserved2": bytes(20),
    }  # fmt: skip
    found = {}
    for number in range(5):
        item = fields(region[32 + 32 * number :], "<", ITEM)
        value = region[item["Offset"] : item["Offset"] + item["Length"]]
        found[str(UUID(bytes_le=item["ItemId"])).upper()] = (value, item["Flags"])
        assert item["Offset"] >= 64 * KIB
    # 2.6.2; flags: 2 is IsVirtualDisk, 4 is IsRequired.
    assert found == {
        "CAA16737-FA36-4D43-B3B6-33F0AA44E76B": (struct.pack("<II", MIB, 0), 4),
        "2FA54224-CD1B-4876-B211-5DBED83BF4B8": (struct.pack("<Q", 6 * MIB), 6),
        "BECA12AB-B2E6-4523-93EF-C309E000C746": (ID, 6),
        "8141BF1D-A96F-4709-BA47-F233A8FAAB5F": (struct.pack("<I", 512), 6),
        "CDA348C7-445D-4471-9CC9-E9885251C556": (struct.pack("<I", 4096), 6),
    }


def test_vhdx_block_allocation(tmp_path: Path) -> None:
    image = vhdx(tmp_path)
    # 2.5.1: the state in the low three bits (6 is fully present), the place in megabytes from bit
    # 20 on.
    present = 6
    assert struct.unpack_from("<7Q", image, 3 * MIB) == (
        4 * MIB | present, 0, 0, 0, 5 * MIB | present, 0, 0,
    )  # fmt: skip
    assert image[4 * MIB :] == DATA + DATA[::-1]
