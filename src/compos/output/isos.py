"""Bootable ISO images, for CDs and, written as they are, for USB sticks; and the root alone as an ISO 9660 file system.

May touch: the store. A UEFI starts the UKI in a FAT image (El Torito, or as a partition of the stick); a BIOS our loader, which
reads kernel and initrd by their places, out of the same UKI where there is one.
"""

from __future__ import annotations

from compos.boot.bios import LOADER_SIZE, Place, check_kernel, loader, mbr_code
from compos.compose.root import EPOCH
from compos.disk.mbr import ESP, ISO_HYBRID, SECTOR, MbrPartition, master_boot_record
from compos.filesystem.fat import FatImage, fat_image
from compos.filesystem.iso9660 import BIOS, UEFI, BootImage, IsoLayout
from compos.filesystem.iso9660 import SECTOR as CD_SECTOR
from compos.output.job import Job, identity
from compos.output.payload import Payload, finder_initrd, payload, read_kernel
from compos.output.unified import boot_program, unified
from compos.output.write import Output
from compos.tree.contents import file_of, piece_size
from compos.tree.node import Piece, Tree, directory

__all__ = ["iso", "iso_bios", "iso_efi", "iso_efi_initrd"]

VOLUME = "LINUXKIT"
"""LinuxKit's images have this name; scripts look for it."""

LOADER, EFI_IMAGE, KERNEL, INITRD, CMDLINE = (
    "boot/loader",
    "boot/efi.img",
    "boot/kernel",
    "boot/initrd.img",
    "boot/cmdline",
)
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
    return [Output("-efi-initrd.iso", _image(job, bios=False, uefi=True, root="initrd"))]


def iso(job: Job) -> list[Output]:
    """`.iso`, started by UEFI and, on amd64, by a BIOS as well."""
    return [Output(".iso", _image(job, bios=job.request.architecture == "amd64", uefi=True))]


def _image(job: Job, *, bios: bool, uefi: bool, root: str = "") -> tuple[Piece, ...]:
    made = payload(job, root)
    if made.root:
        # The root's place depends on names only, so it is known before the initrd that must know it.
        names = _layout(job, made, None, bios=bios, uefi=uefi)
        place = (names.starts[_root_name(made)], made.root.size)
        made = made._replace(initrd=finder_initrd(job, made.root, place))
    if bios:
        size = sum(map(piece_size, made.initrd))
        check_kernel(read_kernel(job, made.kernel, 1024), initrd=size, cmdline=len(made.cmdline))
    within: dict[str, int] = {}
    fat = None
    if uefi:
        uki = unified(job, made)
        path, node = boot_program(job, uki)
        serial = identity("boot", uki.pieces).fields[0]
        fat = fat_image([(path, node)], serial=serial, label="COMPOS")
        within = {name: fat.starts[path] + start for name, start in uki.starts.items()}
    layout = _layout(job, made, fat, bios=bios, uefi=uefi)
    filled: dict[str, bytes] = {}
    system_area = b""
    partitions: list[MbrPartition] = []
    if uefi and fat:
        start = layout.starts[EFI_IMAGE]
        length = sum(map(piece_size, fat.pieces))
        partitions.append(MbrPartition(start // SECTOR, length // SECTOR, ESP, active=True))
        places = {name: start + offset for name, offset in within.items()}
    else:
        partitions.append(MbrPartition(0, layout.size // SECTOR, ISO_HYBRID, active=True))
        names_ = {".linux": KERNEL, ".cmdline": CMDLINE, ".initrd": INITRD}
        places = {name: layout.starts[path] for name, path in names_.items()}
    if bios:
        sizes = (sum(map(piece_size, made.kernel)), len(made.cmdline), sum(map(piece_size, made.initrd)))
        found = [Place(places[name], size) for name, size in zip((".linux", ".cmdline", ".initrd"), sizes, strict=True)]
        filled[LOADER] = loader(*found, sector_size=CD_SECTOR)
        system_area = mbr_code(DISK_LOADER)
    name = identity("iso", (*made.kernel, *made.initrd, made.cmdline))
    system_area = master_boot_record(partitions, code=system_area, signature=name.fields[0])
    if bios:
        system_area = system_area.ljust(DISK_LOADER * SECTOR, b"\0") + loader(*found)
    return tuple(layout.pieces(system_area=system_area, filled=filled))


def _layout(job: Job, made: Payload, fat: FatImage | None, *, bios: bool, uefi: bool) -> IsoLayout:
    """Which files the image has. The root is first: its place then depends on no other file's size."""
    tree: Tree = {"boot": directory(0o755, EPOCH)}
    boot: list[BootImage] = []
    if bios:
        tree[LOADER] = file_of((bytes(LOADER_SIZE),), 0o644, EPOCH)
        # Four sectors of 512 bytes, which every BIOS loads.
        boot.append(BootImage(BIOS, LOADER, LOADER_SIZE // SECTOR))
    if uefi:
        tree[EFI_IMAGE] = file_of(fat.pieces if fat else (), 0o644, EPOCH)
        # The catalogue counts 65,535 sectors at most; 0 lets the firmware look into the file system.
        boot.append(BootImage(UEFI, EFI_IMAGE, 0))
    else:
        parts = {KERNEL: made.kernel, INITRD: made.initrd, CMDLINE: (made.cmdline,)}
        tree |= {path: file_of(content, 0o644, EPOCH) for path, content in parts.items()}
    if made.root:
        tree[_root_name(made)] = file_of(made.root.pieces, 0o644, EPOCH)
    return IsoLayout(sorted(tree.items()), volume=VOLUME, boot=boot, first=_root_name(made))


def _root_name(made: Payload) -> str:
    return f"root.{made.root.kind}" if made.root else ""
