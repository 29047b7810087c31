"""The kernel itself out of the file that boot loaders start: for `--decompress-kernel` and machines
that decompress nothing.

Pure. Sources: the kernel's Documentation/arch/x86/boot.rst ("The Real-Mode Kernel Header"),
arch/arm64/booting.rst, arch/riscv/boot-image-header.rst;
drivers/firmware/efi/libstub/zboot-header.S for EFI zboot images.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial

from compos import decompressors
from compos.compose.lz import LZ4_LEGACY, LZOP, LzError, lz4_legacy, lzop
from compos.decompressors import Decompressor

__all__ = ["KernelImageError", "decompressed", "plain_kernel"]

MAX_KERNEL = 1 << 30
"""Bytes of an uncompressed kernel that are believed."""

# x86 boot protocol header
BOOT_FLAG, BOOT_FLAG_OFFSET = b"\x55\xaa", 0x1FE
HEADER_MAGIC, HEADER_OFFSET = b"HdrS", 0x202
SETUP_SECTORS_OFFSET = 0x1F1
PROTOCOL_OFFSET = 0x206
PAYLOAD_OFFSET, PAYLOAD_LENGTH = 0x248, 0x24C
PAYLOAD_PROTOCOL = 0x208
"""The first version with `payload_offset` and `payload_length`."""

ZBOOT_MAGIC, ZBOOT_MAGIC_OFFSET = b"zimg", 4
ZBOOT_PAYLOAD = struct.Struct("<II")
"""Offset and size of the payload, at 8."""

_PLAIN = ((0, b"\x7fELF"), (0x38, b"ARM\x64"), (0x38, b"RSC\x05"))
"""Offset and magic of kernels that are not compressed: vmlinux, arm64's and riscv64's Image."""


class KernelImageError(ValueError):
    """Not a kernel, or one that cannot be unpacked; the text says why."""


def plain_kernel(data: bytes) -> bytes:
    """The uncompressed kernel in `data` (bzImage, EFI zboot, Image.gz and the like); `data` itself
    when it is plain.

    Raises `KernelImageError`.
    """
    payload = _payload(data)
    if payload is None:
        if any(data[offset : offset + len(magic)] == magic for offset, magic in _PLAIN):
            return data
        payload = data
    if (plain := decompressed(payload)) is not None:
        return plain
    raise KernelImageError(
        "its compression is unknown" if payload is not data else "it is not a kernel"
    )


def decompressed(data: bytes, limit: int = MAX_KERNEL) -> bytes | None:
    """What is compressed in `data` in any way that the kernel's build knows; None when nothing is.

    Raises `KernelImageError` for what is damaged or larger than `limit` bytes.
    """
    for magic, unpack in _UNPACKERS:
        if data.startswith(magic):
            try:
                return unpack(data, limit)
            except (LzError, EOFError, ValueError) as error:
                raise KernelImageError(f"it is damaged: {error}") from error
    return None


def _payload(data: bytes) -> bytes | None:
    """The compressed part of a bzImage or an EFI zboot image; None for others."""
    if data[:2] == b"MZ" and data[ZBOOT_MAGIC_OFFSET : ZBOOT_MAGIC_OFFSET + 4] == ZBOOT_MAGIC:
        offset, size = ZBOOT_PAYLOAD.unpack_from(data, 8)
        return _part(data, offset, size)
    if (
        len(data) > PAYLOAD_LENGTH + 4
        and data[BOOT_FLAG_OFFSET : BOOT_FLAG_OFFSET + 2] == BOOT_FLAG
        and data[HEADER_OFFSET : HEADER_OFFSET + 4] == HEADER_MAGIC
    ):
        (protocol,) = struct.unpack_from("<H", data, PROTOCOL_OFFSET)
        if protocol < PAYLOAD_PROTOCOL:
            raise KernelImageError(
                f"its boot protocol {protocol >> 8}.{protocol & 255:02d} does not say where the "
                "kernel is"
            )
        offset, size = struct.unpack_from("<II", data, PAYLOAD_OFFSET)
        # No setup sectors stand for four.
        return _part(data, offset + ((data[SETUP_SECTORS_OFFSET] or 4) + 1) * 512, size)
    return None


def _part(data: bytes, offset: int, size: int) -> bytes:
    if not size or offset + size > len(data):
        raise KernelImageError("its compressed part extends beyond the end of the file")
    return data[offset : offset + size]


def _whole(make: Callable[[], Decompressor], payload: bytes, limit: int) -> bytes:
    """All that is compressed in `payload`, by one stream."""
    # What follows the compressed data is the uncompressed size, which the kernel's build appends.
    decompressor = make()
    plain = decompressor.decompress(payload, limit + 1)
    if len(plain) > limit:
        raise KernelImageError(f"it is larger than {limit >> 20} MiB when decompressed")
    if not decompressor.eof:
        raise EOFError("it is truncated")
    return plain


_xz_or_lzma = partial(_whole, partial(decompressors.xz, alone=True))

_UNPACKERS: tuple[tuple[bytes, Callable[[bytes, int], bytes]], ...] = (
    (b"\x1f\x8b", partial(_whole, decompressors.gzip)),
    (b"BZh", partial(_whole, decompressors.bzip2)),
    (b"\xfd7zXZ\x00", _xz_or_lzma),
    (b"\x5d\x00\x00", _xz_or_lzma),
    (b"\x28\xb5\x2f\xfd", partial(_whole, decompressors.zstd)),
    (LZ4_LEGACY, lz4_legacy),
    (LZOP, lzop),
)
"""How each compression begins (the kernel's lib/decompress.c), and what undoes it."""
