"""The checksums of deflate's containers: isa-l's where it is, five times as fast as zlib's. Pure.

Source: RFC 1950, section 9 (Adler-32); RFC 1952, section 8 (CRC-32).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

__all__ = ["adler32", "crc32"]

_Sum: TypeAlias = "Callable[[bytes | memoryview, int], int]"


def adler32(data: bytes | memoryview, before: int = 1) -> int:
    """That of `data` behind bytes whose sum is `before`."""
    return _ADLER(data, before)


def crc32(data: bytes | memoryview, before: int = 0) -> int:
    """That of `data` behind bytes whose sum is `before`."""
    return _CRC(data, before)


def _sums() -> tuple[_Sum, _Sum]:
    try:
        from isal import isal_zlib
    except ImportError:  # no wheel for this machine
        import zlib

        return zlib.adler32, zlib.crc32
    return cast("_Sum", isal_zlib.adler32), cast("_Sum", isal_zlib.crc32)


_ADLER, _CRC = _sums()
