"""The BIOS loader with its places filled in, and the kernel's limits that it must keep.

May touch: its own binaries beside this file (reading), assembled by `hatch_build.py` from
`loader/*.S`.
Source: Linux, Documentation/arch/x86/boot.rst ("The Linux/x86 Boot Protocol").
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from compos.errors import OutputError

__all__ = [
    "LOADER_SIZE",
    "SLOT_LOADER_SIZE",
    "SLOT_WORDS",
    "Place",
    "check_kernel",
    "loader",
    "mbr_code",
    "slot_loader",
]

FOLDER = Path(__file__).parent / "loader"
LOADER_SIZE = 2048
SLOT_LOADER_SIZE = 4096
CD_SECTOR = 2048

_PACKET_COUNT = 424 + 2
"""mbr.S, `packet`: how many sectors."""
_PACKET_SECTOR = 424 + 8
"""mbr.S, `packet`: the sector to begin with."""
_PARAMETERS = struct.Struct("<8sB7sQIQIQI")
"""loader.S, from `signature` on: mark, sector size as a power of two, then place and size of
kernel, command line, initrd."""
_PARAMETERS_AT = 16
_SLOTS = struct.Struct("<QQQ36sQ36s")
"""slots.S, from `blocks` on: the sectors of both copies of the block; first sector and id of the
boot partitions of A and B."""
_SLOTS_AT = 72
SIGNATURE = b"compos-1"

HEADER_SIZE = 0x268
FIELDS = {
    "boot_flag": ("<H", 0x1FE),
    "header": ("<4s", 0x202),
    "version": ("<H", 0x206),
    "loadflags": ("<B", 0x211),
    "initrd_addr_max": ("<I", 0x22C),
    "cmdline_size": ("<I", 0x238),
    "pref_address": ("<Q", 0x258),
    "init_size": ("<I", 0x260),
}
"""boot.rst, "Details of Header Fields"."""
LOADED_HIGH = 1
OUR_CMDLINE = 0x20000 - 0x1E000 - 1
"""loader.S keeps the command line between 0x1e000 and 0x20000."""
SLOT_WORDS = len(f" compos.slot={UUID(int=0)},trial")
"""What slots.S adds to the command line."""


class Place(NamedTuple):
    """Where a file lies on the medium, in bytes; `start` is a multiple of the sector's size."""

    start: int
    size: int


def mbr_code(sector: int, *, size: int = LOADER_SIZE) -> bytes:
    """The code of a master boot record (440 bytes) that starts the loader of `size` bytes at
    `sector` (of 512 bytes)."""
    code = bytearray(_binary("mbr"))
    struct.pack_into("<H", code, _PACKET_COUNT, size // 512)
    struct.pack_into("<Q", code, _PACKET_SECTOR, sector)
    return bytes(code)


def loader(kernel: Place, cmdline: Place, initrd: Place, *, sector_size: int = 512) -> bytes:
    """The loader (2048 bytes) for files at these places of a disk, or of a CD when `sector_size` is
    2048."""
    shift = sector_size.bit_length() - 1
    code = bytearray(_binary("loader"))
    places = [(place.start >> shift, place.size) for place in (kernel, cmdline, initrd)]
    _PARAMETERS.pack_into(
        code, _PARAMETERS_AT, SIGNATURE, shift, b"", *(value for place in places for value in place)
    )
    return bytes(code)


def slot_loader(copies: Sequence[int], boot: Sequence[tuple[int, UUID]]) -> bytes:
    """The loader (4096 bytes) for a disk with slots, whose files are found by the header of a boot
    partition (`boot.slot_block`). In sectors of 512 bytes: where the `copies` of the block begin,
    and the boot partitions of A and B, with their ids."""
    code = bytearray(_binary("slots"))
    _PARAMETERS.pack_into(code, _PARAMETERS_AT, SIGNATURE, 9, b"", *(0,) * 6)
    slots = (value for start, own in boot for value in (start, str(own).encode()))
    _SLOTS.pack_into(code, _SLOTS_AT, *copies, *slots)
    return bytes(code)


def check_kernel(head: bytes, *, initrd: int, cmdline: int) -> None:
    """See that the kernel which begins with `head` can be started by a BIOS loader with so large an
    initrd and command line.

    Raises `OutputError`: `kernel-not-x86`, `cmdline-too-long`, `initrd-too-large`.
    """
    if len(head) < HEADER_SIZE:
        raise _not_x86()
    value = {name: struct.unpack_from(form, head, at)[0] for name, (form, at) in FIELDS.items()}
    if (
        value["boot_flag"] != 0xAA55
        or value["header"] != b"HdrS"
        or not value["loadflags"] & LOADED_HIGH
    ):
        raise _not_x86()
    if value["version"] < 0x20A:
        raise OutputError(
            "kernel-not-x86",
            f"the kernel supports version {value['version']:#x} of the boot protocol, but 0x20a is "
            "required",
        )
    longest = min(value["cmdline_size"], OUR_CMDLINE)
    if cmdline > longest:
        raise OutputError(
            "cmdline-too-long",
            f"the command line has {cmdline} bytes, but this kernel accepts at most {longest}",
        )
    room = value["initrd_addr_max"] + 1 - value["pref_address"] - value["init_size"]
    if initrd > room:
        raise OutputError(
            "initrd-too-large",
            f"the initrd has {initrd:,} bytes, but a BIOS can load at most {room:,} for this "
            "kernel",
            hint="Put the root on the medium: --root erofs.",
        )


def _not_x86() -> OutputError:
    return OutputError(
        "kernel-not-x86",
        "the kernel is not a bzImage, which a BIOS loader requires",
        hint="Remove --decompress-kernel, or use a format for UEFI.",
    )


def _binary(name: str) -> bytes:
    path = FOLDER / f"{name}.bin"
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise OutputError(
            "loader-not-built",
            "the BIOS loader was not assembled",
            place=str(path),
            hint="Run: python hatch_build.py",
        ) from error
