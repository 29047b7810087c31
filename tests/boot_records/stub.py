"""A UEFI stub with one section, as small as one can be."""

from __future__ import annotations

import struct

from compos.tree.node import Piece

PE = 64

KERNEL = bytes(range(256)) * 40
ADDED: list[tuple[str, list[Piece]]] = [(".cmdline", [b"quiet"]), (".linux", [KERNEL])]


def stub(*, headers: int = 0x200, machine: int = 0xAA64, directories: int = 16) -> bytes:
    """One section at address 0x2000, in the file behind the headers."""
    size = 112 + 8 * directories
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", machine, 1, 7, 0, 0, size, 0x22)
    optional = bytearray(size)
    struct.pack_into("<H", optional, 0, 0x20B)
    struct.pack_into("<II", optional, 32, 0x1000, 0x200)
    struct.pack_into("<III", optional, 56, 0x3000, headers, 0xDEAD)
    struct.pack_into("<I", optional, 108, directories)
    text = struct.pack("<8sIIIIIIHHI", b".text", 6, 0x2000, 0x200, headers, 0, 0, 0, 0, 0x60000020)
    head = b"MZ".ljust(60, b"\0") + struct.pack("<I", PE) + coff + optional + text
    return head.ljust(headers, b"\0") + b"\x90" * 0x200
