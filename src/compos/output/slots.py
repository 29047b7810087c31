"""A disk with two slots, for two versions of the system: what each partition holds, and how large
it is (docs/update.md).

May touch: the store, for its parts.

Slot A has the system that is built, slot B nothing. Each slot is a boot partition, and one for the
root where that lies on the medium. Both are written as wholes, so an update is the same bytes. In
front of them is the block that says which slot starts (`boot.slot_block`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from compos.arithmetic import align_up, ceil_div
from compos.boot.bios import SLOT_LOADER_SIZE, mbr_code, slot_loader
from compos.boot.slot_block import BLOCK_COPIES, RESERVED, first_block
from compos.config.model import Slots
from compos.config.slot_keys import encrypts_roots, slot_sizes
from compos.disk.discoverable import ROOTS
from compos.disk.gpt import BIOS_BOOT, ESP, GptPartition
from compos.disk.mbr import SECTOR
from compos.errors import OutputError
from compos.output.boot_files import slot_partition
from compos.output.job import Job, identity
from compos.output.payload import Payload, finder_initrd, payload
from compos.tree.contents import piece_size
from compos.tree.node import Piece

__all__ = ["SlotDisk", "require_encryptable", "slot_disk"]

MIB = 1 << 20
UNIT = 4 * MIB
"""Slots begin and end at such places: whole erase blocks of the flash memory of most devices."""
HEADER = MIB
"""What of a partition is no root's, if it is encrypted (bricks/data-partition/src/luks/slot.h)."""
GROWTH = 2
"""How many times larger a slot is than the first version, unless the YAML gives its size."""


LOADER = 64
BLOCK = 1024
FIRST = 2048
"""Sectors of the BIOS loader, of the block, and behind both."""


class SlotDisk(NamedTuple):
    """A disk's contents: `parts` as (offset in bytes, pieces) in order, the table's `partitions`,
    the disk's id, where the last partition ends, in bytes, and the code of its first sector."""

    parts: list[tuple[int, Sequence[Piece]]]
    partitions: list[GptPartition]
    disk: UUID
    end: int
    code: bytes


def slot_disk(job: Job, slots: Slots, *, bios: bool, uefi: bool) -> SlotDisk:
    """Slot A with the system, slot B without one, for a BIOS, UEFI or both. Raises `OutputError`
    (`slot-too-small`, `slot-encrypted-root`, `slot-encrypted-keys`), and what its parts raise."""
    made = payload(job)
    encrypted = encrypts_roots(slots)
    require_encryptable(job, made)
    if made.root:
        # A slot's partition begins where its root does, with the hash tree behind it.
        made = made._replace(initrd=finder_initrd(job, made.root, (0, 0)))
    files, boot = slot_partition(job, made, bios=bios, uefi=uefi)
    name = identity("slots", files.files)
    boot_size, system_size = slot_sizes(slots)
    classes = [("boot", ESP, boot, _size("boot", boot, boot_size))]
    if made.root:
        root = tuple(made.root.pieces)
        kind = ROOTS[job.request.architecture].data
        classes.append(
            ("system", kind, root, _size("system", root, system_size, HEADER * encrypted))
        )
    parts: list[tuple[int, Sequence[Piece]]] = []
    partitions = []
    at = UNIT
    for purpose, kind, contents, size in classes:
        for slot in ("a", "b"):
            label = f"{purpose}-{slot}"
            own = identity(label, name)
            partitions.append(GptPartition(at // SECTOR, size // SECTOR, kind, own, label))
            if slot == "a":
                parts.append((at, contents))
            at += size
    block = first_block([one.guid for one in partitions[:2]])
    copies = [BLOCK * SECTOR + offset for offset in BLOCK_COPIES]
    parts = [*((start, (block,)) for start in copies), *parts]
    own = identity("slots", name)
    partitions.append(GptPartition(BLOCK, FIRST - BLOCK, RESERVED, own, "slots"))
    if not bios:
        return SlotDisk(parts, partitions, name, at, b"")
    slot_starts = [(one.start, one.guid) for one in partitions[:2]]
    loader = slot_loader([start // SECTOR for start in copies], slot_starts)
    parts.insert(0, (LOADER * SECTOR, (loader,)))
    own = identity("bios", name)
    partitions.append(GptPartition(LOADER, BLOCK - LOADER, BIOS_BOOT, own, "BIOS boot"))
    code = mbr_code(LOADER, size=SLOT_LOADER_SIZE)
    return SlotDisk(parts, partitions, name, at, code)


def require_encryptable(job: Job, made: Payload) -> None:
    """Of a system whose roots are encrypted: there is one, which nobody can exchange, and a key
    that signs which systems may open it. Raises `OutputError` (`slot-encrypted-root`,
    `slot-encrypted-keys`)."""
    if not encrypts_roots(job.request.slots):
        return
    if made.root is None or not made.root.kind.verity:
        raise OutputError(
            "slot-encrypted-root",
            "the roots of the slots are to be encrypted (slots.encrypt), and this one is not a "
            "verified file system on the disk",
            hint="Build with --root erofs-verity.",
        )
    keys = job.request.keys
    if keys is None or keys.policy is None:
        raise OutputError(
            "slot-encrypted-keys",
            "the roots of the slots are to be encrypted (slots.encrypt), and no key signs what "
            "PCR 11 of a system that may open them is",
            hint="Make a set of keys once with `compos keys new keys`, and build with --keys keys.",
        )


def _size(purpose: str, contents: Sequence[Piece], wanted: int, added: int = 0) -> int:
    """The size of a partition with `contents` and `added` bytes."""
    needed = sum(map(piece_size, contents)) + added
    if not wanted:
        return align_up(needed * GROWTH, UNIT)
    if wanted < needed:
        raise OutputError(
            "slot-too-small",
            f"the system needs {ceil_div(needed, MIB):,} MiB of a {purpose} partition, and "
            f"slots.{purpose} gives it {wanted // MIB:,}",
            hint=f"Write at least `slots: {{{purpose}: {ceil_div(needed, MIB)}m}}`; later versions "
            "may need more.",
        )
    return align_up(wanted, UNIT)
