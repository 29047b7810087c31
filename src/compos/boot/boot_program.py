"""The program that UEFI firmware starts from a disk image, read out of the partition and the file
system that firmware finds it in: `EFI/BOOT/BOOTX64.EFI` in the FAT of the EFI system partition.

Reads the image, which is a stranger's: every place is checked against its size.

Sources: UEFI specification 2.10, 5.3 (GPT) and 3.5.1.1 (names); Microsoft, "FAT: General Overview
of On-Disk Format" 1.03 (cited as [FAT]).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple
from uuid import UUID

from compos.disk.gpt import ESP
from compos.errors import OutputError

__all__ = ["Partition", "boot_program", "partitions"]

SECTOR = 512
NAMES = (b"BOOTX64 EFI", b"BOOTAA64EFI")
"""File names as a directory has them: eight bytes and three."""

MAX_PARTITIONS = 1024
MAX_DIRECTORY = 1 << 20

# GPT header, from its 72nd byte: sector of the entries, their number, the size of one.
_TABLE = struct.Struct("<QII")
_TABLE_AT = 72
# GPT entry: type, own GUID, first and last sector, attributes, name in UTF-16.
_PARTITION = struct.Struct("<16s16sQQ8x72s")
# [FAT] "Boot Sector and BPB", from its 11th byte: bytes per sector, sectors per cluster, reserved
# sectors, FATs, root entries, sectors (16 bits), media, sectors per FAT (16 bits), 8 bytes, sectors
# (32 bits); then of FAT32 sectors per FAT, flags, version, first cluster of the root.
_BPB = struct.Struct("<HBHBHHBH8xIIHHI")
_BPB_AT = 11
FAT16_FEWEST, FAT32_FEWEST = 4085, 65525
END = {2: 0xFFF8, 4: 0x0FFFFFF8}
"""[FAT] "FAT Data Structure": what ends a chain, by the bytes of an entry."""
# [FAT] "Directory Structure": name, attributes, upper half of the first cluster, lower half, size.
_ENTRY = struct.Struct("<11sB8xH4xHI")
VOLUME, FOLDER = 0x08, 0x10


class _Slice(io.RawIOBase):
    """A part of a file as a file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._file.seek(self._start + self._at)
        data = self._file.read(max(min(len(buffer), self._size - self._at), 0))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Fat(NamedTuple):
    """A FAT16 or FAT32: places in the image in bytes. `width` is the bytes of a FAT's entry."""

    image: BinaryIO
    fat: int
    width: int
    data: int
    cluster: int
    clusters: int
    root: tuple[int, int]
    """Start and size of a FAT16's root directory, or the first cluster of a FAT32's and 0."""

    def chain(self, first: int) -> Iterator[int]:
        """The clusters of a file or directory."""
        number, left = first, self.clusters
        while number < END[self.width]:
            if not 2 <= number < self.clusters + 2 or not left:
                raise _unreadable("a chain of clusters leads nowhere")
            yield number
            left -= 1
            data = _at(self.image, self.fat + number * self.width, self.width)
            number = int.from_bytes(data, "little") & (0x0FFFFFFF if self.width == 4 else 0xFFFF)

    def place(self, number: int) -> int:
        """Where a cluster is in the image."""
        return self.data + (number - 2) * self.cluster

    def entries(self, first: int) -> Iterator[tuple[bytes, int, int, int]]:
        """Name, attributes, first cluster and size of what a directory has; 0 is the root."""
        if first == 0 and self.root[1]:
            data = _at(self.image, *self.root)
        else:
            data = b""
            for number in self.chain(first or self.root[0]):
                data += _at(self.image, self.place(number), self.cluster)
                if len(data) > MAX_DIRECTORY:
                    raise _unreadable("a directory is too large")
        for at in range(0, len(data) - 31, 32):
            name, attributes, high, low, size = _ENTRY.unpack_from(data, at)
            if name[0] == 0:
                return
            if not attributes & VOLUME and name[0] != 0xE5:
                yield name, attributes, high << 16 | low, size


def boot_program(image: BinaryIO) -> BinaryIO:
    """What firmware starts: `image` itself if it is a program, else a file in its EFI system
    partition. Raises `OutputError` (`measure-image`)."""
    image.seek(0)
    if image.read(2) == b"MZ":
        return image
    try:
        fat = _file_system(image, _system_partition(image))
        first = 0
        for folder in (b"EFI        ", b"BOOT       "):
            first = next(
                cluster
                for name, attributes, cluster, _ in fat.entries(first)
                if name == folder and attributes & FOLDER
            )
        cluster, size = next(
            (cluster, size)
            for name, attributes, cluster, size in fat.entries(first)
            if name in NAMES and not attributes & FOLDER
        )
    except struct.error as error:
        raise _unreadable("it is cut off") from error
    except StopIteration as error:
        raise _unreadable("there is no EFI/BOOT/BOOTX64.EFI or BOOTAA64.EFI in it") from error
    numbers = [*fat.chain(cluster)]
    if numbers != [*range(cluster, cluster + len(numbers))] or size > len(numbers) * fat.cluster:
        raise _unreadable("its boot program is in several parts; copy it out with mcopy")
    return io.BufferedReader(_Slice(image, fat.place(cluster), size))


def _system_partition(image: BinaryIO) -> int:
    """Where the EFI system partition begins, in bytes."""
    for one in partitions(image):
        if one.kind == ESP:
            return one.start
    raise _unreadable("it has no EFI system partition")


class Partition(NamedTuple):
    """Its type, where it begins, in bytes, and its name."""

    kind: UUID
    start: int
    name: str


def partitions(image: BinaryIO) -> Iterator[Partition]:
    """Those in a GPT. Raises `OutputError` (`measure-image`)."""
    header = _at(image, SECTOR, SECTOR)
    if not header.startswith(b"EFI PART"):
        raise _unreadable("it has no GPT")
    sector, count, size = _TABLE.unpack_from(header, _TABLE_AT)
    if count > MAX_PARTITIONS or not _PARTITION.size <= size <= 4096:
        raise _unreadable("its GPT is damaged")
    table = _at(image, sector * SECTOR, count * size)
    for at in range(0, count * size, size):
        kind, _, first, _, name = _PARTITION.unpack_from(table, at)
        if any(kind):
            text = name.decode("utf-16-le", "replace").split("\0", 1)[0]
            yield Partition(UUID(bytes_le=kind), int(first) * SECTOR, text)


def _file_system(image: BinaryIO, start: int) -> _Fat:
    boot = _at(image, start, SECTOR)
    values = _BPB.unpack_from(boot, _BPB_AT)
    sector, per_cluster, reserved, fats, entries, few, _, size, many, size32, _, _, root = values
    if sector not in (512, 1024, 2048, 4096) or not per_cluster or boot[510:] != b"\x55\xaa":
        raise _unreadable("its EFI system partition has no FAT")
    fat = start + reserved * sector
    folder = fat + fats * (size or size32) * sector
    data = folder + entries * 32
    cluster = per_cluster * sector
    clusters = (start + (few or many) * sector - data) // cluster
    if clusters < FAT16_FEWEST:
        raise _unreadable("its FAT has entries of 12 bits")
    wide = clusters >= FAT32_FEWEST
    place = (root, 0) if wide else (folder, entries * 32)
    return _Fat(image, fat, 4 if wide else 2, data, cluster, clusters, place)


def _at(image: BinaryIO, start: int, size: int) -> bytes:
    try:
        image.seek(start)
        data = image.read(size)
    except (OverflowError, OSError) as error:
        raise _unreadable("a place in it is out of bounds") from error
    if len(data) < size:
        raise _unreadable("it is cut off")
    return data


def _unreadable(reason: str) -> OutputError:
    return OutputError(
        "measure-image",
        f"no boot program for UEFI is found in the file: {reason}",
        hint="Name an output of the format uki (NAME.efi), or a raw disk that boots with UEFI.",
    )
