"""Reading records of on-disk formats by offset, straight from their specifications, with nothing of
what writes them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from compos.tree.contents import Contents
from compos.tree.node import Piece

__all__ = ["crc32c", "fields", "whole"]


def fields(data: bytes, order: str, table: Mapping[str, tuple[int, str]]) -> dict[str, Any]:
    """The fields of `data` by name; `table` has offset and struct code of each, `order` is `<` or
    `>`."""
    return {
        name: struct.unpack_from(order + code, data, at)[0] for name, (at, code) in table.items()
    }


def whole(pieces: Iterable[Piece], store: Path) -> bytes:
    """What `pieces` of `store` are together."""
    with Contents(store) as contents:
        return b"".join(contents.chunks(pieces))


def _castagnoli(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_TABLE = [_castagnoli(byte) for byte in range(256)]


def crc32c(data: bytes, value: int = 0xFFFFFFFF) -> int:
    """CRC-32C (RFC 3720, B.4) bit by bit, as Linux's crc32c(): not inverted at its end."""
    for byte in data:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return value
