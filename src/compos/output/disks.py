"""Bootable disks: one layout for BIOS, UEFI or both, in the containers that hypervisors and clouds
want.

May touch: the store, for its parts: segments of initrds, images of roots.

The first partition is a FAT file system with the UKI (UEFI, both) or with kernel, initrd and
command line (BIOS alone); the BIOS loader reads the same bytes by their places. A root that stays
on the medium is the second partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from compos.arithmetic import align_up, ceil_div
from compos.boot.bios import loader, mbr_code
from compos.disk.gpt import BIOS_BOOT, ESP, LINUX, TAIL, GptPartition, guid_partition_table
from compos.disk.mbr import ESP as MBR_ESP
from compos.disk.mbr import FAT32, SECTOR, MbrPartition, master_boot_record
from compos.disk.mbr import LINUX as MBR_LINUX
from compos.disk.raw import placed
from compos.errors import OutputError
from compos.output.boot_files import boot_files, boot_partition
from compos.output.job import Job, identity
from compos.output.payload import finder_initrd, payload
from compos.output.write import Output
from compos.tree.contents import piece_size
from compos.tree.node import Piece

__all__ = ["GIB", "MIB", "Layout", "any_firmware", "disk", "raw", "raw_bios", "raw_efi"]

MIB = 1 << 20
GIB = 1 << 30
FIRST = 2048
"""The first partition's sector: at one MiB, as everyone aligns."""


class Layout(NamedTuple):
    """What a disk must be: who starts it, how it is partitioned, its least size, and the unit of
    its size, in bytes."""

    firmware: str
    table: str
    smallest: int = 0
    unit: int = MIB

    @property
    def bios(self) -> bool:
        """Whether a BIOS starts it."""
        return self.firmware != "efi"

    @property
    def loader(self) -> int:
        """The BIOS loader's sector: in a partition of its own, or in the gap behind the master boot
        record."""
        return 64 if self.table == "gpt" else 1

    @property
    def uefi(self) -> bool:
        """Whether a UEFI starts it."""
        return self.firmware != "bios"


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
    files = boot_files(job, made, bios=layout.bios, uefi=layout.uefi)
    boot = boot_partition(files, hidden=FIRST)
    boot_end = FIRST * SECTOR + sum(map(piece_size, boot.pieces))
    parts: list[tuple[int, Sequence[Piece]]] = [(FIRST * SECTOR, boot.pieces)]
    if made.root:
        parts.append((align_up(boot_end, MIB), tuple(made.root.pieces)))
    root = (align_up(boot_end, MIB) // SECTOR, made.root.size // SECTOR) if made.root else None
    end = boot_end if root is None else sum(root) * SECTOR
    if layout.bios:
        places = files.places(lambda path: FIRST * SECTOR + boot.starts.get(path, 0))
        parts.insert(0, (layout.loader * SECTOR, [loader(*places)]))
    name = identity("disk", files.files)
    code = mbr_code(layout.loader) if layout.bios else b""
    if layout.table == "mbr":
        size = _size(job, layout, end)
        kind = MBR_ESP if layout.uefi else FAT32
        entries = [MbrPartition(FIRST, boot_end // SECTOR - FIRST, kind, active=True)]
        entries += [MbrPartition(*root, MBR_LINUX)] if root else []
        head = master_boot_record(entries, code=code, signature=name.fields[0])
        return tuple(placed([(0, [head]), *parts], size))
    size = _size(job, layout, end + TAIL * SECTOR)
    partitions = [
        GptPartition(FIRST, boot_end // SECTOR - FIRST, ESP, identity("esp", name), "EFI System")
    ]
    if root:
        partitions.append(GptPartition(*root, LINUX, identity("root", name), "root"))
    if layout.bios:
        own = identity("bios", name)
        partitions.append(
            GptPartition(layout.loader, FIRST - layout.loader, BIOS_BOOT, own, "BIOS boot")
        )
    head, tail = guid_partition_table(partitions, size // SECTOR, name, code=code)
    return tuple(placed([(0, [head]), *parts, (size - len(tail), [tail])], size))


def _size(job: Job, layout: Layout, needed: int) -> int:
    """The disk's size: what was asked for, else the least that the target takes and the contents
    need."""
    size = align_up(
        job.request.size if job.request.size is not None else max(needed, layout.smallest),
        layout.unit,
    )
    if size < needed:
        raise OutputError(
            "disk-too-small",
            f"the system needs {ceil_div(needed, MIB):,} MiB; the disk would have {size // MIB:,}",
            hint=f"Use a larger disk: --size {ceil_div(needed, MIB)}M.",
        )
    return size
