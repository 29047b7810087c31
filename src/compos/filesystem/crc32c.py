"""CRC-32C (Castagnoli), with which EROFS, ext4 and VHDX check their metadata. Pure.

Source: RFC 3720, B.4. Kernels keep the register as it is where others invert it at the end.
"""

from __future__ import annotations

from google_crc32c import extend

__all__ = ["crc32c"]

ALL = 0xFFFFFFFF


def crc32c(data: bytes, value: int = ALL) -> int:
    """The register after `data`, beginning with `value`: not inverted at the end, so that it can be
    carried on."""
    register: int = extend(value ^ ALL, data)
    return register ^ ALL
