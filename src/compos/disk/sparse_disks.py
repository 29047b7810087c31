"""Disks in containers that keep only the blocks with data: dynamic VHD, VHDX, VMDK.

Pure, but for the file that it is handed. It may come from anybody: every number is checked before
it is used, and memory is bounded whatever it says.

Sources: Microsoft, "Virtual Hard Disk Image Format Specification" 1.0 ("Dynamic Disk Header
Format"); [MS-VHDX], cited by section; VMware, "Virtual Disk Format 5.0" ("Hosted Sparse Extent
Header", "Stream-Optimized Compressed Sparse Extents").
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from compos.arithmetic import align_up, ceil_div
from compos.disk.vhdx import BAT, METADATA

__all__ = ["DamagedDisk", "SparseDisk", "dynamic_vhd", "vhdx", "vmdk"]

Read = Callable[[int, int], bytes]

SECTOR = 512
MAX_SIZE = 64 << 40
MAX_BLOCK = 256 << 20
MAX_TABLE = 64 << 20
"""Bytes of a table that is kept."""
MAX_GRAIN = 1 << 20
"""Bytes of a VMDK's block; usual are 64 KiB."""


class DamagedDisk(ValueError):
    """The container says what cannot be, or depends on other files."""


class SparseDisk(NamedTuple):
    """A disk of `size` bytes in blocks of `block`; `part` gives the bytes at an offset of a block,
    of which there are at most as many as asked for; less is zeros."""

    size: int
    block: int
    part: Callable[[int, int, int], bytes]

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes at `offset`; fewer at the end. Raises `DamagedDisk`."""
        end = min(offset + size, self.size)
        parts = []
        while offset < end:
            number, inside = divmod(offset, self.block)
            count = min(end - offset, self.block - inside)
            try:
                parts.append(self.part(number, inside, count).ljust(count, b"\0"))
            except (struct.error, zlib.error) as error:
                raise DamagedDisk(f"a block is damaged: {error}") from error
            offset += count
        return b"".join(parts)


def _checked(size: int, block: int, entries: int, width: int) -> None:
    if not 0 < size <= MAX_SIZE or not SECTOR <= block <= MAX_BLOCK or block & (block - 1):
        raise DamagedDisk("its size cannot be")
    if entries * width > MAX_TABLE or entries * block < size:
        raise DamagedDisk("its table of blocks has another size than its disk needs")


def _table(read: Read, at: int, entries: int, form: str) -> tuple[int, ...]:
    data = read(at, entries * struct.calcsize(form))
    found: tuple[int, ...] = struct.unpack(f"{form[0]}{entries}{form[1]}", data)
    return found


def dynamic_vhd(read: Read, length: int) -> SparseDisk:
    """A VHD of type 3 in a file of `length` bytes. Raises `DamagedDisk`."""
    try:
        footer = read(length - SECTOR, SECTOR)
        (header_at,) = struct.unpack_from(">Q", footer, 16)
        (size,) = struct.unpack_from(">Q", footer, 48)
        (kind,) = struct.unpack_from(">I", footer, 60)
        header = read(header_at, 1024) if header_at < length else b""
        if kind != 3 or header[:8] != b"cxsparse":
            raise DamagedDisk("it depends on another file, or has no table")
        table_at, _, entries, block = struct.unpack_from(">QIII", header, 16)
        _checked(size, block, entries, 4)
        table = _table(read, table_at, entries, ">I")
    except struct.error as error:
        raise DamagedDisk(f"it is damaged: {error}") from error
    # In front of a block is a bit for each of its sectors, in whole sectors.
    bitmap = align_up(ceil_div(block // SECTOR, 8), SECTOR)

    def part(number: int, inside: int, count: int) -> bytes:
        place = table[number]
        return b"" if place == 0xFFFFFFFF else read(place * SECTOR + bitmap + inside, count)

    return SparseDisk(size, block, part)


_HEADERS_AT = (64 << 10, 128 << 10)
_REGIONS_AT = 192 << 10
_MAX_ENTRIES = 2047
"""2.2.3.1, 2.6.1.1: entries of the tables of regions and of metadata."""
_PARAMETERS = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
_DISK_SIZE = UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
_SECTOR_SIZE = UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
_HAS_PARENT = 2
PARTIAL, PRESENT = 7, 6
"""2.5.1.1: states of a block."""


def vhdx(read: Read) -> SparseDisk:
    """A VHDX that was closed, without a parent. Raises `DamagedDisk`."""
    try:
        heads = [read(at, 72) for at in _HEADERS_AT]
        current = max(heads, key=lambda head: struct.unpack_from("<Q", head, 8)[0])
        if current[:4] != b"head" or any(current[48:64]):
            raise DamagedDisk("it was not closed: its log is yet to be carried out")
        bat_at, bat_length = _region(read, BAT)
        items = _items(read, _region(read, METADATA)[0])
        block, flags = struct.unpack("<II", items[_PARAMETERS][:8])
        (size,) = struct.unpack("<Q", items[_DISK_SIZE][:8])
        (sector,) = struct.unpack("<I", items[_SECTOR_SIZE][:4])
        if flags & _HAS_PARENT or sector not in (512, 4096):
            raise DamagedDisk("it depends on another file, or has odd sectors")
        blocks = ceil_div(size, block) if block else 0
        _checked(size, block, blocks, 8)
        # 2.5: behind the entries of so many blocks is one of another kind.
        ratio = (sector << 23) // block
        entries = blocks + max(blocks - 1, 0) // ratio
        if entries * 8 > bat_length:
            raise DamagedDisk("its table of blocks is too short")
        table = _table(read, bat_at, entries, "<Q")
    except (struct.error, KeyError) as error:
        raise DamagedDisk(f"it is damaged: {error}") from error

    def part(number: int, inside: int, count: int) -> bytes:
        entry = table[number + number // ratio]
        if entry & 7 == PARTIAL:
            raise DamagedDisk("a block depends on another file")
        return read((entry >> 20 << 20) + inside, count) if entry & 7 == PRESENT else b""

    return SparseDisk(size, block, part)


def _region(read: Read, wanted: UUID) -> tuple[int, int]:
    """A region's place and bytes ([MS-VHDX] 2.2.3)."""
    head = read(_REGIONS_AT, 64 << 10)
    (count,) = struct.unpack_from("<I", head, 8)
    if head[:4] != b"regi" or count > _MAX_ENTRIES:
        raise DamagedDisk("its table of regions is damaged")
    for number in range(count):
        name, place, length, _ = struct.unpack_from("<16sQII", head, 16 + 32 * number)
        if UUID(bytes_le=name) == wanted and place < 1 << 62:
            return place, length
    raise DamagedDisk("a region is not there")


def _items(read: Read, at: int) -> dict[UUID, bytes]:
    """The first bytes of each item of metadata ([MS-VHDX] 2.6.1)."""
    head = read(at, 64 << 10)
    (count,) = struct.unpack_from("<H", head, 10)
    if head[:8] != b"metadata" or count > _MAX_ENTRIES:
        raise DamagedDisk("its metadata is damaged")
    found = {}
    for number in range(count):
        name, offset = struct.unpack_from("<16sI", head, 32 + 32 * number)
        found[UUID(bytes_le=name)] = read(at + offset, 16)
    return found


_COMPRESSED, _ZEROED_GRAINS = 0x10000, 0x4
_AT_END = 0xFFFFFFFFFFFFFFFF
_NO_PARENT = b"parentCID=ffffffff"
MAX_DESCRIPTOR = 1 << 20


class _Vmdk(NamedTuple):
    """A sparse extent's header: sizes of disk and grain in sectors, entries of a grain table, where
    the directory of these is, in sectors."""

    flags: int
    capacity: int
    grain: int
    width: int
    directory: int


def _vmdk_header(read: Read, length: int) -> _Vmdk:
    head = read(0, SECTOR)
    (directory,) = struct.unpack_from("<Q", head, 56)
    at, count = struct.unpack_from("<QQ", head, 28)
    if directory == _AT_END:
        # The footer, in front of the marker of the end.
        head = read(length - 2 * SECTOR, SECTOR)
        (directory,) = struct.unpack_from("<Q", head, 56)
    magic, _, flags, capacity, grain = struct.unpack_from("<4sIIQQ", head)
    (width,) = struct.unpack_from("<I", head, 44)
    if magic != b"KDMV" or directory >= 1 << 48 or not 0 < width <= 1 << 16:
        raise DamagedDisk("its header is damaged")
    if at and _NO_PARENT not in read(at * SECTOR, min(count * SECTOR, MAX_DESCRIPTOR)):
        raise DamagedDisk("it depends on another file")
    return _Vmdk(flags, capacity, grain, width, directory)


def vmdk(read: Read, length: int) -> SparseDisk:
    """A VMDK of `length` bytes in one file, compressed or not. Raises `DamagedDisk`."""
    try:
        flags, capacity, grain, width, directory = _vmdk_header(read, length)
        size, block = capacity * SECTOR, grain * SECTOR
        entries = ceil_div(capacity, grain * width) if grain else 0
        _checked(size, block, entries * width, 4)
        if block > MAX_GRAIN:
            raise DamagedDisk("its grains are too large")
        tables = _table(read, directory * SECTOR, entries, "<I")
    except struct.error as error:
        raise DamagedDisk(f"it is damaged: {error}") from error
    kept: dict[int, tuple[int, ...]] = {}
    last = (-1, b"")

    def place(number: int) -> int:
        table, inside = divmod(number, width)
        if not tables[table]:
            return 0
        if table not in kept:
            if len(kept) >= 64:
                kept.clear()
            kept[table] = _table(read, tables[table] * SECTOR, width, "<I")
        return kept[table][inside]

    def part(number: int, inside: int, count: int) -> bytes:
        nonlocal last
        sector = place(number)
        if not sector or (sector == 1 and flags & _ZEROED_GRAINS):
            return b""
        if not flags & _COMPRESSED:
            return read(sector * SECTOR + inside, count)
        if last[0] != number:
            first, packed = struct.unpack("<QI", read(sector * SECTOR, 12))
            if first != number * grain or packed > 2 * block:
                raise DamagedDisk("a grain is not where it should be")
            data = read(sector * SECTOR + 12, packed)
            last = number, zlib.decompressobj().decompress(data, block)
        return last[1][inside : inside + count]

    return SparseDisk(size, block, part)
