"""Bootable ISO images, for CDs and, written as they are, for USB sticks; and the root alone as an
ISO 9660 file system.

May touch: the store. A UEFI starts the UKI in a FAT image (El Torito, or as a partition of the
stick); a BIOS our loader, which reads kernel and initrd by their places, out of the same UKI where
there is one.
"""

from __future__ import annotations

from collections.abc import Sequence

from compos.boot.bios import LOADER_SIZE, loader, mbr_code
from compos.disk.mbr import ESP, ISO_HYBRID, SECTOR, MbrPartition, master_boot_record
from compos.filesystem.fat import FatImage
from compos.filesystem.iso9660 import BIOS, UEFI, BootImage, IsoLayout
from compos.filesystem.iso9660 import SECTOR as CD_SECTOR
from compos.output.boot_files import BootFiles, boot_files, boot_partition
from compos.output.job import Job, identity
from compos.output.payload import Payload, finder_initrd, payload
from compos.output.roots import MEMORY, RootKind
from compos.output.write import Output
from compos.tree.contents import file_of, piece_size
from compos.tree.node import EPOCH, Piece, Tree, directory

__all__ = ["iso", "iso_bios", "iso_efi", "iso_efi_initrd"]

VOLUME = "LINUXKIT"
"""LinuxKit's images have this name; scripts look for it."""

LOADER, EFI_IMAGE = "boot/loader", "boot/efi.img"
DISK_LOADER = 4
"""Where the loader for USB sticks stands, in the system area, in sectors of 512 bytes."""


def iso_bios(job: Job) -> list[Output]:
    """`.iso`, started by a BIOS."""
    return [Output(".iso", _image(job, bios=True, uefi=False))]


def iso_efi(job: Job) -> list[Output]:
    """`-efi.iso`, started by UEFI."""
    return [Output("-efi.iso", _image(job, bios=False, uefi=True))]


def iso_efi_initrd(job: Job) -> list[Output]:
    """`-efi-initrd.iso`: the root always goes into memory."""
    return [Output("-efi-initrd.iso", _image(job, bios=False, uefi=True, root=MEMORY))]


def iso(job: Job) -> list[Output]:
    """`.iso`, started by UEFI and, on amd64, by a BIOS as well, unless the system is to be
    secure."""
    bios = job.request.architecture == "amd64" and not job.request.secure
    return [Output(".iso", _image(job, bios=bios, uefi=True))]


def _image(job: Job, *, bios: bool, uefi: bool, root: RootKind | None = None) -> tuple[Piece, ...]:
    made = payload(job, root)
    if made.root:
        # The root is first: its place depends on names only, so it is known before the initrd that
        # must know it.
        names = _tree(
            boot_files(job, made, bios=False, uefi=False), None, made, bios=bios, uefi=uefi
        )
        layout = _layout(names, made, bios=bios, uefi=uefi)
        place = (layout.starts[_root_name(made)], made.root.size)
        made = made._replace(initrd=finder_initrd(job, made.root, place))
    files = boot_files(job, made, bios=bios, uefi=uefi)
    fat = boot_partition(files) if uefi else None
    layout = _layout(_tree(files, fat, made, bios=bios, uefi=uefi), made, bios=bios, uefi=uefi)
    if fat:
        start = layout.starts[EFI_IMAGE]
        partition = MbrPartition(
            start // SECTOR, sum(map(piece_size, fat.pieces)) // SECTOR, ESP, active=True
        )
        places = files.places(lambda path: start + fat.starts[path])
    else:
        partition = MbrPartition(0, layout.size // SECTOR, ISO_HYBRID, active=True)
        places = files.places(lambda path: layout.starts[f"boot/{path}"])
    signature = identity("iso", files.files).fields[0]
    if not bios:
        head = master_boot_record([partition], signature=signature)
        return tuple(layout.pieces(system_area=head))
    head = master_boot_record([partition], code=mbr_code(DISK_LOADER), signature=signature)
    head = head.ljust(DISK_LOADER * SECTOR, b"\0") + loader(*places)
    return tuple(
        layout.pieces(system_area=head, filled={LOADER: loader(*places, sector_size=CD_SECTOR)})
    )


def _tree(files: BootFiles, fat: FatImage | None, made: Payload, *, bios: bool, uefi: bool) -> Tree:
    """The image's files; one that is not there yet is empty."""
    contents: dict[str, Sequence[Piece]] = {LOADER: (bytes(LOADER_SIZE),)} if bios else {}
    if uefi:
        contents[EFI_IMAGE] = fat.pieces if fat else ()
    else:
        contents |= {f"boot/{path}": content for path, content in files.files.items()}
    if made.root:
        contents[_root_name(made)] = tuple(made.root.pieces)
    tree = {path: file_of(content, 0o644, EPOCH) for path, content in contents.items()}
    return {"boot": directory(0o755, EPOCH), **tree}


def _layout(tree: Tree, made: Payload, *, bios: bool, uefi: bool) -> IsoLayout:
    # Four sectors of 512 bytes, which every BIOS loads at once.
    boot = [BootImage(BIOS, LOADER, LOADER_SIZE // SECTOR)] if bios else []
    # The catalogue counts 65,535 sectors at most; 0 lets a UEFI look into the file system.
    boot += [BootImage(UEFI, EFI_IMAGE, 0)] if uefi else []
    return IsoLayout(sorted(tree.items()), volume=VOLUME, boot=boot, first=_root_name(made))


def _root_name(made: Payload) -> str:
    return f"root.{made.root.kind.mount}" if made.root else ""
