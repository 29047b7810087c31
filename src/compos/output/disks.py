"""Bootable disks: one layout for BIOS, UEFI or both, in the containers that hypervisors and clouds want.

May touch: the store (`derived/disk`, what a container compresses).

The first partition is a FAT file system with the UKI (UEFI, both) or with kernel, initrd and command line (BIOS alone); the
BIOS loader reads the same bytes by their places. A root that stays on the medium is the second partition.
"""

from __future__ import annotations

from typing import NamedTuple

from compos.boot.bios import Place, check_kernel, loader, mbr_code
from compos.compose.root import EPOCH
from compos.disk.gpt import BIOS_BOOT, ESP, LINUX, TAIL, GptPartition, guid_partition_table
from compos.disk.mbr import ESP as MBR_ESP
from compos.disk.mbr import FAT32, SECTOR, MbrPartition, master_boot_record
from compos.disk.mbr import LINUX as MBR_LINUX
from compos.disk.raw import placed
from compos.errors import OutputError
from compos.filesystem.fat import FatImage, fat_image
from compos.output.job import Job, identity
from compos.output.payload import Payload, finder_initrd, payload, read_kernel
from compos.output.unified import boot_program, unified
from compos.output.write import Output
from compos.tree.contents import file_of, piece_size
from compos.tree.node import Piece

__all__ = ["GIB", "MIB", "Layout", "any_firmware", "disk", "raw", "raw_bios", "raw_efi"]

MIB = 1 << 20
GIB = 1 << 30
FIRST = 2048
"""The first partition's sector: at one MiB, as everyone aligns."""
GPT_LOADER, MBR_LOADER = 64, 1
"""The BIOS loader's sector: in a partition of its own, or in the gap behind the master boot record."""


class Layout(NamedTuple):
    """What a disk must be: who starts it, how it is partitioned, its least size, and the unit of its size, in bytes."""

    firmware: str
    table: str
    smallest: int = 0
    unit: int = MIB

    @property
    def bios(self) -> bool:
        """Whether a BIOS starts it."""
        return self.firmware != "efi"

    @property
    def uefi(self) -> bool:
        """Whether a UEFI starts it."""
        return self.firmware != "bios"


class _Boot(NamedTuple):
    """The boot partition, and the places in it that a BIOS loader reads, in bytes from its beginning."""

    image: FatImage
    places: tuple[Place, Place, Place]


def raw_bios(job: Job) -> list[Output]:
    """`-bios.img`: MBR, started by a BIOS."""
    return [Output("-bios.img", disk(job, Layout("bios", "mbr")))]


def raw_efi(job: Job) -> list[Output]:
    """`-efi.img`: GPT with an EFI system partition."""
    return [Output("-efi.img", disk(job, Layout("efi", "gpt")))]


def raw(job: Job) -> list[Output]:
    """`.img`: GPT, started by UEFI and, on amd64, by a BIOS as well."""
    return [Output(".img", disk(job, Layout(any_firmware(job), "gpt")))]


def any_firmware(job: Job) -> str:
    """Whoever can start the architecture."""
    return "both" if job.request.architecture == "amd64" else "efi"


def disk(job: Job, layout: Layout) -> tuple[Piece, ...]:
    """A raw disk. Raises `OutputError`: `disk-too-small`, and what its parts raise."""
    made = payload(job)
    if made.root:
        # It has a partition of its own, so it begins where a device begins.
        made = made._replace(initrd=finder_initrd(job, made.root, (0, 0)))
    if layout.bios:
        size = sum(map(piece_size, made.initrd))
        check_kernel(read_kernel(job, made.kernel, 1024), initrd=size, cmdline=len(made.cmdline))
    boot = _boot_partition(job, made, layout)
    length = sum(map(piece_size, boot.image.pieces))
    root_at = _up(FIRST * SECTOR + length, MIB)
    root_size = made.root.size if made.root else 0
    tail = TAIL * SECTOR if layout.table == "gpt" else 0
    size = _size(job, layout, root_at + root_size + tail if made.root else FIRST * SECTOR + length + tail)
    name = identity("disk", boot.image.pieces)

    code = mbr_code(GPT_LOADER if layout.table == "gpt" else MBR_LOADER) if layout.bios else b""
    root_sectors = (root_at // SECTOR, root_size // SECTOR)
    if layout.table == "gpt":
        partitions = [GptPartition(FIRST, length // SECTOR, ESP, identity("esp", boot.image.pieces), "EFI System")]
        if made.root:
            own = identity("root partition", made.root.pieces)
            partitions.append(GptPartition(*root_sectors, LINUX, own, "root"))
        if layout.bios:
            own = identity("bios partition", boot.image.pieces)
            partitions.append(GptPartition(GPT_LOADER, FIRST - GPT_LOADER, BIOS_BOOT, own, "BIOS boot"))
        head, end = guid_partition_table(partitions, size // SECTOR, name, code=code)
    else:
        kind = MBR_ESP if layout.uefi else FAT32
        entries = [MbrPartition(FIRST, length // SECTOR, kind, active=True)]
        if made.root:
            entries.append(MbrPartition(*root_sectors, MBR_LINUX))
        head, end = master_boot_record(entries, code=code, signature=name.fields[0]), b""
    parts: list[tuple[int, tuple[Piece, ...]]] = [(0, (head,))]
    if layout.bios:
        places = [Place(FIRST * SECTOR + place.start, place.size) for place in boot.places]
        at = (GPT_LOADER if layout.table == "gpt" else MBR_LOADER) * SECTOR
        parts.append((at, (loader(*places),)))
    parts.append((FIRST * SECTOR, tuple(boot.image.pieces)))
    if made.root:
        parts.append((root_at, made.root.pieces))
    if end:
        parts.append((size - len(end), (end,)))
    return tuple(placed(parts, size))


def _boot_partition(job: Job, made: Payload, layout: Layout) -> _Boot:
    """The FAT file system, whose number follows from what is in it."""
    serial = identity("boot", (*made.kernel, *made.initrd, made.cmdline)).fields[0]
    sizes = (sum(map(piece_size, made.kernel)), len(made.cmdline), sum(map(piece_size, made.initrd)))
    if layout.uefi:
        uki = unified(job, made)
        path, node = boot_program(job, uki)
        image = fat_image([(path, node)], serial=serial, label="COMPOS", hidden=FIRST)
        starts = [image.starts[path] + uki.starts[name] for name in (".linux", ".cmdline", ".initrd")]
    else:
        contents = {
            "cmdline": (made.cmdline,) if made.cmdline else (),
            "initrd.img": made.initrd,
            "kernel": made.kernel,
        }
        entries = [(path, file_of(content, 0o644, EPOCH)) for path, content in contents.items()]
        image = fat_image(entries, serial=serial, label="COMPOS", hidden=FIRST)
        starts = [image.starts.get(name, 0) for name in ("kernel", "cmdline", "initrd.img")]
    kernel, cmdline, initrd = (Place(start, size) for start, size in zip(starts, sizes, strict=True))
    return _Boot(image, (kernel, cmdline, initrd))


def _size(job: Job, layout: Layout, needed: int) -> int:
    """The disk's size: what was asked for, else the least that the target takes and the contents need."""
    size = _up(job.request.size if job.request.size is not None else max(needed, layout.smallest), layout.unit)
    if size < needed:
        raise OutputError(
            "disk-too-small",
            f"the system needs {-(-needed // MIB):,} MiB; the disk would have {size // MIB:,}",
            hint=f"Give it more: --size {-(-needed // MIB)}M.",
        )
    return size


def _up(value: int, step: int) -> int:
    return -(-value // step) * step
