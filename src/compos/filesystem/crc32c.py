"""CRC-32C (Castagnoli), with which EROFS, ext4 and VHDX check their metadata. Pure.

Source: RFC 3720, B.4. Metadata is small: a table in Python does; nothing of a file's contents goes through here.
"""

from __future__ import annotations

__all__ = ["crc32c"]

_POLYNOMIAL = 0x82F63B78


def _table() -> tuple[int, ...]:
    values = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        values.append(value)
    return tuple(values)


_TABLE = _table()


def crc32c(data: bytes, value: int = 0xFFFFFFFF) -> int:
    """The register after `data`, beginning with `value`: not inverted at the end, so that it can be carried on."""
    table = _TABLE
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    return value
