"""Tars written byte by byte: what no honest writer writes, and what old ones wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["END", "Header", "folder", "padded", "pax", "raw_file", "record"]

END = bytes(1024)


class Header(NamedTuple):
    """One header; `fields` replace what stands at an offset (a number's octal digits, the magic, a
    sparse map)."""

    name: bytes
    typeflag: bytes = b"0"
    size: int = 0
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    magic: bytes = b"ustar\x0000"
    fields: Mapping[int, bytes] = {}

    def __bytes__(self) -> bytes:
        block = bytearray(
            self.name[:100].ljust(100, b"\0")
            + b"".join(map(_short, (self.mode, self.uid, self.gid)))
            + _number(self.size, 12)
            + _number(self.mtime, 12)
            + b" " * 8
            + self.typeflag
            + self.link[:100].ljust(100, b"\0")
            + self.magic.ljust(8, b"\0")
            + bytes(64)
            + b"".join(map(_short, self.device))
        ).ljust(512, b"\0")
        for offset, value in self.fields.items():
            block[offset : offset + len(value)] = value
        block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:]))
        return bytes(block)


def _short(value: int) -> bytes:
    return _number(value, 8)


def _number(value: int, width: int) -> bytes:
    """Octal if it fits, else GNU's base-256."""
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    return (b"\xff" if value < 0 else b"\x80") + (value % (1 << 8 * (width - 1))).to_bytes(
        width - 1, "big"
    )


def padded(data: bytes) -> bytes:
    """`data` with zeros up to a whole block."""
    return data + bytes(-len(data) % 512)


def pax(records: Mapping[str, bytes], typeflag: bytes = b"x") -> bytes:
    """An extended header."""
    body = b"".join(record(key.encode(), value) for key, value in records.items())
    return bytes(Header(b"pax", typeflag, len(body))) + padded(body)


def record(key: bytes, value: bytes) -> bytes:
    """A PAX record, which begins with its own length."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length += len(str(length)) - len(str(rest))
    return b"%d %s=%s\n" % (length, key, value)


def raw_file(header: Header, data: bytes) -> bytes:
    """A header with the length of `data`, and these."""
    return bytes(header._replace(size=len(data))) + padded(data)


def folder(name: bytes) -> bytes:
    """A directory."""
    return bytes(Header(name, b"5", mode=0o755))
