"""What is on a disk, as far as a cloud has to know: what can start it, for which architecture, and
which drivers its kernel has.

Pure, but for the disk that it reads. Disks may come from anybody: every number is checked, and what
cannot be understood is unknown, never an error.

Sources: UEFI specification 2.10, 5.2 (MBR), 5.3 (GPT) and 3.5.1.1 (removable media); Microsoft,
"FAT32 File System Specification" 1.03; PE format ("COFF File Header", "Section Table"); Linux's
Documentation/driver-api/early-userspace/buffer-format.rst (cpio archives in an initramfs).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from compos.arithmetic import ceil_div
from compos.cloud.initramfs import modules_of
from compos.disk.disk_file import Disk

__all__ = [
    "LOADERS",
    "Contents",
    "Extent",
    "Partition",
    "boot_files",
    "contents_of",
    "extent_chunks",
    "partitions",
    "program_sections",
]

SECTOR = 512
ESP = bytes.fromhex("28732ac11ff8d211ba4b00a0c93ec93b")
"""The GUID of EFI system partitions, C12A7328-F81F-11D2-BA4B-00A0C93EC93B, in its bytes."""

LINUX = bytes.fromhex("af3dc60f838472478e793d69d8477de4")
"""Linux's data, 0FC63DAF-8483-4772-8E79-3D69D8477DE4."""

_FAT_KINDS = (0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E, 0xEF)
_GPT_KIND = 0xEE
LOADERS = {"BOOTX64.EFI": "amd64", "BOOTAA64.EFI": "arm64", "BOOTRISCV64.EFI": "riscv64"}

MAX_PARTITIONS = 128
MAX_CLUSTERS = 1 << 20
MAX_FOLDER = 4 << 20
"""Bytes of a folder: the FAT's own limit is 2 MiB."""


class Contents(NamedTuple):
    """`architecture` is empty if it cannot be told. `drivers` are names of modules, loadable or
    built in; None if they cannot be told. `whole` says that no other drivers are on the disk: the
    root is in memory, not on a partition of its own."""

    architecture: str
    firmware: frozenset[str]
    drivers: frozenset[str] | None
    whole: bool


def contents_of(disk: Disk) -> Contents:
    """What is on `disk`."""
    head = disk.read(0, SECTOR)
    found = list(partitions(disk, head))
    code = any(head[:440])
    firmware, architecture, drivers = set(), "", None
    for one in found:
        files = boot_files(disk, one.start) if one.is_fat else {}
        for name, loads in LOADERS.items():
            if name in files and one.is_esp:
                firmware.add("efi")
                architecture = loads
                initrd = program_sections(disk, files[name]).get(".initrd")
                if initrd:
                    drivers = modules_of(extent_chunks(disk, files[name], *initrd))
        if "INITRD.IMG" in files:
            architecture = architecture or "amd64"
            drivers = modules_of(extent_chunks(disk, files["INITRD.IMG"]))
    if code and head[510:512] == b"\x55\xaa" and found:
        # The loaders of a BIOS are x86 code; ours is in front of the first partition.
        firmware.add("bios")
        architecture = architecture or "amd64"
    return Contents(
        architecture,
        frozenset(firmware),
        None if drivers is None else frozenset(drivers),
        not any(one.is_linux for one in found),
    )


class Partition(NamedTuple):
    """A partition by its first byte's offset."""

    start: int
    is_fat: bool
    is_esp: bool
    is_linux: bool


def partitions(disk: Disk, head: bytes) -> Iterator[Partition]:
    """The partitions of an MBR or GPT, with their first bytes' offsets; `head` is the first
    sector."""
    if head[510:512] != b"\x55\xaa":
        return
    entries = [head[446 + 16 * number : 462 + 16 * number] for number in range(4)]
    if any(entry[4] == _GPT_KIND for entry in entries):
        yield from _gpt_partitions(disk)
        return
    for entry in entries:
        (start,) = struct.unpack_from("<I", entry, 8)
        if entry[4] and start:
            yield Partition(
                start * SECTOR, entry[4] in _FAT_KINDS, entry[4] == 0xEF, entry[4] == 0x83
            )


def _gpt_partitions(disk: Disk) -> Iterator[Partition]:
    header = disk.read(SECTOR, 92)
    if header[:8] != b"EFI PART":
        return
    # Table 5.5: the entries' first block, their number and size.
    first, count, size = struct.unpack_from("<QII", header, 72)
    if size < 128 or size > SECTOR or first > 1 << 32:
        return
    for number in range(min(count, MAX_PARTITIONS)):
        entry = disk.read(first * SECTOR + number * size, 128)
        if len(entry) < 128 or not any(entry[:16]):
            continue
        (start,) = struct.unpack_from("<Q", entry, 32)
        kind = entry[:16]
        if start < 1 << 48:
            yield Partition(start * SECTOR, kind == ESP, kind == ESP, kind == LINUX)


class Extent(NamedTuple):
    """A file of a FAT: where its clusters begin, in their order, and its length."""

    clusters: tuple[int, ...]
    cluster_size: int
    length: int


class _Fat:
    """A FAT16 or FAT32 ("BPB", "FAT Type Determination"); a FAT12 is too small to boot from."""

    def __init__(self, disk: Disk, start: int) -> None:
        self._disk, self._start = disk, start
        boot = disk.read(start, SECTOR).ljust(SECTOR, b"\0")
        sector, per_cluster, reserved, fats, root_entries, total16 = struct.unpack_from(
            "<HBHBHH", boot, 11
        )
        (size16,) = struct.unpack_from("<H", boot, 22)
        total32, size32 = struct.unpack_from("<II", boot, 32)
        usable = (
            sector in (512, 1024, 2048, 4096)
            and per_cluster in (1, 2, 4, 8, 16, 32, 64, 128)
            and fats in (1, 2)
        )
        self.valid = usable
        self._sector = sector or SECTOR
        self.cluster_size = self._sector * (per_cluster or 1)
        table = size16 or size32
        root_sectors = (root_entries * 32 + self._sector - 1) // self._sector
        self._table = start + reserved * self._sector
        self._root_at = self._table + fats * table * self._sector
        self._root_size = root_sectors * self._sector
        self._data = self._root_at + self._root_size
        clusters = ((total16 or total32) * self._sector - (self._data - start)) // self.cluster_size
        self.count = max(0, min(clusters, table * self._sector // 2, 1 << 28))
        self._wide = not size16
        (self._root_cluster,) = struct.unpack_from("<I", boot, 44)

    def root(self) -> bytes:
        """The root folder's entries."""
        if self._wide:
            return self._bytes(self._root_cluster, MAX_FOLDER)
        return self._disk.read(self._root_at, min(self._root_size, MAX_FOLDER))

    def folder(self, first: int) -> bytes:
        """The entries of the folder whose first cluster is `first`."""
        return self._bytes(first, MAX_FOLDER)

    def extent(self, first: int, length: int) -> Extent:
        """A file by its first cluster."""
        offsets = tuple(
            self._offset(cluster)
            for cluster in self._chain(first, ceil_div(length, self.cluster_size))
        )
        return Extent(offsets, self.cluster_size, length)

    def _bytes(self, first: int, most: int) -> bytes:
        return b"".join(
            self._disk.read(self._offset(cluster), self.cluster_size)
            for cluster in self._chain(first, most // self.cluster_size)
        )

    def _offset(self, cluster: int) -> int:
        offset: int = self._data + (cluster - 2) * self.cluster_size
        return offset

    def _chain(self, first: int, most: int) -> Iterator[int]:
        """Clusters from `first` on, at most `most` of them; the table is read in pieces."""
        width = 4 if self._wide else 2
        piece_at, piece = -1, b""
        cluster = first
        for _ in range(min(most, MAX_CLUSTERS)):
            if not 2 <= cluster < self.count + 2:
                return
            yield cluster
            at = cluster * width
            if at // 65536 != piece_at:
                piece_at = at // 65536
                piece = self._disk.read(self._table + piece_at * 65536, 65536)
            entry = piece[at % 65536 : at % 65536 + width]
            cluster = int.from_bytes(entry, "little") & 0x0FFFFFFF
            if not self._wide and cluster >= 0xFFF8:
                return


def boot_files(disk: Disk, start: int) -> dict[str, Extent]:
    """Files in the root folder and in `EFI/BOOT`, by their short names or the first 13 letters of
    their long ones, in capitals."""
    fat = _Fat(disk, start)
    if not fat.valid:
        return {}
    found = {}
    entries = _entries(fat.root())
    efi = entries.get("EFI")
    boot = _entries(fat.folder(efi[0])).get("BOOT") if efi else None
    inside = _entries(fat.folder(boot[0])) if boot else {}
    for name, (first, length) in {**entries, **inside}.items():
        if length:
            found[name] = fat.extent(first, length)
    return found


def _entries(folder: bytes) -> dict[str, tuple[int, int]]:
    """Names of a folder, in capitals, with the first cluster and the length of each ("FAT Directory
    Structure", "Long Directory Entries")."""
    found = {}
    long: dict[int, str] = {}
    for at in range(0, len(folder) - 31, 32):
        entry = folder[at : at + 32]
        if entry[0] == 0:
            break
        if entry[11] == 0x0F:
            letters = entry[1:11] + entry[14:26] + entry[28:32]
            long[entry[0] & 0x3F] = letters.decode("utf-16-le", "replace").split("\0")[0]
            continue
        if entry[0] != 0xE5 and not entry[11] & 0x08:
            high, low, length = struct.unpack("<H4xHI", entry[20:32])
            short = entry[:8].decode("latin-1").rstrip()
            extension = entry[8:11].decode("latin-1").rstrip()
            name = "".join(long[part] for part in sorted(long)).rstrip("\uffff")
            name = name or (f"{short}.{extension}" if extension else short)
            found[name.upper()] = (high << 16 | low, length)
        long = {}
    return found


def extent_chunks(
    disk: Disk, extent: Extent, skip: int = 0, length: int | None = None
) -> Iterator[bytes]:
    """The bytes of a file, or of a part of it, a cluster or more at a time."""
    left = min(extent.length - skip, extent.length if length is None else length)
    size = extent.cluster_size
    number = skip // size
    inside = skip % size
    while left > 0 and number < len(extent.clusters):
        # Clusters that lie one behind the other are read at once.
        run = 1
        while (
            run * size < 1 << 20
            and number + run < len(extent.clusters)
            and extent.clusters[number + run] == extent.clusters[number] + run * size
        ):
            run += 1
        part = disk.read(extent.clusters[number] + inside, min(run * size - inside, left))
        if not part:
            return
        yield part
        left -= len(part)
        number += run
        inside = 0


def program_sections(disk: Disk, extent: Extent) -> dict[str, tuple[int, int]]:
    """The sections of a UEFI program, such as a UKI (Unified Kernel Image), by their names: where
    each begins in the file, and its bytes; empty for what is no such program."""
    head = b"".join(extent_chunks(disk, extent, 0, 8192))
    if head[:2] != b"MZ" or len(head) < 64:
        return {}
    (at,) = struct.unpack_from("<I", head, 60)
    if head[at : at + 4] != b"PE\0\0" or len(head) < at + 24:
        return {}
    count, optional = struct.unpack_from("<H12xH", head, at + 6)
    table = at + 24 + optional
    found: dict[str, tuple[int, int]] = {}
    for number in range(count):
        entry = head[table + 40 * number : table + 40 * number + 40]
        if len(entry) == 40:
            virtual, _, raw_size, offset = struct.unpack_from("<IIII", entry, 8)
            name = entry[:8].rstrip(b"\0").decode("latin-1")
            found.setdefault(name, (offset, min(virtual, raw_size)))
    return found
