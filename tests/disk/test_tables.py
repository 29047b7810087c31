"""Partition tables, field by field."""

from __future__ import annotations

import struct
import zlib
from uuid import UUID

from compos.disk.gpt import ESP, GptPartition, guid_partition_table
from compos.disk.mbr import MbrPartition, master_boot_record
from tests.records import fields

SECTORS = 100_000
DISK, FIRST, SECOND = (UUID(int=number << 96 | number) for number in (1, 2, 3))
LINUX = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")

HEADER = {
    "Signature": (0, "8s"), "Revision": (8, "I"), "HeaderSize": (12, "I"), "HeaderCRC32": (16, "I"),
    "Reserved": (20, "I"), "MyLBA": (24, "Q"), "AlternateLBA": (32, "Q"), "FirstUsableLBA": (40, "Q"),
    "LastUsableLBA": (48, "Q"), "DiskGUID": (56, "16s"), "PartitionEntryLBA": (72, "Q"),
    "NumberOfPartitionEntries": (80, "I"), "SizeOfPartitionEntry": (84, "I"),
    "PartitionEntryArrayCRC32": (88, "I"),
}  # fmt: skip
"""UEFI specification 2.10, table 5.5."""
ENTRY = {
    "PartitionTypeGUID": (0, "16s"), "UniquePartitionGUID": (16, "16s"), "StartingLBA": (32, "Q"),
    "EndingLBA": (40, "Q"), "Attributes": (48, "Q"), "PartitionName": (56, "72s"),
}  # fmt: skip
"""Table 5.6."""
RECORD = {
    "BootIndicator": (0, "B"), "StartingCHS": (1, "3s"), "OSType": (4, "B"), "EndingCHS": (5, "3s"),
    "StartingLBA": (8, "I"), "SizeInLBA": (12, "I"),
}  # fmt: skip
"""Table 5.2."""


def disk() -> tuple[bytes, bytes]:
    partitions = [
        GptPartition(2048, 4096, ESP, FIRST, "EFI", 4),
        GptPartition(8192, 50_000, LINUX, SECOND, "r\u00f6\u00f6t"),
    ]
    return guid_partition_table(partitions, SECTORS, DISK, code=b"\xeb\xfe")


def expected(own: int, other: int, table: int, header: bytes, entries: bytes) -> dict[str, object]:
    blank = header[:16] + bytes(4) + header[20:92]
    return {
        "Signature": b"EFI PART", "Revision": 0x00010000, "HeaderSize": 92,
        "HeaderCRC32": zlib.crc32(blank), "Reserved": 0, "MyLBA": own, "AlternateLBA": other,
        "FirstUsableLBA": 34, "LastUsableLBA": 99_966, "DiskGUID": DISK.bytes_le,
        "PartitionEntryLBA": table, "NumberOfPartitionEntries": 128, "SizeOfPartitionEntry": 128,
        "PartitionEntryArrayCRC32": zlib.crc32(entries),
    }  # fmt: skip


def test_the_primary_header_stands_behind_the_protective_record() -> None:
    head, _ = disk()
    assert len(head) == 34 * 512
    header, entries = head[512:1024], head[1024:]
    assert fields(header, "<", HEADER) == expected(1, 99_999, 2, header, entries)
    assert not any(header[92:])


def test_the_backup_header_is_the_last_sector_behind_its_entries() -> None:
    head, tail = disk()
    assert len(tail) == 33 * 512
    entries, header = tail[:-512], tail[-512:]
    assert fields(header, "<", HEADER) == expected(99_999, 1, 99_967, header, entries)
    assert entries == head[1024:]


def test_entries() -> None:
    head, _ = disk()
    assert fields(head[1024:], "<", ENTRY) == {
        "PartitionTypeGUID": bytes.fromhex("28732ac11ff8d211ba4b00a0c93ec93b"),
        "UniquePartitionGUID": FIRST.bytes_le, "StartingLBA": 2048, "EndingLBA": 6143,
        "Attributes": 4, "PartitionName": "EFI".encode("utf-16-le").ljust(72, b"\0"),
    }  # fmt: skip
    assert fields(head[1024 + 128 :], "<", ENTRY) == {
        "PartitionTypeGUID": bytes.fromhex("af3dc60f838472478e793d69d8477de4"),
        "UniquePartitionGUID": SECOND.bytes_le, "StartingLBA": 8192, "EndingLBA": 58_191,
        "Attributes": 0, "PartitionName": "r\u00f6\u00f6t".encode("utf-16-le").ljust(72, b"\0"),
    }  # fmt: skip
    assert not any(head[1024 + 2 * 128 :])


def test_the_protective_record_covers_the_disk() -> None:
    head, _ = disk()
    record = head[:512]
    assert record[:440] == b"\xeb\xfe".ljust(440, b"\0")
    assert fields(record[446:], "<", RECORD) == {
        "BootIndicator": 0, "StartingCHS": b"\x00\x02\x00", "OSType": 0xEE,
        "EndingCHS": b"\xff\xff\xff", "StartingLBA": 1, "SizeInLBA": 99_999,
    }  # fmt: skip
    assert not any(record[462:510])
    assert record[510:] == b"\x55\xaa"


def test_a_master_boot_record() -> None:
    record = master_boot_record(
        [MbrPartition(63, 1000, 0x0C, True), MbrPartition(10_000_000, 1 << 33, 0x83)],
        code=b"\xfa" * 440,
        signature=0x12345678,
    )
    assert len(record) == 512
    assert record[:440] == b"\xfa" * 440
    assert struct.unpack_from("<IH", record, 440) == (0x12345678, 0)
    # 255 heads, 63 sectors a track, counted from 1: sector 63 is 0/1/1, sector 1062 is 0/16/55,
    # sector 10,000,000 is 622/120/11; what lies beyond cylinder 1023 is 1023/254/63.
    assert fields(record[446:], "<", RECORD) == {
        "BootIndicator": 0x80, "StartingCHS": bytes((1, 1, 0)), "OSType": 0x0C,
        "EndingCHS": bytes((16, 55, 0)), "StartingLBA": 63, "SizeInLBA": 1000,
    }  # fmt: skip
    assert fields(record[462:], "<", RECORD) == {
        "BootIndicator": 0, "StartingCHS": bytes((120, 11 | 2 << 6, 622 - 512)), "OSType": 0x83,
        "EndingCHS": b"\xfe\xff\xff", "StartingLBA": 10_000_000, "SizeInLBA": 0xFFFFFFFF,
    }  # fmt: skip
    assert not any(record[478:510])
    assert record[510:] == b"\x55\xaa"
