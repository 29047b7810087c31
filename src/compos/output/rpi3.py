"""`rpi3`: the first partition of a Raspberry Pi 3's card, as a tar: firmware, U-Boot, kernel,
initrd, device trees.

May touch: the store (the kernel compressed). Sources: U-Boot, doc/usage and include/image.h
("legacy image header"); Raspberry Pi documentation, "config.txt".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from compos.errors import OutputError
from compos.filesystem.compress import stored
from compos.filesystem.tar import TarEntry, tar_pieces
from compos.image.derived import KindOfResults
from compos.image.derived_kinds import DerivedKind
from compos.output.initrd import initrd_pieces
from compos.output.job import RPI3, Job, identity
from compos.output.payload import required_kernel, uefi_kernel
from compos.output.write import Output
from compos.tree.contents import Contents, file_of, piece_size
from compos.tree.flatten import image_tree
from compos.tree.node import EPOCH, Node, Piece, file

__all__ = ["card"]

_HEADER = struct.Struct(">IIIIIIIBBBB32s")
"""Magic, header's checksum, time, size, load address, entry, data's checksum, system, architecture,
type, compression, name."""
MAGIC = 0x27051956
LINUX, ARM64 = 5, 22
KERNEL, RAMDISK, SCRIPT = 2, 3, 6
NONE, GZIP = 0, 1
LOAD = 0x80000
"""Where arm64's boot protocol wants the kernel: 512 KiB above a multiple of 2 MiB."""
MAX_KERNEL = 64 << 20
"""What U-Boot unpacks."""

FIRMWARE = (
    "bootcode.bin",
    "start.elf",
    "start_cd.elf",
    "start_x.elf",
    "fixup.dat",
    "fixup_cd.dat",
    "fixup_x.dat",
)
TREES = "boot/dtb/broadcom/"
CONFIG = b"avoid_warnings=2\narm_control=0x200\nenable_uart=1\nkernel=u-boot.bin\n"
ARGUMENTS = "dwc_otg.lpm_enable=0 earlyprintk console=tty1 console=ttyS0,115200 root=/dev/ram0 rw"
SCRIPT_TEXT = """\
setenv bootargs "{arguments}"
saveenv
fatload mmc 0:1 0x01000000 kernel.uimg
fatload mmc 0:1 ${{fdt_addr_r}} dtb/${{fdtfile}}
fatload mmc 0:1 ${{ramdisk_addr_r}} initrd.uimg
bootm 0x01000000 ${{ramdisk_addr_r}} ${{fdt_addr_r}}
"""


def card(job: Job) -> list[Output]:
    """`.tar`, to be unpacked on a FAT32 partition.

    The YAML's command line stands behind the board's own. Raises `OutputError`: `kernel-none`,
    `rpi3-device-trees`, `rpi3-kernel-too-large`.
    """
    system = job.system
    trees = {
        f"dtb/broadcom/{path.removeprefix(TREES)}": node
        for path, node, _ in system.boot
        if path.startswith(f"{TREES}bcm2837-rpi-3-b")
    }
    if not trees:
        raise OutputError(
            "rpi3-device-trees",
            "the kernel image has no device tree of the Raspberry Pi 3 "
            f"({TREES}bcm2837-rpi-3-b….dtb in its kernel.tar)",
            hint="Use a kernel image for boards, such as compos/kernel-generic:v1.",
        )
    kernel = uefi_kernel(job, required_kernel(job))
    size = sum(map(piece_size, kernel))
    if size > MAX_KERNEL:
        raise OutputError(
            "rpi3-kernel-too-large",
            f"the kernel has {size:,} bytes, but U-Boot unpacks at most {MAX_KERNEL:,}",
        )
    cache = KindOfResults(job.store, DerivedKind.KERNEL_GZIP)
    packed = stored(cache, identity("kernel", kernel).hex, "gzip", lambda: kernel)
    # Quotes would end the script's string; the kernel's own quotes are none of the shell's.
    arguments = f"{ARGUMENTS} {system.cmdline.strip()}".strip().replace('"', '\\"')
    text = SCRIPT_TEXT.format(arguments=arguments).encode()
    contents: dict[str, Sequence[Piece]] = {
        "boot.scr": _image(job, SCRIPT, NONE, "RPi3", (struct.pack(">II", len(text), 0) + text,)),
        "kernel.uimg": _image(job, KERNEL, GZIP, "Linux", (packed,), LOAD),
        "initrd.uimg": _image(job, RAMDISK, NONE, "Ramdisk", initrd_pieces(job)),
    }
    nodes = {name: file_of(made, 0o644, EPOCH) for name, made in contents.items()}
    nodes |= {
        "config.txt": file(CONFIG, 0o644, EPOCH),
        "boot.script": file(text, 0o644, EPOCH),
        **trees,
        **_firmware(job),
    }
    entries: list[TarEntry] = [
        (f"./{name}", node._replace(inode=""), {}) for name, node in sorted(nodes.items())
    ]
    return [Output(".tar", tuple(tar_pieces(entries)))]


def _firmware(job: Job) -> dict[str, Node]:
    """The tool image's files by their names on the card."""
    tree = image_tree(job.store, job.tools[RPI3])
    found = {name: tree.get(f"usr/lib/raspi-firmware/{name}") for name in FIRMWARE}
    found["u-boot.bin"] = tree.get("usr/lib/u-boot/rpi_3/u-boot.bin")
    found["LICENCE.broadcom"] = tree.get("usr/share/doc/raspi-firmware/copyright")
    return {name: node for name, node in found.items() if node}


def _image(
    job: Job, kind: int, compression: int, name: str, content: Sequence[Piece], load: int = 0
) -> tuple[Piece, ...]:
    """A legacy image: header and data."""
    checksum = 0
    with Contents(job.store.root) as contents:
        for chunk in contents.chunks(content):
            checksum = zlib.crc32(chunk, checksum)
    size = sum(map(piece_size, content))

    def header(own: int) -> bytes:
        fixed = (EPOCH // 10**9, size, load, load, checksum, LINUX, ARM64, kind, compression)
        return _HEADER.pack(MAGIC, own, *fixed, name.encode())

    return (header(zlib.crc32(header(0))), *content)
