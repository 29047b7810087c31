"""ISO 9660's descriptors, El Torito's catalogue, a FAT's boot sector and chains, headers of cpio
and tar, field by field."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest

from compos.filesystem.cpio import cpio_pieces
from compos.filesystem.fat import fat_image
from compos.filesystem.iso9660 import BIOS, UEFI, BootImage, IsoLayout
from compos.filesystem.tar import tar_pieces
from compos.tree.node import CHARACTER, Node, Piece, directory, file
from tests.records import fields, whole

SECTOR = 2048
SECONDS = 1492533000
NODES = [
    ("boot", directory(0o755, 0)),
    ("boot/bios", file(b"b" * 2048, 0o644, 0)),
    ("boot/esp", file(b"e" * 3000, 0o644, 0)),
    ("note", file(b"note", 0o644, SECONDS * 10**9)),
]

VOLUME = {
    "type": (0, "B"), "identifier": (1, "5s"), "version": (6, "B"), "flags": (7, "B"),
    "system identifier": (8, "32s"), "volume identifier": (40, "32s"),
    "volume space size": (80, "8s"), "escape sequences": (88, "32s"),
    "volume set size": (120, "4s"), "volume sequence number": (124, "4s"),
    "logical block size": (128, "4s"), "path table size": (132, "8s"), "L path table": (140, "I"),
    "optional L path table": (144, "I"), "M path table": (148, "4s"),
    "optional M path table": (152, "I"), "root directory record": (156, "34s"),
    "application identifier": (574, "128s"), "creation": (813, "17s"), "modification": (830, "17s"),
    "expiration": (847, "17s"), "effective": (864, "17s"), "file structure version": (881, "B"),
}  # fmt: skip
"""ECMA-119, 8.4 and 8.5."""
DIRECTORY = {
    "length": (0, "B"), "extended attribute length": (1, "B"), "extent": (2, "8s"),
    "data length": (10, "8s"), "time": (18, "7s"), "flags": (25, "B"), "unit size": (26, "B"),
    "gap size": (27, "B"), "volume sequence number": (28, "4s"), "name length": (32, "B"),
    "name": (33, "1s"),
}  # fmt: skip
"""ECMA-119, 9.1."""


def both(value: int, code: str = "I") -> bytes:
    """7.2.3, 7.3.3: a number in both byte orders."""
    return struct.pack(f"<{code}", value) + struct.pack(f">{code}", value)


def iso(store: Path) -> tuple[IsoLayout, bytes]:
    boot = [BootImage(BIOS, "boot/bios", 4), BootImage(UEFI, "boot/esp", 6)]
    layout = IsoLayout(NODES, volume="Compos", boot=boot)
    return layout, whole(layout.pieces(system_area=b"system"), store)


@pytest.mark.parametrize(("number", "kind"), [(16, 1), (18, 2)])
def test_volume_descriptors(tmp_path: Path, number: int, kind: int) -> None:
    """The primary one, and Joliet's supplementary one with its names in UCS-2."""
    layout, image = iso(tmp_path)
    assert len(image) == layout.size
    record = image[number * SECTOR :][:SECTOR]
    found = fields(record, "<", VOLUME)

    def text(value: str, length: int) -> bytes:
        if kind == 1:
            return value.upper().encode().ljust(length)
        return value.ljust(length // 2).encode("utf-16-be")

    root = fields(found["root directory record"], "<", DIRECTORY)
    # Descriptors in sectors 16 to 19, the catalogue in 20, then four path tables of a sector each.
    first = 21 if kind == 1 else 23
    time = b"2017041816300000\0"
    assert found == {
        "type": kind, "identifier": b"CD001", "version": 1, "flags": 0,
        "system identifier": text("", 32), "volume identifier": text("Compos", 32),
        "volume space size": both(len(image) // SECTOR),
        "escape sequences": (b"%/E" if kind == 2 else b"").ljust(32, b"\0"),
        "volume set size": both(1, "H"), "volume sequence number": both(1, "H"),
        "logical block size": both(2048, "H"),
        # Ten bytes of the root, and eight with the name of boot: `BOOT`, or twice as long.
        "path table size": both(10 + 8 + (4 if kind == 1 else 8)),
        "L path table": first, "optional L path table": 0,
        "M path table": (first + 1).to_bytes(4), "optional M path table": 0,
        "root directory record": found["root directory record"],
        "application identifier": text("COMPOS", 128), "creation": time, "modification": time,
        "expiration": b"0" * 16 + b"\0", "effective": time, "file structure version": 1,
    }  # fmt: skip
    assert not any(record[882:])
    extent = int.from_bytes(root["extent"][:4], "little")
    assert root == {
        "length": 34, "extended attribute length": 0, "extent": both(extent),
        "data length": both(SECTOR), "time": bytes((117, 4, 18, 16, 30, 0, 0)), "flags": 2,
        "unit size": 0, "gap size": 0, "volume sequence number": both(1, "H"), "name length": 1,
        "name": b"\0",
    }  # fmt: skip
    # 9.4: both path tables, in their byte orders, name the root at the same place.
    for order, at in (("<", first), (">", first + 1)):
        table = struct.unpack_from(f"{order}BBIH", image, at * SECTOR)
        assert table == (1, 0, extent, 1)
    # The root's directory begins with its own record.
    assert fields(image[extent * SECTOR :], "<", DIRECTORY)["extent"] == both(extent)


def test_boot_record_and_catalogue(tmp_path: Path) -> None:
    layout, image = iso(tmp_path)
    record = image[17 * SECTOR : 18 * SECTOR]
    assert record[:39] == b"\0CD001\1" + b"EL TORITO SPECIFICATION".ljust(32, b"\0")
    assert struct.unpack_from("<I", record, 71) == (20,)
    assert image[19 * SECTOR : 20 * SECTOR] == b"\xffCD001\1".ljust(SECTOR, b"\0")
    catalogue = image[20 * SECTOR : 21 * SECTOR]
    # El Torito 2.1: header 1, platform 0 (PC), identification, checksum, key; words add up to 0.
    assert struct.unpack_from("<BBH24sHBB", catalogue)[:4] == (1, 0, 0, b"compos".ljust(24, b"\0"))
    assert catalogue[30:32] == b"\x55\xaa"
    assert sum(struct.unpack_from("<16H", catalogue)) & 0xFFFF == 0
    # 2.2: bootable, no emulation, segment, system type, sectors of 512 bytes, place.
    bios, esp = (layout.starts[f"boot/{name}"] // SECTOR for name in ("bios", "esp"))
    assert struct.unpack_from("<BBHBBHI", catalogue, 32) == (0x88, 0, 0, 0, 0, 4, bios)
    # 2.3: the last header, UEFI's platform, one entry; and that entry.
    assert struct.unpack_from("<BBH", catalogue, 64) == (0x91, 0xEF, 1)
    assert struct.unpack_from("<BBHBBHI", catalogue, 96) == (0x88, 0, 0, 0, 0, 6, esp)
    assert not any(catalogue[108:])
    assert image[bios * SECTOR :][:2048] == b"b" * 2048
    assert image[esp * SECTOR :][:3000] == b"e" * 3000


BPB = {
    "BS_jmpBoot": (0, "3s"), "BS_OEMName": (3, "8s"), "BPB_BytsPerSec": (11, "H"),
    "BPB_SecPerClus": (13, "B"), "BPB_RsvdSecCnt": (14, "H"), "BPB_NumFATs": (16, "B"),
    "BPB_RootEntCnt": (17, "H"), "BPB_TotSec16": (19, "H"), "BPB_Media": (21, "B"),
    "BPB_FATSz16": (22, "H"), "BPB_SecPerTrk": (24, "H"), "BPB_NumHeads": (26, "H"),
    "BPB_HiddSec": (28, "I"), "BPB_TotSec32": (32, "I"),
}  # fmt: skip
FAT16 = {
    "BS_DrvNum": (36, "B"), "BS_Reserved1": (37, "B"), "BS_BootSig": (38, "B"),
    "BS_VolID": (39, "I"), "BS_VolLab": (43, "11s"), "BS_FilSysType": (54, "8s"),
}  # fmt: skip
FAT32 = {
    "BPB_FATSz32": (36, "I"), "BPB_ExtFlags": (40, "H"), "BPB_FSVer": (42, "H"),
    "BPB_RootClus": (44, "I"), "BPB_FSInfo": (48, "H"), "BPB_BkBootSec": (50, "H"),
} | {name: (at + 28, code) for name, (at, code) in FAT16.items()}  # fmt: skip
INFO = {
    "FSI_LeadSig": (0, "I"), "FSI_StrucSig": (484, "I"), "FSI_Free_Count": (488, "I"),
    "FSI_Nxt_Free": (492, "I"), "FSI_TrailSig": (508, "I"),
}  # fmt: skip
"""fatgen103, "Boot Sector and BPB", "FAT32 FSInfo Sector Structure and Backup Boot Sector"."""


def sector(image: bytes, number: int) -> bytes:
    return image[number * 512 : (number + 1) * 512]


BIG = hashlib.shake_256(b"fat").digest(10_000)
FILES = [("BIG", file(BIG, 0o644, 0)), ("SMALL", file(b"small", 0o644, 0))]


@pytest.mark.parametrize("wide", [False, True])
def test_fat(tmp_path: Path, *, wide: bool) -> None:
    made = fat_image(FILES, serial=0x1234ABCD, label="boot", size=(40 << 20) * wide, hidden=2048)
    image = whole(made.pieces, tmp_path)
    boot = fields(image, "<", BPB | (FAT32 if wide else FAT16))
    table = boot["BPB_FATSz32"] if wide else boot["BPB_FATSz16"]
    reserved, sectors = boot["BPB_RsvdSecCnt"], len(image) // 512
    assert boot == {
        "BS_jmpBoot": b"\xeb\x58\x90" if wide else b"\xeb\x3c\x90", "BS_OEMName": b"COMPOS  ",
        "BPB_BytsPerSec": 512, "BPB_SecPerClus": 1, "BPB_RsvdSecCnt": reserved, "BPB_NumFATs": 2,
        "BPB_RootEntCnt": 0 if wide else 512, "BPB_TotSec16": 0 if wide else sectors,
        "BPB_Media": 0xF8, "BPB_FATSz16": 0 if wide else table, "BPB_SecPerTrk": 63,
        "BPB_NumHeads": 255, "BPB_HiddSec": 2048, "BPB_TotSec32": sectors if wide else 0,
        "BS_DrvNum": 0x80, "BS_Reserved1": 0, "BS_BootSig": 0x29, "BS_VolID": 0x1234ABCD,
        "BS_VolLab": b"BOOT       ", "BS_FilSysType": b"FAT32   " if wide else b"FAT16   ",
    } | ({
        "BPB_FATSz32": table, "BPB_ExtFlags": 0, "BPB_FSVer": 0, "BPB_RootClus": 2,
        "BPB_FSInfo": 1, "BPB_BkBootSec": 6,
    } if wide else {})  # fmt: skip
    assert image[510:512] == b"\x55\xaa"
    data = reserved + 2 * table + (0 if wide else 32)
    clusters = sectors - data
    assert data % 8 == 0
    # The type follows from the number of clusters alone, and the table has an entry for each.
    assert (clusters >= 65_525) == wide
    assert clusters >= 4085
    assert table * 512 >= (clusters + 2) * (4 if wide else 2)
    tables = image[reserved * 512 : (reserved + 2 * table) * 512]
    assert tables[: table * 512] == tables[table * 512 :]
    chain = struct.unpack_from(f"<{clusters + 2}{'I' if wide else 'H'}", tables)
    end = 0x0FFFFFFF if wide else 0xFFFF
    assert chain[:2] == (end - 0xFF | 0xF8, end)
    root = sector(image, data if wide else data - 32)
    assert struct.unpack_from("<11sB", root) == (b"BOOT       ", 8)
    for number, (name, node) in enumerate(FILES, 1):
        entry = struct.unpack_from("<11sBBBHHHHHHHI", root, 32 * number)
        assert entry[:2] == (name.encode().ljust(11), 0x20)
        assert entry[-1] == node.size
        cluster, content = entry[7] << 16 | entry[10], b""
        assert made.starts[name] == (data + cluster - 2) * 512
        # As many clusters as the size needs; a chain that is longer, or a circle, ends elsewhere.
        for _ in range(0, node.size, 512):
            content += sector(image, data + cluster - 2)
            cluster = chain[cluster]
        assert (name, cluster) == (name, end)
        assert content.rstrip(b"\0") == whole(node.content, tmp_path).rstrip(b"\0")
    if wide:
        used = sum(entry != 0 for entry in chain[2:])
        assert fields(image[512:], "<", INFO) == {
            "FSI_LeadSig": 0x41615252, "FSI_StrucSig": 0x61417272, "FSI_Free_Count": clusters - used,
            "FSI_Nxt_Free": max(at for at, entry in enumerate(chain) if entry) + 1,
            "FSI_TrailSig": 0xAA550000,
        }  # fmt: skip
        assert image[6 * 512 : 8 * 512] == image[: 2 * 512]


DEVICE = ("dev", Node(CHARACTER, 0o620, 1000, 5, SECONDS * 10**9, device=(4, 65)))


def test_cpio_header(tmp_path: Path) -> None:
    archive = whole(cpio_pieces([DEVICE, ("f", file(b"abcde", 0o644, 0))], first=7), tmp_path)
    # buffer-format.rst: magic, then eight digits each of ino, mode, uid, gid, nlink, mtime,
    # filesize, maj, min, rmaj, rmin, namesize, chksum; name and data end at multiples of four.
    device = (7, 0o020620, 1000, 5, 1, SECONDS, 0, 0, 0, 4, 65, 4, 0)
    regular = (8, 0o100644, 0, 0, 1, 0, 5, 0, 0, 0, 0, 2, 0)
    trailer = (0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 11, 0)
    expected = b""
    for numbers, rest in ((device, b"dev\0"), (regular, b"f\0"), (trailer, b"TRAILER!!!\0")):
        expected += b"070701" + b"".join(b"%08x" % number for number in numbers) + rest
        expected += bytes(-len(expected) % 4)
        if numbers is regular:
            expected += b"abcde\0\0\0"
    assert archive == expected


TAR = {
    "name": (0, "100s"), "mode": (100, "8s"), "uid": (108, "8s"), "gid": (116, "8s"),
    "size": (124, "12s"), "mtime": (136, "12s"), "chksum": (148, "8s"), "typeflag": (156, "1s"),
    "linkname": (157, "100s"), "magic": (257, "6s"), "version": (263, "2s"), "uname": (265, "32s"),
    "gname": (297, "32s"), "devmajor": (329, "8s"), "devminor": (337, "8s"), "prefix": (345, "155s"),
}  # fmt: skip
"""POSIX.1-2024, pax, "ustar Interchange Format"."""


def test_tar_header(tmp_path: Path) -> None:
    path, node = DEVICE
    entries: list[Piece] = list(tar_pieces([(path, node, {})]))
    archive = whole(entries, tmp_path)
    found = fields(archive, "<", TAR)
    checksum = sum(archive[:148]) + 8 * ord(" ") + sum(archive[156:512])
    assert {name: value.strip(b"\0 ") for name, value in found.items()} == {
        "name": b"dev", "mode": b"0000620", "uid": b"0001750", "gid": b"0000005",
        "size": b"00000000000", "mtime": b"%011o" % SECONDS, "chksum": b"%06o" % checksum,
        "typeflag": b"3", "linkname": b"", "magic": b"ustar", "version": b"00", "uname": b"",
        "gname": b"", "devmajor": b"0000004", "devminor": b"0000101", "prefix": b"",
    }  # fmt: skip
    assert archive[512:] == bytes(1024)
