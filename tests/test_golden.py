"""The bytes of every writer of file systems, archives and disks that does not compress, for one
tree and one disk, against recorded SHA-256 digests. Whether output formats are reproducible,
`tests/output/test_formats.py` asks of each.

Results are kept in the store under the versions of their kinds (`compos.image.derived_kinds`).
Whoever changes what a writer makes sees it here first: raise the versions of what is derived from
that format, then record the new digest.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from uuid import UUID

import pytest

from compos.boot.uki import unified_kernel_image
from compos.disk.gpt import BIOS_BOOT, ESP, GptPartition, guid_partition_table
from compos.disk.mbr import FAT32, MbrPartition, master_boot_record
from compos.disk.ova import ova_pieces
from compos.disk.qcow2 import qcow2_pieces
from compos.disk.vhd import vhd_dynamic_pieces, vhd_fixed_pieces
from compos.disk.vhdx import vhdx_pieces
from compos.filesystem.cpio import cpio_pieces
from compos.filesystem.erofs import erofs_pieces
from compos.filesystem.ext4 import ext4_pieces
from compos.filesystem.fat import fat_image
from compos.filesystem.iso9660 import BIOS, UEFI, BootImage, IsoLayout
from compos.filesystem.tar import tar_pieces
from compos.tree.contents import Contents
from compos.tree.node import DIRECTORY, FILE, Hole, Node, Piece
from tests.disk.pieces import ID, MIB, disk_pieces
from tests.filesystem.trees import blob, sample

Entries = list[tuple[str, Node]]


def _plain(entries: Entries) -> Entries:
    """What a FAT holds: files and folders whose names are Unicode and not too long."""
    return [
        (path, node)
        for path, node in entries
        if node.kind in (FILE, DIRECTORY) and path.isprintable() and len(path) < 100
    ]


def _iso(entries: Entries) -> Iterable[Piece]:
    layout = IsoLayout(
        [(path, node) for path, node in entries if len(path) < 200],
        volume="COMPOS",
        boot=[BootImage(BIOS, "bin/busy", 4), BootImage(UEFI, "tail", 0)],
        first="sparse",
    )
    return layout.pieces(system_area=b"system", filled={"tail": b"t" * 4097})


def _tables() -> list[Piece]:
    partitions = [
        GptPartition(2048, 4096, ESP, UUID(int=1), "EFI system", 1),
        GptPartition(6144, 100, BIOS_BOOT, UUID(int=2), "BIOS"),
        GptPartition(
            8192, 50_000, UUID("0fc63daf-8483-4772-8e79-3d69d8477de4"), UUID(int=3), "root \u2603"
        ),
    ]
    head, tail = guid_partition_table(partitions, 100_000, UUID(int=4), code=b"\xeb\xfe")
    record = master_boot_record(
        [MbrPartition(63, 1000, FAT32, True), MbrPartition(20_000_000, 1 << 33, 0x83)],
        code=b"\xeb\xfe",
        signature=0x12345678,
    )
    return [head, tail, record]


def _stub() -> bytes:
    """A PE32+ file with one section at address 0x2000, its headers 0x200 bytes long."""
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, 1, 7, 0, 0, 112, 0x22)
    optional = bytearray(112)
    struct.pack_into("<H", optional, 0, 0x20B)
    struct.pack_into("<II", optional, 32, 0x1000, 0x200)
    struct.pack_into("<III", optional, 56, 0x3000, 0x200, 0xDEAD)
    text = struct.pack("<8sIIIIIIHHI", b".text", 6, 0x2000, 0x200, 0x200, 0, 0, 0, 0, 0x60000020)
    head = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64) + coff + optional + text
    return head.ljust(0x200, b"\0") + b"\x90" * 0x200


def _uki(store: Path) -> list[Piece]:
    kernel: list[Piece] = [blob(store, b"kernel" * 1000)]
    sections: list[tuple[str, list[Piece]]] = [
        (".cmdline", [b"quiet"]),
        (".linux", kernel),
        (".initrd", [Hole(5000), b"i"]),
    ]
    return unified_kernel_image(_stub(), sections).pieces


TREES: dict[str, tuple[Callable[[Entries], Iterable[Piece]], str]] = {
    "cpio": (cpio_pieces, "f72e340ec158a73a74f7ac53b3706f692811217c6b8d81abda73ecbfb0cee5e5"),
    "cpio, continued": (
        lambda tree: cpio_pieces(tree, first=1 << 16, end=False),
        "700d7ba001d2befd7e4501f74346e6a6b93ecbaf57f8a9396d5ad024fc4a248f",
    ),
    "tar": (
        lambda tree: tar_pieces([(path, node, {"a": "b"}) for path, node in tree]),
        "82729416965b03d16cd2908ff2c6c460bf48812e69c743e8d601c6052175a5c6",
    ),
    "erofs": (
        lambda tree: erofs_pieces(tree, uuid=ID),
        "ba904c09bfbff602e4a593b4a9708fb25443c139f8cf918bc7203823474d0ea2",
    ),
    "ext4": (
        lambda tree: ext4_pieces(tree, uuid=ID, label="root"),
        "6da16c6485623ee767b5463c57cdc6bcee2e28a02b731c434780232a9af02e1f",
    ),
    "ext4, journal": (
        lambda tree: ext4_pieces(tree, uuid=ID, size=300 * MIB, journal=True),
        "05ecf7157810c2039790ebcbb3bede5dc03bbeb49c01abcebb7ccd4119c41957",
    ),
    "fat16": (
        lambda tree: fat_image(_plain(tree), serial=7, label="boot", hidden=63).pieces,
        "30949d1b07b1f86d6cb16dc5a945e8d3c406e7033680576357ff9817a9eab51f",
    ),
    "fat32": (
        lambda tree: fat_image(_plain(tree), serial=7, size=64 * MIB).pieces,
        "f54adf61b68ba0b380ee6fa76f6aa6e96ddb7584f1808248384a487c9f8555e8",
    ),
    "iso9660": (_iso, "e18b8d24dd345d74abc0f7eb42f1dabe6f6c36aeb3a2ea6431a43350bb6cab7c"),
}
STORED: dict[str, tuple[Callable[[Path], Iterable[Piece]], str]] = {
    "partition tables": (
        lambda store: _tables(),
        "57a100a6461beb91c9c445c5cad91452c45ab1b4ece6a57087b6d5ed963d5f78",
    ),
    "qcow2": (
        lambda store: qcow2_pieces(disk_pieces(store)),
        "6b8a0f4338b147d4a8dc1adfbf790bdd33094060d4ad665afba1c7d23adfea2a",
    ),
    "vhd": (
        lambda store: vhd_fixed_pieces(disk_pieces(store), ID),
        "bb5bf343f85e4162a8c5a242b4ae577b6eec0c7c48b4b34dde75707e14eb774e",
    ),
    "vhd, dynamic": (
        lambda store: vhd_dynamic_pieces(disk_pieces(store), ID),
        "46ffb6122fe80b14d5c6207a7a1d670acf8714dd000563206e4fddd0c90c84dc",
    ),
    "vhdx": (
        lambda store: vhdx_pieces(disk_pieces(store), ID),
        "64c2cb9f84ae98c88a29f967efaf2695b7b18b90b687cb0db2961f2b26eae850",
    ),
    "ova": (
        lambda store: ova_pieces("a<b", [b"vmdk"], "00" * 32, capacity=5 * MIB, firmware="efi"),
        "808ea81a5b00d1e6a43ed5f5852e2b1889b23a3104e817f4b0ae2f442fa6e12c",
    ),
    "uki": (_uki, "b6ff7d68799b8acd71c9b9cc5badadd809bcc084cd3cfbadf23610f6db786dd7"),
}


def compare(name: str, recorded: str, pieces: Iterable[Piece], store: Path) -> None:
    found = digest(pieces, store)
    assert found == recorded, (
        f"{name} has other bytes. If that is meant, raise the versions of what is made with this "
        f"writer (compos.image.derived_kinds) and record the digest {found} here"
    )


def digest(pieces: Iterable[Piece], store: Path) -> str:
    result = hashlib.sha256()
    with Contents(store) as contents:
        for chunk in contents.chunks(pieces):
            result.update(chunk)
    return result.hexdigest()


@pytest.mark.parametrize("name", TREES)
def test_a_tree_makes_the_recorded_bytes(name: str, tmp_path: Path) -> None:
    make, recorded = TREES[name]
    compare(name, recorded, make(sample(tmp_path)), tmp_path)


@pytest.mark.parametrize("name", STORED)
def test_a_disk_makes_the_recorded_bytes(name: str, tmp_path: Path) -> None:
    make, recorded = STORED[name]
    compare(name, recorded, make(tmp_path), tmp_path)
