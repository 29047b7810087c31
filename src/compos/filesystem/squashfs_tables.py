"""Squashfs's metadata: streams cut into blocks of 8 KiB and compressed, tables with an index,
extended attributes. Pure.

Source: Linux, fs/squashfs/squashfs_fs.h, cited as [FS].
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeAlias

from compos.errors import OutputError
from compos.filesystem.inodes import split_name

__all__ = ["NO_XATTR", "Metadata", "Xattrs", "indexed_table"]

Compress: TypeAlias = Callable[[bytes], bytes]

SIZE = 8192
"""[FS] SQUASHFS_METADATA_SIZE."""
_HEADER = struct.Struct("<H")
_STORED = 0x8000

NO_XATTR = 0xFFFFFFFF
_PREFIXES = {"user.": 0, "trusted.": 1, "security.": 2}
# [FS] squashfs_xattr_id. Offset, size, field:
#     0    8  place of the attributes
#     8    4  their number
#    12    4  their bytes
_XATTR_ID = struct.Struct("<QII")
# [FS] squashfs_xattr_id_table. Offset, size, field:
#     0    8  place of the attributes
#     8    4  number of ids
#    12    4  reserved
_XATTR_TABLE = struct.Struct("<QII")


class Metadata:
    """A stream of records; each is found by its block's place in the compressed stream and the
    offset in that block."""

    def __init__(self, compress: Compress) -> None:
        self._compress = compress
        self._parts: list[bytes] = []
        self._at = 0
        self._open = bytearray()

    def place(self) -> tuple[int, int]:
        """Where the next record begins."""
        return self._at, len(self._open)

    def add(self, record: bytes) -> None:
        """Append a record, which may cross blocks."""
        self._open += record
        while len(self._open) >= SIZE:
            self._close(bytes(self._open[:SIZE]))
            del self._open[:SIZE]

    def finished(self) -> bytes:
        """The whole stream."""
        if self._open:
            self._close(bytes(self._open))
            self._open.clear()
        return b"".join(self._parts)

    def _close(self, block: bytes) -> None:
        packed = self._compress(block)
        made = (
            _HEADER.pack(len(packed)) + packed
            if len(packed) < len(block)
            else _HEADER.pack(len(block) | _STORED) + block
        )
        self._parts.append(made)
        self._at += len(made)


def indexed_table(content: bytes, start: int, compress: Compress) -> tuple[bytes, int]:
    """`content` in metadata blocks and the places of these blocks, to be written at `start`; and
    where the places begin."""
    stream = Metadata(compress)
    places = []
    for at in range(0, len(content), SIZE):
        places.append(start + stream.place()[0])
        stream.add(content[at : at + SIZE])
    table = stream.finished()
    return table + struct.pack(f"<{len(places)}Q", *places), len(table)


class Xattrs:
    """Sets of extended attributes, each stored once and named by a number."""

    def __init__(self, compress: Compress) -> None:
        self._compress = compress
        self._stream = Metadata(compress)
        self._ids: dict[tuple[tuple[str, bytes], ...], int] = {}
        self._entries: list[bytes] = []

    def add(self, path: str, xattrs: tuple[tuple[str, bytes], ...]) -> int:
        """The number of a set. Raises `OutputError` (`xattr-unknown`)."""
        if not xattrs:
            return NO_XATTR
        if xattrs in self._ids:
            return self._ids[xattrs]
        block, offset = self._stream.place()
        body = b"".join(_attribute(path, name, value) for name, value in xattrs)
        self._stream.add(body)
        self._entries.append(_XATTR_ID.pack(block << 16 | offset, len(xattrs), len(body)))
        self._ids[xattrs] = len(self._ids)
        return self._ids[xattrs]

    def finished(self, start: int) -> tuple[bytes, int]:
        """The attributes and their table, to be written at `start`; and where the table's header is
        in them."""
        if not self._entries:
            return b"", 0
        stream = self._stream.finished()
        table, index = indexed_table(b"".join(self._entries), start + len(stream), self._compress)
        header = _XATTR_TABLE.pack(start, len(self._entries), 0)
        return stream + table[:index] + header + table[index:], len(stream) + index


def _attribute(path: str, name: str, value: bytes) -> bytes:
    split = split_name(name, _PREFIXES)
    if split is None:
        raise OutputError(
            "xattr-unknown",
            f"squashfs does not support the extended attribute {name}",
            place=path,
            hint="Use EROFS for the root: --root erofs.",
        )
    kind, short_name = split
    return (
        struct.pack("<HH", kind, len(short_name))
        + short_name
        + struct.pack("<I", len(value))
        + value
    )
