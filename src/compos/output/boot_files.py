"""The files that firmware or a boot loader needs from a medium, and where in them a BIOS loader
finds what it reads.

May touch: the store (reading).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from compos.boot.bios import SLOT_WORDS, Place, check_kernel
from compos.boot.slot_block import with_boot_header
from compos.errors import OutputError
from compos.filesystem.fat import FatImage, fat_image
from compos.output.job import Job, identity
from compos.output.payload import Payload, read_kernel
from compos.output.unified import BOOT_FILES, unified
from compos.tree.contents import file_of, piece_size
from compos.tree.node import EPOCH, Piece

__all__ = ["BootFiles", "boot_files", "boot_partition", "slot_partition"]


class BootFiles(NamedTuple):
    """`files` by their paths; `parts` are kernel, command line and initrd as (path, offset in that
    file, size)."""

    files: dict[str, tuple[Piece, ...]]
    parts: tuple[tuple[str, int, int], ...]

    def places(self, start: Callable[[str], int]) -> list[Place]:
        """Where the parts lie on a medium on which `start` tells where each file begins."""
        return [Place(start(path) + offset, size) for path, offset, size in self.parts]


def boot_files(job: Job, made: Payload, *, bios: bool, uefi: bool) -> BootFiles:
    """The UKI where a UEFI looks for it, or kernel, command line and initrd apart when only a BIOS
    starts them.

    Raises `OutputError` for a kernel, initrd or command line that the firmware cannot start.
    """
    cmdline = (made.cmdline,) if made.cmdline else ()
    contents = {"kernel": made.kernel, "cmdline": cmdline, "initrd.img": made.initrd}
    sizes = [sum(map(piece_size, content)) for content in contents.values()]
    if bios:
        added = SLOT_WORDS if job.request.slots else 0
        head = read_kernel(job, made.kernel, 1024)
        check_kernel(head, initrd=sizes[2], cmdline=sizes[1] + added)
    if not uefi:
        return BootFiles(
            contents, tuple((path, 0, size) for path, size in zip(contents, sizes, strict=True))
        )
    uki = unified(job, made)
    path = BOOT_FILES[job.request.architecture]
    starts = [uki.starts[name] for name in (".linux", ".cmdline", ".initrd")]
    parts = tuple((path, start, size) for start, size in zip(starts, sizes, strict=True))
    return BootFiles({path: tuple(uki.pieces)}, parts)


def slot_partition(
    job: Job, made: Payload, *, bios: bool, uefi: bool
) -> tuple[BootFiles, tuple[Piece, ...]]:
    """A boot partition of a slot, and its files.

    A BIOS's loader finds them by the header in the first sector. What is made for UEFI has it, too,
    where a BIOS can start the system: one update then fits all machines, and those that it does not
    fit see it. With `bios`, raises `OutputError` for what a BIOS cannot start.
    """
    # A BIOS checks nothing of what it starts.
    if not bios and job.request.architecture == "amd64" and not job.request.secure:
        try:
            return slot_partition(job, made, bios=True, uefi=True)
        except OutputError as error:
            job.note(f"Slots are for UEFI alone: {error.message}.")
    files = boot_files(job, made, bios=bios, uefi=uefi)
    image = boot_partition(files)
    if not bios:
        return files, tuple(image.pieces)
    first, *others = image.pieces
    if not isinstance(first, bytes):
        raise TypeError(first)
    # An empty command line has no place.
    places = files.places(lambda path: image.starts.get(path, 0))
    return files, (with_boot_header(first, places), *others)


def boot_partition(made: BootFiles, *, hidden: int = 0) -> FatImage:
    """The files in a FAT file system, whose number follows from them; `hidden` sectors stand in
    front of it."""
    entries = [
        (path, file_of(content, 0o644, EPOCH)) for path, content in sorted(made.files.items())
    ]
    serial = identity("boot", sorted(made.files.items())).fields[0]
    return fat_image(entries, serial=serial, label="COMPOS", hidden=hidden)
