"""Files with a disk in them: which kind of container each is, and the bytes of the disk.

Reads the file. It may come from anybody: every number in it is checked before it is used.

Sources: QEMU's docs/interop/qcow2.rst; Microsoft, "Virtual Hard Disk Image Format Specification"
1.0 ("Hard Disk Footer Format"); ECMA-119, 8.1 (volume descriptors); VMware, "Virtual Disk Format
5.0" (the sparse extent's header); [MS-VHDX] 2.2 (File Type Identifier).
"""

from __future__ import annotations

import os
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from compos.decompressors import Damaged, zstd
from compos.disk.sparse_disks import DamagedDisk, SparseDisk, dynamic_vhd, vhdx, vmdk

__all__ = ["CONTAINERS", "Disk", "DiskFile", "open_disk"]

CONTAINERS = ("raw", "vhd", "dynamic-vhd", "vhdx", "qcow2", "vmdk", "gcp", "iso", "ova")

SECTOR = 512
MAX_MEMBERS = 100
"""Of an OVA, among which its disk is."""
MAX_TABLE = 32 << 20
"""Bytes of a qcow2's first table: QEMU's own limit (QCOW_MAX_L1_SIZE)."""


class Disk(Protocol):
    """The bytes of a disk."""

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes at `offset`; fewer at the end."""


class DiskFile(NamedTuple):
    """A file and the disk in it: the kind of container, the disk's size in bytes, and its bytes."""

    container: str
    size: int
    disk: Disk


@contextmanager
def open_disk(path: Path) -> Iterator[DiskFile]:
    """The disk in the file at `path`. Raises `DamagedDisk`, also where it is read, for a
    file that is no disk, or a damaged one, and `OSError`."""
    with path.open("rb", buffering=0) as stream:
        length = os.fstat(stream.fileno()).st_size
        raw = _Raw(stream.fileno())
        head = raw.read(0, 4096)
        if head[:2] == b"\x1f\x8b":
            with _archived(stream) as found:
                yield found
            return
        yield _recognised(path, raw, head, length)


def _recognised(path: Path, raw: _Raw, head: bytes, length: int) -> DiskFile:
    if head[:4] == b"QFI\xfb":
        disk = _Qcow2(raw, length)
        return DiskFile("qcow2", disk.size, disk)
    if head[:8] == b"vhdxfile":
        return _sparse("vhdx", lambda: vhdx(raw.read))
    if head[:4] == b"KDMV":
        return _sparse("vmdk", lambda: vmdk(raw.read, length))
    if head[257:262] == b"ustar":
        return _appliance(path, raw)
    if raw.read(0x8001, 5) == b"CD001":
        return DiskFile("iso", length, raw)
    footer = raw.read(max(length - SECTOR, 0), SECTOR)
    if footer[:8] == b"conectix":
        (size,) = struct.unpack_from(">Q", footer, 48)
        (kind,) = struct.unpack_from(">I", footer, 60)
        if kind == 2 and size == length - SECTOR:
            return DiskFile("vhd", size, raw)
        return _sparse("dynamic-vhd", lambda: dynamic_vhd(raw.read, length))
    if head[510:512] == b"\x55\xaa":
        return DiskFile("raw", length, raw)
    raise DamagedDisk("it is no disk that can be recognised")


def _sparse(container: str, open_: Callable[[], SparseDisk]) -> DiskFile:
    try:
        found = open_()
    except DamagedDisk as error:
        raise DamagedDisk(f"{container}: {error}") from error
    return DiskFile(container, found.size, found)


def _appliance(path: Path, raw: _Raw) -> DiskFile:
    """An OVA: the disk is the first member that is a VMDK; without one it has no bytes."""
    try:
        with tarfile.open(path, "r:") as archive:
            for member in islice(archive, MAX_MEMBERS):
                if member.isreg() and member.name.endswith(".vmdk"):
                    start, size = member.offset_data, member.size
                    break
            else:
                return DiskFile("ova", 0, SparseDisk(0, SECTOR, lambda *_: b""))
    except (EOFError, tarfile.TarError) as error:
        raise DamagedDisk(f"the archive is damaged: {error}") from error

    def read(offset: int, count: int) -> bytes:
        return raw.read(start + offset, min(count, max(size - offset, 0)))

    return _sparse("ova", lambda: vmdk(read, size))


class _Raw:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, offset: int, size: int) -> bytes:
        # Beyond this the kernel refuses; such places come from damaged files.
        return os.pread(self._descriptor, size, offset) if 0 <= offset < 1 << 62 else b""


class _Member:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, offset: int, size: int) -> bytes:
        try:
            self._stream.seek(offset)
            return self._stream.read(size)
        except (EOFError, zlib.error, tarfile.TarError) as error:
            raise DamagedDisk(f"the archive is damaged: {error}") from error


@contextmanager
def _archived(stream: BinaryIO) -> Iterator[DiskFile]:
    """Google's archive: `disk.raw` in a compressed tar, and nothing else."""
    try:
        archive = tarfile.open(fileobj=stream, mode="r:gz")  # noqa: SIM115 (closed below)
        member = archive.next()
        found = archive.extractfile(member) if member and member.name == "disk.raw" else None
    except (EOFError, zlib.error, tarfile.TarError, OSError) as error:
        raise DamagedDisk(f"it is no compressed tar: {error}") from error
    if found is None or member is None:
        raise DamagedDisk("it is no disk: a compressed tar without disk.raw")
    with archive, found:
        yield DiskFile("gcp", member.size, _Member(found))  # type: ignore[arg-type]


class _Qcow2:
    """Clusters of a qcow2 without backing file, encryption, or data elsewhere."""

    def __init__(self, raw: _Raw, length: int) -> None:
        self._raw, self._length = raw, length
        # Header: magic, version, backing file's offset and size, cluster bits, size, crypt method,
        # L1 size, L1 offset; from version 3 on incompatible features at 72, compression at 104.
        head = raw.read(0, 112).ljust(112, b"\0")
        version, backing, _, bits, size, crypt, entries, table = struct.unpack_from(
            ">IQIIQIIQ", head, 4
        )
        features, zstd_used = (
            (struct.unpack_from(">Q", head, 72)[0], head[104] == 1) if version >= 3 else (0, False)
        )
        # Dirty, and another compression: all others change how clusters are found.
        if version not in (2, 3) or backing or crypt or features & ~0b1001:
            raise DamagedDisk("it is a qcow2 that depends on other files, or is encrypted")
        if not 9 <= bits <= 21 or entries * 8 > MAX_TABLE:
            raise DamagedDisk("it is a damaged qcow2")
        self.size = size
        self._bits = bits
        self._zstd = zstd_used and bool(features & 0b1000)
        self._first = struct.unpack(
            f">{entries}Q", raw.read(table, entries * 8).ljust(entries * 8, b"\0")
        )
        self._last: tuple[int, bytes] = (-1, b"")

    def read(self, offset: int, size: int) -> bytes:
        end = min(offset + size, self.size)
        parts = []
        while offset < end:
            number, at = offset >> self._bits, offset & ((1 << self._bits) - 1)
            cluster = self._cluster(number)
            part = cluster[at : at + end - offset]
            parts.append(part)
            offset += len(part)
        return b"".join(parts)

    def _cluster(self, number: int) -> bytes:
        if self._last[0] == number:
            return self._last[1]
        size = 1 << self._bits
        per_table = self._bits - 3
        first = number >> per_table
        table = self._first[first] & 0x00FFFFFFFFFFFE00 if first < len(self._first) else 0
        entry = 0
        if table:
            at = table + ((number & ((1 << per_table) - 1)) << 3)
            entry = int.from_bytes(self._raw.read(at, 8), "big")
        if entry & 1 << 62:
            data = self._unpacked(entry, size)
        elif (place := entry & 0x00FFFFFFFFFFFE00) and not entry & 1:
            data = self._raw.read(place, size)
        else:
            data = b""
        data = data.ljust(size, b"\0")
        self._last = (number, data)
        return data

    def _unpacked(self, entry: int, size: int) -> bytes:
        """A compressed cluster ("Compressed Clusters Descriptor")."""
        split = 62 - (self._bits - 8)
        place = entry & ((1 << split) - 1)
        sectors = (entry >> split & ((1 << (62 - split)) - 1)) + 1
        packed = self._raw.read(place, sectors * SECTOR - (place & (SECTOR - 1)))
        try:
            if self._zstd:
                return zstd().decompress(packed, size)
            return zlib.decompressobj(-15).decompress(packed, size)
        except (zlib.error, Damaged) as error:
            raise DamagedDisk(f"a cluster is damaged: {error}") from error
