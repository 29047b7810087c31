"""The CD that carries a guest's metadata: one file named `config` (cli.md 6.2). Sections are those
of ECMA-119.

May touch: nothing but the file that it is asked to write.
"""

from __future__ import annotations

import struct
from pathlib import Path

from compos.arithmetic import ceil_div
from compos.output.place import put_file

__all__ = ["metadata_iso", "write_metadata"]

SECTOR = 2048
PRIMARY, TERMINATOR, LITTLE_TABLE, BIG_TABLE, ROOT, DATA = 16, 17, 18, 19, 20, 21
"""Sectors, as LinuxKit lays them out."""

PATH_TABLE_SIZE = 10
EPOCH = b"1980010100000000\0"
"""8.4.26.1: the time of every record; the current one would make each image different."""


def write_metadata(content: bytes, path: Path) -> None:
    """Write the CD, for the user alone: metadata holds keys and passwords. Raises `OutputError`."""
    put_file(path, metadata_iso(content), secret=True)


def metadata_iso(content: bytes) -> bytes:
    """The image: 21 sectors, then `content` (below 4 GiB) padded to a sector."""
    sectors = DATA + ceil_div(len(content), SECTOR)
    root = _record(b"\0", ROOT, SECTOR, folder=True)
    parts = [
        bytes(PRIMARY * SECTOR),
        _primary(sectors, root),
        b"\xffCD001\x01".ljust(SECTOR, b"\0"),  # 8.3, set terminator
        struct.pack("<BBIHBB", 1, 0, ROOT, 1, 0, 0).ljust(SECTOR, b"\0"),  # 9.4
        struct.pack(">BBIHBB", 1, 0, ROOT, 1, 0, 0).ljust(SECTOR, b"\0"),
        (
            root
            + _record(b"\1", ROOT, SECTOR, folder=True)
            + _record(b"config", DATA, len(content))
        ).ljust(SECTOR, b"\0"),
        content.ljust((sectors - DATA) * SECTOR, b"\0"),
    ]
    return b"".join(parts)


def _primary(sectors: int, root: bytes) -> bytes:
    """8.4, the primary volume descriptor."""
    never = b"0" * 16 + b"\0"
    return b"".join(
        (
            b"\x01CD001\x01\0",
            b" " * 32,
            b"config".ljust(32),
            bytes(8),
            _both32(sectors),
            bytes(32),
            _both16(1) + _both16(1) + _both16(SECTOR),
            _both32(PATH_TABLE_SIZE),
            struct.pack("<II", LITTLE_TABLE, 0) + struct.pack(">II", BIG_TABLE, 0),
            root,
            b" " * (4 * 128 + 3 * 37),
            EPOCH + EPOCH + never + never,
            b"\x01\0",
        )
    ).ljust(SECTOR, b"\0")


def _record(name: bytes, sector: int, size: int, folder: bool = False) -> bytes:
    """9.1, a directory record; its time is 1 January 1980."""
    tail = bytes((len(name),)) + name + (b"" if len(name) % 2 else b"\0")
    body = b"".join(
        (
            b"\0" + _both32(sector) + _both32(size),
            bytes((80, 1, 1, 0, 0, 0, 0)),
            bytes((0x02 if folder else 0, 0, 0)),
            _both16(1),
            tail,
        )
    )
    return bytes((len(body) + 1,)) + body


def _both16(number: int) -> bytes:
    return struct.pack("<H", number) + struct.pack(">H", number)


def _both32(number: int) -> bytes:
    return struct.pack("<I", number) + struct.pack(">I", number)
