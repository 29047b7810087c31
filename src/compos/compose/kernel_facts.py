"""What a kernel file says of itself: version, architecture, and the configuration that it was built
with.

Pure. Sources: the kernel's Documentation/arch/x86/boot.rst (`kernel_version`),
arch/arm64/booting.rst, arch/riscv/boot-image-header.rst, init/version-timestamp.c (the banner),
kernel/configs.c (IKCONFIG); the PE format's COFF header for EFI zboot images.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from compos.compose.elf import ElfError, machine
from compos.compose.kernel_image import (
    HEADER_MAGIC,
    HEADER_OFFSET,
    KernelImageError,
    decompressed,
    plain_kernel,
)

__all__ = ["ELF_MACHINES", "KernelFacts", "embedded_config", "kernel_facts"]

ELF_MACHINES = {62: "amd64", 183: "arm64", 243: "riscv64"}
"""`e_machine`: EM_X86_64, EM_AARCH64, EM_RISCV."""

_PE_MACHINES = {0x8664: "amd64", 0xAA64: "arm64", 0x5064: "riscv64"}
_IMAGES = ((b"ARM\x64", "arm64"), (b"RSC\x05", "riscv64"))
"""What stands at 0x38 of an uncompressed Image."""

VERSION_OFFSET = 0x20E
"""x86: where the version is, less 0x200."""

_VERSION = re.compile(rb"[0-9][!-~]{0,127}")
_BANNER = re.compile(rb"Linux version ([0-9][!-~]{0,127}) \(")
_CONFIG = re.compile(rb"IKCFG_ST(\x1f\x8b.*?)IKCFG_ED", re.DOTALL)

MAX_CONFIG = 4 << 20
"""Bytes of a configuration; Debian's have 300 KB."""


class KernelFacts(NamedTuple):
    """`version` is what `uname -r` prints; `architecture` is in Go's words, empty for one that
    compos does not know."""

    version: str
    architecture: str


def kernel_facts(data: bytes) -> KernelFacts:
    """The facts of a bzImage, an Image (compressed or not), an EFI zboot image or a vmlinux.

    Raises `KernelImageError` for what is no kernel or does not tell its version.
    """
    if data[HEADER_OFFSET : HEADER_OFFSET + 4] == HEADER_MAGIC and len(data) > VERSION_OFFSET + 2:
        (offset,) = struct.unpack_from("<H", data, VERSION_OFFSET)
        found = _VERSION.match(data, offset + 0x200)
        if offset and found:
            return KernelFacts(found[0].decode(), "amd64")
    plain = plain_kernel(data)
    banner = _BANNER.search(plain)
    if banner is None:
        raise KernelImageError("it does not say which version it is")
    return KernelFacts(banner[1].decode(), _architecture(data, plain))


def _architecture(data: bytes, plain: bytes) -> str:
    for magic, name in _IMAGES:
        if plain[0x38:0x3C] == magic:
            return name
    if data[:2] == b"MZ" and len(data) >= 0x40:
        # The DOS stub says where the signature "PE\0\0" is; the machine follows it.
        (header,) = struct.unpack_from("<I", data, 0x3C)
        if data[header : header + 4] == b"PE\0\0" and len(data) >= header + 6:
            return _PE_MACHINES.get(struct.unpack_from("<H", data, header + 4)[0], "")
    try:
        return ELF_MACHINES.get(machine(plain), "")
    except ElfError:
        return ""


def embedded_config(data: bytes) -> bytes:
    """The configuration that a kernel with IKCONFIG carries; empty for others. Raises
    `KernelImageError`."""
    found = _CONFIG.search(plain_kernel(data))
    return decompressed(found[1], MAX_CONFIG) or b"" if found else b""
