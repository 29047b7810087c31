"""Bootable disks: one layout for BIOS, UEFI or both, in the containers that hypervisors and clouds
want.

May touch: the store, for its parts: segments of initrds, images of roots.

The first partition is a FAT file system with the UKI (UEFI, both) or with kernel, initrd and
command line (BIOS alone); the BIOS loader reads the same bytes by their places. A root that stays
on the medium is the second partition. In a GPT it has the type that others recognise it by
(`disk.discoverable`), and the hash tree over it is the third.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from compos.arithmetic import align_up, ceil_div
from compos.boot.bios import loader, mbr_code
from compos.config.model import Slots
from compos.config.slot_keys import encrypts_roots
from compos.disk.discoverable import READ_ONLY, ROOTS, verified_ids
from compos.disk.gpt import BIOS_BOOT, ESP, TAIL, GptPartition, guid_partition_table
from compos.disk.mbr import ESP as MBR_ESP
from compos.disk.mbr import FAT32, SECTOR, MbrPartition, master_boot_record
from compos.disk.mbr import LINUX as MBR_LINUX
from compos.disk.raw import placed
from compos.errors import OutputError
from compos.output.boot_files import boot_files, boot_partition
from compos.output.job import Job, identity
from compos.output.payload import finder_initrd, payload
from compos.output.root_filesystem import RootFilesystem
from compos.output.write import Output
from compos.tree.contents import piece_size
from compos.tree.node import Piece

__all__ = [
    "GIB",
    "MIB",
    "Layout",
    "any_firmware",
    "disk",
    "encrypted_disk",
    "raw",
    "raw_bios",
    "raw_efi",
]

MIB = 1 << 20
GIB = 1 << 30
FIRST = 2048
"""The first partition's sector: at one MiB, as everyone aligns."""


class Layout(NamedTuple):
    """What a disk must be: who starts it, how it is partitioned, its least size, and the unit of
    its size, in bytes; and whether who writes it encrypts roots that are to be encrypted."""

    firmware: str
    table: str
    smallest: int = 0
    unit: int = MIB
    encrypts: bool = False

    def of(self, job: Job) -> Layout:
        """That of a system: a secure one is started by UEFI alone, since a BIOS checks nothing, and
        an MBR cannot say what is verified. Slots are partitions with names, which only a GPT
        has."""
        if job.request.secure:
            return self._replace(firmware="efi", table="gpt")
        return self._replace(table="gpt") if job.request.slots is not None else self

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
    layout = layout.of(job)
    if job.request.slots is not None:
        pieces, _ = _with_slots(job, layout, job.request.slots)
        return pieces
    made = payload(job)
    apart = False
    if made.root:
        apart = layout.table == "gpt" and made.root.kind.verity and not made.root.kind.appended
        # It has a partition of its own, so it begins where a device begins.
        made = made._replace(initrd=finder_initrd(job, made.root, (0, 0), apart=apart))
    files = boot_files(job, made, bios=layout.bios, uefi=layout.uefi)
    boot = boot_partition(files, hidden=FIRST)
    boot_end = FIRST * SECTOR + sum(map(piece_size, boot.pieces))
    parts: list[tuple[int, Sequence[Piece]]] = [(FIRST * SECTOR, boot.pieces)]
    root = _root_parts(made.root, boot_end, apart=apart) if made.root else []
    parts += root
    end = parts[-1][0] + sum(map(piece_size, parts[-1][1]))
    if layout.bios:
        places = files.places(lambda path: FIRST * SECTOR + boot.starts.get(path, 0))
        parts.insert(0, (layout.loader * SECTOR, [loader(*places)]))
    name = identity("disk", files.files)
    code = mbr_code(layout.loader) if layout.bios else b""
    if layout.table == "mbr":
        size = _size(job, layout, end)
        kind = MBR_ESP if layout.uefi else FAT32
        entries = [MbrPartition(FIRST, boot_end // SECTOR - FIRST, kind, active=True)]
        entries += [MbrPartition(*_sectors(part), MBR_LINUX) for part in root]
        head = master_boot_record(entries, code=code, signature=name.fields[0])
        return tuple(placed([(0, [head]), *parts], size))
    size = _size(job, layout, end + TAIL * SECTOR)
    partitions = [
        GptPartition(FIRST, boot_end // SECTOR - FIRST, ESP, identity("esp", name), "EFI System")
    ]
    if made.root:
        partitions += _root_partitions(job, made.root, root, name)
    if layout.bios:
        own = identity("bios", name)
        partitions.append(
            GptPartition(layout.loader, FIRST - layout.loader, BIOS_BOOT, own, "BIOS boot")
        )
    head, tail = guid_partition_table(partitions, size // SECTOR, name, code=code)
    return tuple(placed([(0, [head]), *parts, (size - len(tail), [tail])], size))


def encrypted_disk(
    job: Job, layout: Layout, slots: Slots
) -> tuple[tuple[Piece, ...], list[GptPartition]]:
    """A disk whose roots are encrypted by who writes it: as it is before that, and the partitions
    with them. Raises as `disk` does."""
    pieces, partitions = _with_slots(job, layout.of(job)._replace(encrypts=True), slots)
    return pieces, [one for one in partitions if one.name.startswith("system-")]


def _with_slots(
    job: Job, layout: Layout, slots: Slots
) -> tuple[tuple[Piece, ...], list[GptPartition]]:
    """A disk with room for two versions of the system, and its partitions."""
    # Not at the top: most systems have no slots.
    from compos.output.slots import slot_disk

    if encrypts_roots(slots) and not layout.encrypts:
        job.note(
            "The roots of the slots are not encrypted on this disk: an installer encrypts them on "
            "the machine that it installs (-f installer)."
        )
    made = slot_disk(job, slots, bios=layout.bios, uefi=layout.uefi)
    size = _size(job, layout, made.end + TAIL * SECTOR)
    head, tail = guid_partition_table(made.partitions, size // SECTOR, made.disk, code=made.code)
    pieces = placed([(0, [head]), *made.parts, (size - len(tail), [tail])], size)
    return tuple(pieces), made.partitions


def _root_parts(root: RootFilesystem, at: int, *, apart: bool) -> list[tuple[int, Sequence[Piece]]]:
    """The root behind `at` bytes of a disk, and with `apart` its hash tree."""
    start = align_up(at, MIB)
    if not apart or root.verity is None:
        return [(start, tuple(root.pieces))]
    data = tuple(root.image)
    end = start + sum(map(piece_size, data))
    return [(start, data), (align_up(end, MIB), (root.verity.whole,))]


def _sectors(part: tuple[int, Sequence[Piece]]) -> tuple[int, int]:
    """Start and length of a part of a disk in sectors."""
    start, pieces = part
    return start // SECTOR, sum(map(piece_size, pieces)) // SECTOR


def _root_partitions(
    job: Job, root: RootFilesystem, parts: Sequence[tuple[int, Sequence[Piece]]], disk: UUID
) -> list[GptPartition]:
    """The entries of the root's partitions. What is verified is named by its root hash."""
    types = ROOTS[job.request.architecture]
    if root.verity is None or len(parts) == 1:
        own = identity("root", disk)
        return [GptPartition(*_sectors(parts[0]), types.data, own, "root", READ_ONLY)]
    data, tree = verified_ids(root.verity.root)
    return [
        GptPartition(*_sectors(parts[0]), types.data, data, "root", READ_ONLY),
        GptPartition(*_sectors(parts[1]), types.verity, tree, "root-verity", READ_ONLY),
    ]


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
