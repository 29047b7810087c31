"""A tree as a squashfs image: read-only, compressed. Reads contents; two threads compress, memory
is bounded.

Files shorter than a block, and the ends of longer ones, share fragment blocks; equal contents are
stored once.

Source: Linux, Documentation/filesystems/squashfs.rst and fs/squashfs/squashfs_fs.h, cited as [FS].
"""

from __future__ import annotations

import hashlib
import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import BinaryIO, Literal, NamedTuple, TypeAlias

from compos.errors import OutputError
from compos.filesystem.compress import block_compressor
from compos.filesystem.inodes import Inode, inode_table, new_device
from compos.filesystem.limits import cannot_hold, encoded, require_holes
from compos.filesystem.parallel import in_parallel
from compos.filesystem.squashfs_tables import NO_XATTR, Metadata, Xattrs, indexed_table
from compos.tree.contents import Contents
from compos.tree.node import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    EPOCH,
    FIFO,
    FILE,
    SYMLINK,
    Node,
    Piece,
)
from compos.tree.runs import blocks_of

__all__ = ["BLOCK_SIZE", "COMPRESSORS", "SquashfsCompression", "write_squashfs"]

SquashfsCompression: TypeAlias = Literal["zstd", "xz", "gzip"]
COMPRESSORS: dict[SquashfsCompression, int] = {"gzip": 1, "xz": 4, "zstd": 6}
"""[FS] squashfs_super_block: compression."""

BLOCK_SIZE = 128 << 10
PADDING = 4096
"""Of the whole image: what block devices and loop devices are made of."""

# [FS] squashfs_super_block. Offset, size, field:
#     0    4  magic, "hsqs"
#     4    4  inodes
#     8    4  build time
#    12    4  block size
#    16    4  fragments
#    20    2  compression
#    22    2  block size's logarithm
#    24    2  flags
#    26    2  ids
#    28    2  major version
#    30    2  minor version
#    32    8  root inode's reference
#    40    8  bytes used
#    48    8  ids' place
#    56    8  xattrs' place
#    64    8  inode table's place
#    72    8  directory table's place
#    80    8  fragment table's place
#    88    8  export table's place
_SUPER = struct.Struct("<4sIIIIHHHHHHQQQQQQQQ")
DUPLICATES, EXPORTABLE, NO_XATTRS = 0x40, 0x80, 0x200
NOWHERE = 0xFFFFFFFFFFFFFFFF
_STORED = 1 << 24
"""In a block's length: it is not compressed."""
NO_FRAGMENT = 0xFFFFFFFF

# [FS] squashfs_base_inode, in front of each inode. Offset, size, field:
#     0    2  type
#     2    2  permissions
#     4    2  uid's index
#     6    2  gid's index
#     8    4  mtime
#    12    4  inode number
_COMMON = struct.Struct("<HHHHII")
_TYPES = {DIRECTORY: 1, FILE: 2, SYMLINK: 3, BLOCK: 4, CHARACTER: 5, FIFO: 6}
LONG = 7
"""A type's extended form has a number higher by this."""
# [FS] squashfs_dir_header. Offset, size, field:
#     0    4  entries, less one
#     4    4  inode block's place
#     8    4  inode number that entries count from
_DIR_HEADER = struct.Struct("<III")
# [FS] squashfs_dir_entry; the name follows. Offset, size, field:
#     0    2  offset in the inode block
#     2    2  inode number's difference
#     4    2  type
#     6    2  name's length, less one
_DIR_ENTRY = struct.Struct("<HhHH")
# [FS] squashfs_dir_index; the name follows. Offset, size, field:
#     0    4  offset in the listing
#     4    4  directory block's place
#     8    4  name's length, less one
_DIR_INDEX = struct.Struct("<III")
DIR_ENTRIES = 256
_MAX_FIELD = 0xFFFFFFFF

MAX_IDS = 0xFFFF
"""Different owners and groups: the superblock counts them with 16 bits."""

MAX_HOLES = 2 << 40
"""Bytes of holes in all files: an inode lists the blocks of its holes, too, with four bytes each.
Our own limit, above what login records of the highest user id have (/var/log/lastlog, 1.2 TB)."""

MAX_LISTING = 0xFFFFFFFF
MAX_INDEX = 0xFFFF
"""[FS] squashfs_ldir_inode: bytes of a folder's listing, and entries of its index."""


@dataclass(slots=True)
class _Blocks:
    """Where a file's data is: the first block's place, the blocks' lengths, the fragment and the
    place in it."""

    size: int
    start: int = 0
    lengths: array[int] = field(default_factory=lambda: array("I"))
    fragment: int = NO_FRAGMENT
    offset: int = 0
    sparse: int = 0


class _Unit(NamedTuple):
    """A block to compress: a file's (`blocks`), or the fragment `number`."""

    blocks: _Blocks | None
    number: int


@dataclass(slots=True)
class _Inode(Inode):
    """An inode, and where it is."""

    xattr: int = NO_XATTR
    place: tuple[int, int] = (0, 0)
    """Block and offset in the inode table, once `written`."""
    written: bool = False


def write_squashfs(
    entries: Sequence[tuple[str, Node]],
    contents: Contents,
    out: BinaryIO,
    *,
    compression: SquashfsCompression = "zstd",
    block_size: int = BLOCK_SIZE,
) -> int:
    """Write the image of `entries` (sorted, parents first) to the empty file `out`; returns its
    bytes, a multiple of 4096.

    Times are clamped to 1970 to 2106. Raises `OutputError`: `squashfs-too-many-ids`,
    `squashfs-folder-too-large`, `too-many-holes`, `xattr-unknown`.
    """
    require_holes("a squashfs", (node for _, node in entries), MAX_HOLES)
    return _Writer(contents, out, compression, block_size).write(entries)


class _Writer:
    def __init__(
        self, contents: Contents, out: BinaryIO, compression: SquashfsCompression, block_size: int
    ) -> None:
        self.contents = contents
        self.out = out
        self.compression = compression
        self.block_size = block_size
        self.compress = block_compressor(compression, block_size)
        self.files: dict[tuple[Piece, ...], _Blocks] = {}
        self.fragments: list[tuple[int, int]] = []
        self.ids: dict[int, int] = {}
        self.xattrs = Xattrs(self.compress)
        self.inodes = Metadata(self.compress)
        self.directories = Metadata(self.compress)
        self.exports: list[int] = []

    def write(self, entries: Sequence[tuple[str, Node]]) -> int:
        inodes = inode_table(entries, _Inode)
        for number, inode in enumerate(inodes, 1):
            inode.number = number
        count = len(inodes)
        self.exports = [0] * count
        self.out.seek(_SUPER.size)
        end = self._data(node for _, node in entries if node.kind == FILE and node.size)
        reference = self._inode(inodes[0], count)
        # [FS]: inodes, directories, fragments, exports, ids, xattrs, in this order.
        places = []
        for table in (self.inodes.finished(), self.directories.finished()):
            places.append(end)
            self.out.write(table)
            end += len(table)
        fragments = b"".join(
            struct.pack("<QII", start, length, 0) for start, length in self.fragments
        )
        ids = struct.pack(f"<{len(self.ids)}I", *self.ids)
        for content in (fragments, struct.pack(f"<{count}Q", *self.exports), ids):
            table, index = indexed_table(content, end, self.compress)
            self.out.write(table)
            places.append(end + index if content else NOWHERE)
            end += len(table)
        xattrs, index = self.xattrs.finished(end)
        self.out.write(xattrs)
        places.append(end + index if xattrs else NOWHERE)
        end += len(xattrs)
        self.out.write(bytes(-end % PADDING))
        self.out.truncate()
        inode_at, directory_at, fragment_at, export_at, id_at, xattr_at = places
        self.out.seek(0)
        self.out.write(
            _SUPER.pack(
                b"hsqs", count, EPOCH // 10**9, self.block_size, len(self.fragments),
                COMPRESSORS[self.compression],
                self.block_size.bit_length() - 1,
                DUPLICATES | EXPORTABLE | (0 if xattrs else NO_XATTRS), len(self.ids),
                4, 0, reference, end, id_at, xattr_at, inode_at, directory_at, fragment_at,
                export_at,
            )
        )  # fmt: skip
        return end + -end % PADDING

    def _data(self, nodes: Iterator[Node]) -> int:
        """Write all files' blocks and the fragments; returns the end."""
        at = _SUPER.size

        def pack(data: bytes) -> tuple[bytes, int]:
            packed = self.compress(data)
            return (packed, len(packed)) if len(packed) < len(data) else (data, len(data) | _STORED)

        stored: dict[tuple[int, bytes, bytes], int] = {}
        current: _Blocks | None = None
        digest = hashlib.sha256()
        for unit, (packed, length) in in_parallel(
            chain(self._units(nodes), [(_Unit(None, -1), b"")]), pack
        ):
            if current and unit.blocks is not current:
                # The same bytes from another layer: the earlier ones serve, the next file
                # overwrites these.
                key = (current.size, current.lengths.tobytes(), digest.digest())
                if (known := stored.setdefault(key, current.start)) != current.start:
                    at, current.start = current.start, known
                    self.out.seek(at)
            if unit.blocks:
                if unit.blocks is not current:
                    unit.blocks.start = at
                    digest = hashlib.sha256()
                unit.blocks.lengths[unit.number] = length
                digest.update(packed)
            elif packed:
                self.fragments.append((at, length))
            current = unit.blocks
            self.out.write(packed)
            at += len(packed)
        return at

    def _units(self, nodes: Iterator[Node]) -> Iterator[tuple[_Unit, bytes]]:
        """Blocks to compress, in the order in which they are stored; notes where everything will
        be."""
        ends = bytearray()
        known: dict[bytes, _Blocks] = {}
        number = 0
        for node in nodes:
            if node.content in self.files:
                continue
            blocks = self.files[node.content] = _Blocks(node.size)
            tail = b""
            for data, length in blocks_of(self.contents, node.content, self.block_size):
                if length >= self.block_size:
                    blocks.lengths.frombytes(
                        bytes(length // self.block_size * blocks.lengths.itemsize)
                    )
                    if data:
                        yield _Unit(blocks, len(blocks.lengths) - 1), data
                    else:
                        blocks.sparse += length
                else:
                    tail = data or bytes(length)
            if not tail:
                continue
            if not blocks.lengths:
                # Short files of equal bytes come from different layers: their bytes tell.
                digest = hashlib.sha256(tail).digest()
                if digest in known:
                    self.files[node.content] = known[digest]
                    continue
                known[digest] = blocks
            if len(ends) + len(tail) > self.block_size:
                yield _Unit(None, number), bytes(ends)
                number += 1
                ends.clear()
            blocks.fragment, blocks.offset = number, len(ends)
            ends += tail
        if ends:
            yield _Unit(None, number), bytes(ends)

    def _inode(self, top: _Inode, count: int) -> int:
        """Write all inodes, children before their directories, which name their places; returns the
        root's reference."""
        waiting = [(top, False)]
        while waiting:
            inode, ready = waiting.pop()
            if inode.written:
                continue
            if inode.node.kind == DIRECTORY and not ready:
                waiting.append((inode, True))
                waiting += [(child, False) for _, child in reversed(inode.children)]
                continue
            body = self._body(inode, count)
            inode.place = self.inodes.place()
            inode.written = True
            self.exports[inode.number - 1] = inode.place[0] << 16 | inode.place[1]
            self.inodes.add(body)
        return self.exports[top.number - 1]

    def _body(self, inode: _Inode, count: int) -> bytes:
        node = inode.node
        inode.xattr = self.xattrs.add(inode.path, node.xattrs)
        kind = _TYPES[node.kind]
        long = inode.xattr != NO_XATTR
        if node.kind == DIRECTORY:
            long, rest = self._directory(inode, count, long)
        elif node.kind == FILE:
            long, rest = self._file(inode, long)
        else:
            rest = struct.pack("<I", inode.links)
            if node.kind == SYMLINK:
                target = encoded(node.link)
                rest += struct.pack("<I", len(target)) + target
            elif node.kind in (CHARACTER, BLOCK):
                rest += struct.pack("<I", new_device(*node.device))
            if long:
                rest += struct.pack("<I", inode.xattr)
        time = min(max(node.mtime // 10**9, 0), _MAX_FIELD)
        common = _COMMON.pack(
            kind + (LONG if long else 0),
            node.mode,
            self._id(node.uid),
            self._id(node.gid),
            time,
            inode.number,
        )
        return common + rest

    def _id(self, value: int) -> int:
        index = self.ids.setdefault(value, len(self.ids))
        if index >= MAX_IDS:
            raise OutputError(
                "squashfs-too-many-ids",
                f"a squashfs can have at most {MAX_IDS:,} different owners and groups",
                hint="Use EROFS for the root: --root erofs.",
            )
        return index

    def _file(self, inode: _Inode, long: bool) -> tuple[bool, bytes]:
        """[FS] squashfs_reg_inode, or squashfs_lreg_inode for what is large, sparse, linked or has
        attributes."""
        blocks = self.files.get(inode.node.content) or _Blocks(0)
        size = inode.node.size
        lengths = _little_endian(blocks.lengths)
        if (
            long
            or inode.links > 1
            or blocks.sparse
            or size > _MAX_FIELD
            or blocks.start > _MAX_FIELD
        ):
            # Of a file that is a hole as a whole the kernel wants to hear of less than its size.
            sparse = min(blocks.sparse, size - 1) if blocks.sparse else 0
            head = struct.pack(
                "<QQQIIII",
                blocks.start,
                size,
                sparse,
                inode.links,
                blocks.fragment,
                blocks.offset,
                inode.xattr,
            )
            return True, head + lengths
        return False, struct.pack(
            "<IIII", blocks.start, blocks.fragment, blocks.offset, size
        ) + lengths

    def _directory(self, inode: _Inode, count: int, long: bool) -> tuple[bool, bytes]:
        """Write the listing; [FS] squashfs_dir_inode, or squashfs_ldir_inode with an index when the
        listing is long."""
        block, offset = self.directories.place()
        size = 0
        index: list[bytes] = []
        seen = block
        for group in _groups(inode.children):
            at = self.directories.place()[0]
            if at != seen:
                name = group[0][0]
                index.append(_DIR_INDEX.pack(size, at, len(name) - 1) + name)
                seen = at
            first = group[0][1]
            parts = [_DIR_HEADER.pack(len(group) - 1, first.place[0], first.number)]
            for name, child in group:
                difference = child.number - first.number
                kind = _TYPES[child.node.kind]
                parts.append(
                    _DIR_ENTRY.pack(child.place[1], difference, kind, len(name) - 1) + name
                )
            listing = b"".join(parts)
            self.directories.add(listing)
            size += len(listing)
        # The size counts "." and "..", which are not there.
        size += 3
        if size > MAX_LISTING or len(index) > MAX_INDEX:
            raise cannot_hold(
                "squashfs-folder-too-large",
                "a squashfs",
                inode.path,
                f"its names need {size:,} bytes",
            )
        parent = inode.parent.number if inode.parent else count + 1
        if long or size > 0xFFFF:
            head = struct.pack(
                "<IIIIHHI", inode.links, size, block, parent, len(index), offset, inode.xattr
            )
            return True, head + b"".join(index)
        return False, struct.pack("<IIHHI", block, inode.links, size, offset, parent)


def _little_endian(lengths: array[int]) -> bytes:
    if sys.byteorder == "big":
        lengths = lengths[:]
        lengths.byteswap()
    return lengths.tobytes()


def _groups(children: Sequence[tuple[bytes, _Inode]]) -> Iterator[list[tuple[bytes, _Inode]]]:
    """A listing's parts that can share a header: one inode block, numbers close to the first
    one's."""
    group: list[tuple[bytes, _Inode]] = []
    for item in children:
        if group:
            first = group[0][1]
            near = -0x8000 <= item[1].number - first.number <= 0x7FFF
            if len(group) == DIR_ENTRIES or item[1].place[0] != first.place[0] or not near:
                yield group
                group = []
        group.append(item)
    if group:
        yield group
