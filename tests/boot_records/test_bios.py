"""What is written into the BIOS loader, at its places, and the kernel's header that is read."""

from __future__ import annotations

import struct

import pytest

from compos.boot.bios import Place, check_kernel, loader, mbr_code
from compos.errors import OutputError


def test_the_boot_record_names_the_loaders_sector() -> None:
    first, second = mbr_code(0), mbr_code(0x0123456789)
    assert len(first) == len(second) == 440
    # mbr.S: a disk address packet (16 bytes, no reserved byte set) with the sector at its end.
    assert second[424:426] == b"\x10\0"
    assert struct.unpack_from("<Q", second, 432) == (0x0123456789,)
    assert (first[:432], first[440:]) == (second[:432], second[440:])


@pytest.mark.parametrize(("size", "shift"), [(512, 9), (2048, 11)])
def test_the_loader_names_three_files(size: int, shift: int) -> None:
    places = (Place(size * 100, 7_000_001), Place(size * 90, 33), Place(1 << 45, 0xFFFFFFFF))
    code = loader(*places, sector_size=size)
    assert len(code) == 2048
    assert code[16:25] == b"compos-1" + bytes((shift,))
    assert struct.unpack_from("<QIQIQI", code, 32) == (
        100, 7_000_001, 90, 33, (1 << 45) // size, 0xFFFFFFFF,
    )  # fmt: skip


def kernel(**changed: int) -> bytes:
    """Linux, boot.rst: offsets and sizes of the header's fields."""
    fields = {
        "boot_flag": (0x1FE, "H", 0xAA55), "header": (0x202, "I", 0x53726448),
        "version": (0x206, "H", 0x20F), "loadflags": (0x211, "B", 1),
        "initrd_addr_max": (0x22C, "I", 0x7FFFFFFF), "cmdline_size": (0x238, "I", 2047),
        "pref_address": (0x258, "Q", 0x1000000), "init_size": (0x260, "I", 0x3000000),
    }  # fmt: skip
    head = bytearray(0x268)
    for name, (at, code, value) in fields.items():
        struct.pack_into(f"<{code}", head, at, changed.get(name, value))
    return bytes(head)


ROOM = 0x80000000 - 0x1000000 - 0x3000000
"""Below the highest address for an initrd, above the kernel as it unpacks itself."""


def test_a_kernel_that_fits() -> None:
    check_kernel(kernel(), initrd=ROOM, cmdline=2047)


@pytest.mark.parametrize(
    ("changed", "initrd", "cmdline", "error"),
    [
        ({"boot_flag": 0}, 0, 0, "kernel-not-x86"),
        ({"header": 0}, 0, 0, "kernel-not-x86"),
        ({"version": 0x209}, 0, 0, "kernel-not-x86"),
        ({"loadflags": 0}, 0, 0, "kernel-not-x86"),
        ({}, ROOM + 1, 0, "initrd-too-large"),
        ({"initrd_addr_max": 0x37FFFFFF}, 0x34000001, 0, "initrd-too-large"),
        ({"init_size": 0x3000001}, ROOM, 0, "initrd-too-large"),
        ({"pref_address": 0x1000001}, ROOM, 0, "initrd-too-large"),
        ({}, 0, 2048, "cmdline-too-long"),
        ({"cmdline_size": 10}, 0, 11, "cmdline-too-long"),
        # Two segments of ours are shorter than what a kernel may take.
        ({"cmdline_size": 1 << 20}, 0, 0x2000, "cmdline-too-long"),
    ],
)
def test_a_kernel_that_does_not(
    changed: dict[str, int], initrd: int, cmdline: int, error: str
) -> None:
    with pytest.raises(OutputError) as caught:
        check_kernel(kernel(**changed), initrd=initrd, cmdline=cmdline)
    assert caught.value.id == error
